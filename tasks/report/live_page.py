"""report.html of a series that is still being measured: it reloads itself until the series is over."""

from collections.abc import Sequence
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from tasks.report import live_wording, wording
from tasks.report.charts import ChartFrame, Line, against_count
from tasks.report.images import TiltPicture, colour_of, png_uri
from tasks.report.live_models import LiveState
from tasks.report.task import PAGE_NAME, put_text

HERE = Path(__file__).parent
RELOAD_S = 5
"""Between two reloads of a page that grows. Chosen, not measured: a quarter of the 20 s that a scan may take to it."""
NEWEST_PX = 256
"""Edge that the map of the newest scan is enlarged to, by whole numbers. Chosen, not measured."""
POINTS_MIN = 2
"""A line needs two points."""


def write_live_page(state: LiveState, rundir: Path, pictures: Sequence[TiltPicture], newest: Markup | None) -> None:
    """Write the page, in place by an atomic rename."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"number": wording.number, "cell": wording.cell_text, "percent": wording.percent}
    text = environment.get_template("live.html.j2").render(
        state=state,
        words=live_wording,
        headline=live_wording.live_headline(state),
        reload_s=RELOAD_S if state.phase == "growing" else None,
        tilts=pictures,
        newest=newest,
        charts=_charts(state),
        colours=[colour_of(number) for number in range(len(state.crystals))],
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),  # noqa: S704 # nosec B704 our own file
    )
    put_text(rundir / PAGE_NAME, text)


def newest_picture(counts: NDArray[np.float64]) -> Markup:
    """Return the map (rows, columns) of all electrons of the newest scan as an image."""
    low, high = np.percentile(counts, [1.0, 99.7])
    grey = (235 * np.sqrt(np.clip((counts - low) / max(high - low, 1e-12), 0, 1))).astype(np.uint8)
    zoom = max(1, NEWEST_PX // max(grey.shape))
    wide = np.repeat(np.repeat(grey, zoom, axis=0), zoom, axis=1)
    uri = png_uri(np.repeat(wide[:, :, None], 3, axis=2))
    return Markup(f'<img src="{uri}" alt="electrons by probe position, newest scan">')  # noqa: S704 # nosec B704 our own


def _charts(state: LiveState) -> tuple[Markup, ...]:
    if len(state.history) < POINTS_MIN:
        return ()
    counts = [point.scans for point in state.history]
    complete = [Line("", [None if one.completeness is None else 100 * one.completeness for one in state.history])]
    agreement = [Line("", [one.halves_cc for one in state.history])]
    return (
        against_count(counts, complete, ChartFrame("Completeness, best crystal (%)", "scans", (0, 104))),
        against_count(counts, agreement, ChartFrame("Agreement of halves of the tilts", "scans", (None, 1.02))),
    )
