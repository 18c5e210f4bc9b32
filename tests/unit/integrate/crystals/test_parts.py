"""Parts of a crystal joined, with known intensities."""

from pathlib import Path

import gemmi
import h5py
import numpy as np
import pytest

from tasks.crystal.lattice import fractionalisation
from tasks.integrate.assemble import Particulars, assemble_reflections
from tasks.integrate.crystals.parts import join_parts, whole_in_shown_symmetry
from tasks.integrate.models import Reflections
from tasks.integrate.pictures import in_other_axes
from tasks.integrate.reflection_file import Unmerged
from tasks.model import FileRef, UnitCell
from tasks.model.provenance import Provenance
from tests.synthetic.crystal_forms import Form

CELL = UnitCell.of((6.1, 8.3, 9.7, 90.0, 90.0, 90.0))
FORM = Form(CELL, "P m m m", 4)
SCALES = (1.0, 0.5, 2.0)


def measured(name: str, folder: Path, *, relative: float, laue: str, scale: float = 1.0, seed: int = 0) -> Reflections:
    """Return what is measured of a half of all reflections, off by relative errors."""
    rng = np.random.default_rng(seed)
    rows = rng.random(len(FORM.hkl)) < 0.5
    value = scale * FORM.true[rows]
    data = Unmerged(
        FORM.hkl[rows], value * np.exp(rng.normal(0, relative, len(value))), 0.05 * value + 0.1 * scale,
        rng.uniform(-60, 60, len(value)), np.zeros(len(value), dtype=np.int32),
    )  # fmt: skip
    (folder / name).mkdir()
    said = Particulars(
        wavelength_angstrom=0.02,
        provenance=Provenance(engine="test", version="1"),
        unit_cell_esd=(0.001,) * 6,
        warnings=("the Laue group P -1 is uncertain", "5 of 9 observations left out: poor"),
    )
    return assemble_reflections(name, data, CELL, said, laue=gemmi.SpaceGroup(laue), workdir=folder / name)


def parts_and_whole(
    folder: Path, *, whole: float, parts: float, laue: str
) -> tuple[tuple[Reflections, ...], Reflections]:
    each = tuple(
        measured(f"crystal-01-part-{n}", folder, relative=parts, laue=laue, scale=scale, seed=n)
        for n, scale in enumerate(SCALES, 1)
    )
    return each, measured("crystal-01", folder, relative=whole, laue=laue)


def test_parts_are_brought_to_one_scale_and_taken_where_they_agree_better(tmp_path: Path) -> None:
    parts, whole = parts_and_whole(tmp_path, whole=0.6, parts=0.1, laue="P m m m")
    found = join_parts(parts, whole, whole, 2.0, workdir=tmp_path / "joined")
    assert np.array(found.scales) * SCALES == pytest.approx(1.0, rel=0.05)
    assert found.better
    assert found.used is found.joined
    assert found.half_sets_parts > 0.98 > found.half_sets_one
    assert found.joined.overall.observations == sum(part.overall.observations for part in parts)
    merged = found.joined.unique_reflections
    truth = {tuple(h): value for h, value in zip(FORM.hkl.tolist(), FORM.true.tolist(), strict=True)}
    assert np.corrcoef(merged.intensity, [truth[tuple(h)] for h in merged.hkl.tolist()])[0, 1] > 0.99
    assert found.joined.unit_cell == CELL
    assert "the Laue group P -1 is uncertain" in found.joined.warnings
    assert not any("9 observations" in text for text in found.joined.warnings)  # of the whole, not of the parts


def test_parts_that_agree_worse_are_not_used(tmp_path: Path) -> None:
    parts, whole = parts_and_whole(tmp_path, whole=0.05, parts=0.8, laue="P m m m")
    found = join_parts(parts, whole, whole, 2.0, workdir=tmp_path / "joined")
    assert not found.better
    assert found.used is found.one


def test_a_laue_group_that_the_bend_hid_is_found_by_the_parts(tmp_path: Path) -> None:
    parts, whole = parts_and_whole(tmp_path, whole=0.9, parts=0.1, laue="P -1")
    shown = whole_in_shown_symmetry(parts, whole, workdir=tmp_path / "whole")
    assert shown.laue_group == "P m m m"
    assert shown.overall.unique < 0.5 * whole.overall.unique
    assert shown.unit_cell_esd is None  # it was that of other axes
    assert not any("P -1 is uncertain" in text for text in shown.warnings)
    assert any("P m m m by parts" in text and "P -1 for the bent" in text for text in shown.warnings)


def test_a_laue_group_that_parts_show_too_is_left_as_it_is(tmp_path: Path) -> None:
    parts, whole = parts_and_whole(tmp_path, whole=0.3, parts=0.1, laue="P m m m")
    assert whole_in_shown_symmetry(parts, whole, workdir=tmp_path / "whole") == whole


def test_pictures_in_other_axes_show_the_same_scattering_vectors(tmp_path: Path) -> None:
    basis, change = fractionalisation(CELL).T, np.array([[0, 1, 0], [1, 0, 0], [0, 1, -1]])
    hkl = FORM.hkl[:50]
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file["hkl"], file["rocking/hkl"], file["rocking/scale"] = hkl, hkl, np.ones(3)
        file["geometry/basis"], file["geometry/setting"] = basis, np.stack([basis, 2 * basis])
        file["geometry"].attrs["axis"] = (1.0, 0.0, 0.0)
    moved = in_other_axes(FileRef.of(tmp_path / "old.h5"), change, tmp_path / "new.h5")
    with h5py.File(moved.path, "r") as file:
        for name in ("hkl", "rocking/hkl"):
            assert np.array_equal(file[name][()], hkl @ change)
        assert file["hkl"][()] @ file["geometry/basis"][()].T == pytest.approx(hkl @ basis.T, abs=1e-12)
        assert file["geometry/setting"][1] == pytest.approx(2 * file["geometry/basis"][()], abs=1e-12)
        assert tuple(file["geometry"].attrs["axis"]) == (1.0, 0.0, 0.0)
