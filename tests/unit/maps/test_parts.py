"""A crystal divided by the orientation of its positions."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import tasks.maps.parts
from tasks.maps.models import CrystalMaps
from tasks.maps.parts import number_of_parts, parts_by_orientation
from tasks.model import FileRef
from tasks.model.provenance import Provenance
from tests.synthetic.crystal_forms import TRICLINIC, Form, crystal

SHAPE = (14, 20)


def bent_maps(folder: Path, bend_deg: float) -> tuple[CrystalMaps, np.ndarray]:
    """Return maps of a crystal that turns from left to right, its rim unknown, and its positions at three tilts."""
    body = np.zeros(SHAPE, dtype=bool)
    body[3:11, 4:16] = True
    known = np.zeros(SHAPE, dtype=bool)
    known[4:10, 4:16] = True
    turn = np.where(known, np.linspace(-0.5, 0.5, SHAPE[1]) * bend_deg * SHAPE[1] / 12, np.nan)
    cell = np.where(body, np.arange(body.size).reshape(SHAPE), -1)
    cell = np.stack([cell, np.where(cell % 7 == 0, -1, cell), cell])  # some positions lie on no cell of the map
    with h5py.File(folder / "maps.h5", "w") as file:
        file["rotation_deg"] = turn[..., None] * np.array([0.0, 0.6, 0.8])
        file["electrons"] = np.where(body, 1000.0, 0.0)
        file["cell"] = cell
    document = CrystalMaps(
        id="crystal-01", file=FileRef.of(folder / "maps.h5"), tilt_deg=0.0, positions=int(known.sum()), pooled=0,
        left_out=0, electrons=1e6, angle_sigma_deg=0.02, bend_deg=bend_deg, bend_sigma_deg=0.01, curve_ratio=0.7,
        curve_ratio_sigma=0.01, spread=1.0, scale_sigma=0.05, strain_sigma=3e-4, curve_sigma=0.02,
        provenance=Provenance(engine="test", version="1"),
    )  # fmt: skip
    return document, np.stack([body, body, body])


def test_every_position_is_in_exactly_one_part(tmp_path: Path) -> None:
    maps, masks = bent_maps(tmp_path, 3.0)
    parts = parts_by_orientation(maps, masks, 5)
    assert len(parts) == 5
    assert np.array_equal(np.sum([part.masks for part in parts], axis=0), masks.astype(int))


def test_parts_follow_the_turn_of_the_lattice(tmp_path: Path) -> None:
    maps, masks = bent_maps(tmp_path, 3.0)
    parts = parts_by_orientation(maps, masks, 4)
    turns = np.array([part.turn_deg for part in parts]) @ np.array([0.0, 0.6, 0.8])
    columns = [np.argwhere(part.masks[0])[:, 1].mean() for part in parts]
    assert np.all(np.diff(turns) * np.sign(turns[1] - turns[0]) > 0)
    assert np.corrcoef(turns, columns)[0, 1] > 0.999
    assert np.ptp(turns) == pytest.approx(3.0 * 3 / 4, rel=0.1)  # middles of four parts


@pytest.mark.parametrize(
    ("bend_deg", "changes", "parts"),
    [
        (1.0, {}, 5),
        (9.0, {}, 9),
        (0.4, {}, 1),  # two widths of a curve
        (1.0, {"bend_sigma_deg": 0.3}, 1),
        (1.0, {"bend_deg": None, "bend_sigma_deg": None}, 1),
        (1.0, {"positions": 14}, 2),
        (1.0, {"electrons": 3.5 * 7 * 0.7}, 3),  # for each observation of the whole
        (1.0, {"electrons": 1.5 * 7 * 0.7}, 1),
    ],
)
def test_a_bend_is_divided_by_widths_of_the_curve_as_far_as_electrons_reach(
    bend_deg: float, changes: dict, parts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.maps.parts, "position_width_deg", lambda _maps, _reflections: 0.2)
    data = crystal("crystal-01", Form(TRICLINIC, "P -1", 1), tmp_path, seed=1, normal=(1, 0, 0))
    maps = bent_maps(tmp_path, bend_deg)[0].model_copy(update=changes)
    electrons = maps.electrons * data.overall.observations if "electrons" in changes else maps.electrons
    assert number_of_parts(maps.model_copy(update={"electrons": electrons}), data) == parts
