"""A structure's indices and those of its intensities, whatever axes were changed between them."""

from pathlib import Path

import numpy as np
import pytest

from tasks.integrate.crystals.combine import combine_crystals
from tasks.model import UnitCell
from tasks.refine import FittedIntensities
from tasks.report.worst_axes import axes_of_data, axes_of_member
from tests.synthetic.reflections_from_hkl import reflections_from_hkl

CELL = UnitCell.of([6.0, 7.0, 7.0, 90.0, 90.0, 90.0])  # by its metric tetragonal, by its intensities not
HKL = np.array([(h, k, l) for h in range(5) for k in range(6) for l in range(6) if h + k + l], dtype=np.int32)
F_SQUARED = np.random.default_rng(4).gamma(1.0, 50.0, len(HKL)) + 1.0


def data_of(
    folder: Path, name: str = "crystal-01", *, laue_group: str = "P m m m", turned: bool = False, seed: int = 1
):
    """Return observations at angles of their own."""
    rng = np.random.default_rng(seed)
    hkl = HKL * rng.choice([-1, 1], (len(HKL), 3)).astype(np.int32)
    cell = CELL
    if turned:
        hkl, cell = np.ascontiguousarray(hkl[:, [1, 2, 0]]), UnitCell.of([7.0, 7.0, 6.0, 90.0, 90.0, 90.0])
    made = reflections_from_hkl(
        folder, name, hkl=hkl, intensity=3.0 * F_SQUARED, sigma=0.03 * F_SQUARED + 0.1, cell=cell,
        laue_group=laue_group, space_group="P 2 2 2",
    )  # fmt: skip
    with np.load(made.unmerged.path) as file:
        columns = dict(file)
    np.savez(made.unmerged.path, **{**columns, "angle_deg": rng.uniform(-60, 60, len(HKL))})
    return made


@pytest.mark.parametrize("order", [[0, 1, 2], [0, 2, 1], [1, 2, 0]])
def test_axes_that_the_structure_changed_are_found_by_the_intensities(tmp_path: Path, order: list[int]) -> None:
    cell = UnitCell.of([*np.array(CELL.parameters[:3])[order].tolist(), 90.0, 90.0, 90.0])
    signs = np.array([1, 1, 1]) if order != [0, 2, 1] else np.array([-1, 1, 1])  # right-handed
    fitted = FittedIntensities(cell, HKL[:, order] * signs.astype(np.int32), F_SQUARED, F_SQUARED, F_SQUARED)
    axes = axes_of_data(fitted, "P 2 2", data_of(tmp_path))
    assert axes is not None
    for row in (7, 44, 101):
        indices = np.abs(axes.of(tuple(fitted.hkl[row].tolist())))
        assert (indices == HKL[row]).all()


def test_intensities_of_another_crystal_have_no_plain_axes(tmp_path: Path) -> None:
    other = np.random.default_rng(9).permutation(F_SQUARED)
    assert axes_of_data(FittedIntensities(CELL, HKL, other, other, other), "P 2 2", data_of(tmp_path)) is None


def test_the_indices_of_merged_data_lead_back_to_those_of_each_crystal(tmp_path: Path) -> None:
    first, second = data_of(tmp_path, "one"), data_of(tmp_path, "two", turned=True, seed=2)
    (cluster,) = combine_crystals((first, second), workdir=tmp_path / "merged").clusters
    merged = cluster.merged
    assert merged is not None
    known = {
        one.id: {tuple(np.abs(hkl)): value for hkl, value in zip(one.hkl.tolist(), one.intensity)}
        for one in (first, second)
    }
    for crystal in (first, second):
        axes = axes_of_member(merged, crystal)
        assert axes is not None
        pairs = [
            (value, known[crystal.id][tuple(np.abs(axes.of(tuple(hkl))[0]).tolist())])
            for hkl, value in zip(merged.hkl.tolist(), merged.intensity)
        ]
        assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.999
    assert axes_of_member(merged, first.model_copy(update={"id": "three"})) is None
