"""The list of worst-fitting reflections on the page."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from tasks.report.worst_charts import reflection_views
from tasks.report.worst_list import map_entry_of
from tasks.trace import PositionMap
from tests.synthetic.worst_reflections import example_worst

WORST = example_worst("crystal-07")


def test_a_line_says_what_was_measured_and_what_the_structure_has() -> None:
    first = reflection_views(WORST)[0]
    assert (first.hkl, first.d, first.deviation) == ("0 −2 14", "2.100", "+9.1")
    assert first.observed.replace("\u00a0", " ") == "1 234 ± 21"
    assert first.calculated == "810"
    assert first.command == "--crystal crystal-07 --hkl 0,-2,14"
    assert first.shown.startswith("6 of 24 crossings")
    assert reflection_views(WORST)[-1].crossings == ()
    assert reflection_views(WORST)[-1].command == ""


def test_a_reflection_of_merged_data_is_traced_as_its_crystal_was_merged() -> None:
    first = reflection_views(WORST.model_copy(update={"merged": True}))[0]
    assert first.command == "--crystal crystal-07 --hkl 0,-2,14 --merged"


def test_a_chart_has_a_point_a_bar_and_a_prediction_for_each_frame_and_says_them() -> None:
    entry = WORST.reflections[0].crossings[0]
    chart = str(reflection_views(WORST)[0].crossings[0].chart)
    assert chart.count("<circle") == 5
    assert chart.count('class="unused"') == 1
    bars = re.search(r'class="error" d="([^"]*)"', chart)
    predicted = re.search(r'class="predicted" d="([^"]*)"', chart)
    assert bars is not None
    assert predicted is not None
    assert bars[1].count("V") == 5
    assert predicted[1].count("h10") == 4  # one is not predicted
    assert f"{entry.counts[2] - 6} ± {entry.counts[2] ** 0.5:.0f}, predicted 80" in chart
    assert "−24°" in chart
    assert "not used" in chart


def test_charts_of_one_reflection_share_their_scale() -> None:
    entries = WORST.reflections[0].crossings
    high = max(counts - 6 + counts**0.5 for one in entries for counts in one.counts)
    charts = [str(one.chart) for one in reflection_views(WORST)[0].crossings]
    assert all(f">{max(high, 80.0):.0f} e⁻<" in chart for chart in charts)


def test_a_map_is_a_picture_of_one_pixel_a_position_clear_outside_the_crystal() -> None:
    electrons = np.array([[-1, 0, 3], [0, 6, -1]])
    entry = map_entry_of(PositionMap(1.5, (0, 0), electrons))
    assert (entry.electrons, entry.positions, entry.positions_with_electrons, entry.most) == (9, 4, 2, 6)
    head, _, data = entry.uri.partition(",")
    assert head == "data:image/png;base64"
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))
    assert pixels[..., 3].tolist() == [[0, 255, 255], [255, 255, 0]]
    brightness = pixels[..., :3].sum(axis=2)
    assert brightness[1, 1] > brightness[0, 2] > brightness[0, 1] == brightness[1, 0]


@pytest.mark.parametrize("value", [-12.5, 0.004])
def test_intensities_below_zero_and_small_ones_are_written_plainly(value: float) -> None:
    one = WORST.reflections[0]
    misfit = one.misfit.model_copy(update={"f_squared_observed": value, "sigma": 0.0021})
    worst = WORST.model_copy(update={"reflections": (one.model_copy(update={"misfit": misfit}),)})
    assert reflection_views(worst)[0].observed == {-12.5: "−12.5 ± 0.0021", 0.004: "0.00400 ± 0.0021"}[value]
