"""Symmetry that a refined model has beyond its group: found, refined, taken or refused by the data."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from tasks.crystal.scattering import structure_factors
from tasks.integrate.reflection_file import Merged
from tasks.model import FileRef, InputError, UnitCell
from tasks.refine.draft import Draft, DraftAtom, DraftFit, UniqueIntensities
from tasks.refine.missed_symmetry import (
    Standing,
    in_its_symmetry,
    missed_symmetry,
    newly_forbidden,
    off_its_lattice,
    over_enough,
    solution_in,
)
from tasks.refine.observed import on_its_lattice, reindexed
from tasks.refine.progress import RefineProgress
from tasks.refine.settings import RefineSettings
from tasks.refine.validation import Recovery
from tasks.solve import Atom, Solution
from tests.synthetic.drafts import fit_of, intensities_of
from tests.synthetic.solve_cases import reflections_document

CELL = UnitCell.of((8, 9, 10, 80, 95, 100))
PLACE = np.random.default_rng(5).random((4, 3))
ELEMENTS = ("C", "N", "O", "S")


def draft_of(elements: tuple[str, ...], place: np.ndarray, cell: UnitCell, hall: str = "P 1") -> Draft:
    atoms = tuple(
        DraftAtom(label=f"{element}{row}", element=element, position=tuple(x.tolist()))
        for row, (element, x) in enumerate(zip(elements, place, strict=True), start=1)
    )
    return Draft(hall=hall, unit_cell=cell, atoms=atoms)


def solution_of(draft: Draft) -> Solution:
    atoms = tuple(Atom(label=a.label, element=a.element, position=a.position) for a in draft.atoms)
    return Solution(space_group="P 1", hall="P 1", unit_cell=draft.unit_cell, atoms=atoms, r1=0.1, verdict="solved")


def with_centre(noise: float) -> np.ndarray:
    return np.concatenate([PLACE, 0.3 - PLACE]) + noise * np.random.default_rng(1).normal(size=(8, 3))


def standing(draft: Draft, intensities: UniqueIntensities, folder: Path) -> Standing:
    fit = fit_of(draft, folder / "fit.npz")
    return Standing(solution_of(draft), intensities, RefineProgress(fit, ()), None)


def test_a_centre_is_found_and_the_atoms_of_both_halves_become_one(tmp_path: Path) -> None:
    fit = fit_of(draft_of(ELEMENTS * 2, with_centre(0.003), CELL), tmp_path / "fit.npz")
    (found, *_) = missed_symmetry(fit)
    assert found.group.xhm() == "P -1"
    solution = solution_in(found, fit, solution_of(fit.draft))
    assert sorted(atom.element for atom in solution.atoms) == sorted(ELEMENTS)
    assert solution.unit_cell == CELL
    assert np.array_equal(solution.to_solution_cell, np.eye(3))
    # the centre, at 0.15 of each axis, is the origin now
    first = np.array(solution.atoms[0].position) - (PLACE[0] - 0.15)
    assert np.abs(first - np.round(first)).max() < 0.01


def test_a_centre_is_found_where_elements_are_named_wrong(tmp_path: Path) -> None:
    fit = fit_of(draft_of((*ELEMENTS, "N", "C", "C", "S"), with_centre(0.003), CELL), tmp_path / "fit.npz")
    assert [found.group.xhm() for found in missed_symmetry(fit)] == ["P -1"]


def test_a_structure_without_more_symmetry_is_left_alone(tmp_path: Path) -> None:
    draft = draft_of(ELEMENTS, PLACE, CELL)
    before = standing(draft, intensities_of(tmp_path / "i.npz"), tmp_path)
    data = data_of(tmp_path, draft)
    after = in_its_symmetry(Unasked(), data, before, composition=None, settings=RefineSettings())
    assert after.standing is before
    assert after.remarks == ()


def test_it_is_not_looked_for_where_it_is_switched_off(tmp_path: Path) -> None:
    draft = draft_of(ELEMENTS * 2, with_centre(0.0), CELL)
    before = standing(draft, intensities_of(tmp_path / "i.npz"), tmp_path)
    settings = RefineSettings(missed_symmetry=False)
    after = in_its_symmetry(Unasked(), data_of(tmp_path, draft), before, composition=None, settings=settings)
    assert after.standing is before


class Unasked:
    """Least squares that must not be asked."""

    program = "none"

    def merged(self, *_: object) -> UniqueIntensities:
        raise AssertionError("merged")

    def fit(self, *_: object, **__: object) -> DraftFit:
        raise AssertionError("fitted")


def data_of(folder: Path, draft: Draft):
    merged = merged_of(draft)
    return reflections_document(
        folder / "data", name="x", merged=merged, cell=draft.unit_cell, laue="P -1", radiation="electron"
    )


def merged_of(draft: Draft) -> Merged:
    hkl = gemmi.make_miller_array(draft.unit_cell.gemmi(), gemmi.SpaceGroup("P -1"), 1.0).astype(np.int32)
    count = len(draft.atoms)
    f = structure_factors(
        hkl, draft.unit_cell, gemmi.SpaceGroup("P 1").operations(), elements=tuple(a.element for a in draft.atoms),
        positions=np.array([a.position for a in draft.atoms]), u_iso_angstrom2=np.full(count, 0.02),
        occupancies=np.ones(count), radiation="electron",
    )  # fmt: skip
    intensity = np.abs(f) ** 2
    return Merged(hkl, intensity, 0.02 * intensity + 1e-3, np.ones(len(hkl), dtype=np.int32))


def doubled(shift: float) -> Draft:
    """Return a cell of two halves, the second shifted against the first by a part of the axis."""
    cell = UnitCell.of((16, 9, 10, 80, 95, 100))
    place = PLACE * [0.5, 1, 1]
    return draft_of(ELEMENTS * 2, np.concatenate([place, place + np.array([0.5 + shift, 0, 0])]), cell)


def intensities_in(folder: Path, draft: Draft) -> UniqueIntensities:
    merged = merged_of(draft)
    path = folder / "unique.npz"
    with path.open("wb") as stream:
        np.savez(stream, hkl=merged.hkl, intensity=merged.intensity, sigma=merged.sigma)
    return intensities_of(folder / "plain.npz").model_copy(update={"table": FileRef.of(path)})


@pytest.mark.parametrize(("shift", "refused"), [(0.0, False), (0.004, True)])
def test_reflections_that_only_a_small_cell_lacks_speak_against_it(tmp_path: Path, shift: float, refused: bool) -> None:
    (found, *_) = missed_symmetry(fit_of(doubled(0.0), tmp_path / "fit.npz"))
    before = standing(doubled(shift), intensities_in(tmp_path, doubled(shift)), tmp_path)
    gained = newly_forbidden(found, before)
    assert (gained > 1e-6) == refused


def test_a_small_cell_takes_the_reflections_that_it_has_indices_for(tmp_path: Path) -> None:
    draft = doubled(0.0)
    fit = fit_of(draft, tmp_path / "fit.npz")
    (found, *_) = missed_symmetry(fit)
    solution = solution_in(found, fit, solution_of(draft))
    data = data_of(tmp_path, draft)
    with pytest.raises(InputError, match="fractions"):
        reindexed(data, solution)
    table = on_its_lattice(data, solution)
    assert len(table.hkl) == int((merged_of(draft).hkl[:, 0] % 2 == 0).sum())


def test_reflections_between_the_points_of_a_smaller_cells_lattice_are_told_from_filled_absences(
    tmp_path: Path,
) -> None:
    # sodium and chlorine by one name: the atoms obey a cell of half the edge, the odd reflections do not
    cubic = UnitCell.of((5.6, 5.6, 5.6, 90, 90, 90))
    draft = draft_of(("Mg", "Mg"), np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]), cubic, "-F 4 2 3")
    hkl = np.array([[2, 0, 0], [2, 2, 0], [1, 1, 1], [3, 1, 1]], dtype=np.int32)
    intensities = intensities_of(tmp_path / "i.npz")
    np.savez(tmp_path / "i.npz", hkl=hkl, intensity=np.array([90.0, 90.0, 10.0, 10.0]))
    before = standing(draft, intensities, tmp_path)
    (found, *_) = missed_symmetry(before.progress.fit)
    assert found.group.xhm() == "P m -3 m"
    assert off_its_lattice(found, before) == pytest.approx(0.2)
    after = in_its_symmetry(Unasked(), data_of(tmp_path, draft), before, composition=None, settings=RefineSettings())
    assert after.standing is before
    assert "between the points of its lattice have 20%" in after.remarks[0]


class Scattering(Unasked):
    """Least squares whose R1 of ten left-out reflections hangs on which they are."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "drawn.npz"

    def fit(self, draft: Draft, *_: object, seed: int, **__: object) -> DraftFit:
        return fit_of(draft, self.path, r1_free=0.10 if seed % 2 else 0.16, reflections_free=10)


def test_few_left_out_reflections_are_drawn_again_before_groups_are_compared(tmp_path: Path) -> None:
    before = standing(draft_of(ELEMENTS, PLACE, CELL), intensities_of(tmp_path / "i.npz"), tmp_path)
    few = before._replace(recovery=Recovery(0.08, 0.16, 20, 0.01))
    after = over_enough(Scattering(tmp_path), few)
    assert after.recovery == Recovery(0.08, pytest.approx(0.13), 100, 0.01)


def test_many_left_out_reflections_are_enough(tmp_path: Path) -> None:
    before = standing(draft_of(ELEMENTS, PLACE, CELL), intensities_of(tmp_path / "i.npz"), tmp_path)
    many = before._replace(recovery=Recovery(0.08, 0.16, 100, 0.01))
    assert over_enough(Unasked(), many) is many
