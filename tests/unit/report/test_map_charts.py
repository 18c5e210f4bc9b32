"""The maps of a crystal in the report."""

from pathlib import Path

import h5py
import numpy as np

from tasks.integrate.models import JoinedParts
from tasks.maps.models import CrystalMaps
from tasks.model import FileRef
from tasks.model.provenance import Provenance
from tasks.report.map_charts import map_charts, map_sentences, parts_sentence
from tasks.report.map_entry import map_entry

NAMES = ("angle_deg", "angle_sigma_deg", "scale", "strain", "curve")


def maps_of(path: Path, known: np.ndarray, **changes) -> CrystalMaps:
    values = np.where(known, np.linspace(0, 1, known.size).reshape(known.shape), np.nan)
    with h5py.File(path, "w") as file:
        for name in NAMES:
            file[name] = values
    document = CrystalMaps(
        id="crystal-07", file=FileRef.of(path), tilt_deg=0.5, positions=int(known.sum()), pooled=2, left_out=3,
        electrons=1e5, angle_sigma_deg=0.02, bend_deg=1.25, bend_sigma_deg=0.03, curve_ratio=0.7,
        curve_ratio_sigma=0.01, spread=1.2, scale_sigma=0.05, strain_sigma=3e-4, curve_sigma=0.04,
        provenance=Provenance(engine="test", version="1"),
    )  # fmt: skip
    return document.model_copy(update=changes)


def by_parts(*, better: bool, **changes) -> JoinedParts:
    figures = {"half_sets_one": 0.82, "half_sets_parts": 0.9871, "half_sets_reflections": 319, "half_sets_won": 1.0}
    return JoinedParts.model_construct(id="crystal-07", parts=7, better=better, **{**figures, **changes})


def test_every_map_has_a_colour_bar_with_its_unit(tmp_path: Path) -> None:
    known = np.zeros((20, 30), dtype=bool)
    known[5:12, 8:20] = True
    drawn = map_charts(maps_of(tmp_path / "maps.h5", known))
    assert drawn is not None
    for text in ("misorientation (°)", "its sigma (°)", "scale (mean 1)", "strain (%)", "curve's width", "column"):
        assert text in drawn
    assert drawn.count("<image") >= 10  # five maps, five bars


def test_each_figure_is_said_with_its_sigma(tmp_path: Path) -> None:
    said = " ".join(map_sentences(maps_of(tmp_path / "maps.h5", np.ones((4, 4), dtype=bool))))
    assert "1.25 ± 0.03°" in said
    assert "0.70 ± 0.01 times" in said
    assert "strain 0.03 %" in said
    assert "2 of them together" in said


def test_nothing_is_drawn_where_nothing_is_known(tmp_path: Path) -> None:
    maps = maps_of(tmp_path / "maps.h5", np.zeros((4, 4), dtype=bool), bend_deg=None, angle_sigma_deg=None)
    assert map_charts(maps) is None
    assert "too few" not in " ".join(map_sentences(maps))
    assert "has enough electrons" in " ".join(map_sentences(maps))


def test_a_crystal_that_bends_says_whose_intensities_are_used_and_why(tmp_path: Path) -> None:
    said = parts_sentence(by_parts(better=True))
    assert "in 7 parts" in said
    assert "0.9871 by parts and to 0.8200 in one orientation (319 reflections)" in said
    assert "the intensities are those of the parts" in said
    assert "are those in one orientation." in parts_sentence(by_parts(better=False))
    assert "Too few reflections" in parts_sentence(by_parts(better=False, half_sets_one=None, half_sets_parts=None))
    maps = maps_of(tmp_path / "maps.h5", np.ones((4, 4), dtype=bool))
    entry = map_entry(maps, "maps.h5", by_parts(better=True)).by_parts
    assert entry is not None
    assert (entry.parts, entry.used, entry.half_sets_parts) == (7, "parts", 0.9871)
    assert map_entry(maps, "maps.h5", None).by_parts is None
