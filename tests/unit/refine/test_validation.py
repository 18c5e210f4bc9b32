"""A right structure finds its way back from where it was shaken to, however stiff, and however flat its intensities."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.cctbx.refine_engine import WorkerLeastSquares
from tasks.crystal.scattering import structure_factors
from tasks.refine.chain import unique_intensities
from tasks.refine.draft import DraftFit, UniqueIntensities
from tasks.refine.strategy import first_draft
from tasks.refine.validation import recovery, without_hydrogen
from tasks.simulate.models import Structure
from tasks.solve.models import Atom, Solution
from tests.synthetic.reflections_from_hkl import reflections_from_hkl
from tests.synthetic.structures import forsterite

CYCLES = 40


def fitted(
    structure: Structure, folder: Path, *, u_iso: float, flattening: float, extinction: float | None
) -> tuple[WorkerLeastSquares, UniqueIntensities, DraftFit]:
    """Return the true structure, fitted to its intensities to 0.7 A: I to the power of 1 - flattening, noise of 4 %."""
    group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(structure.hall))
    hkl = gemmi.make_miller_array(structure.cell.gemmi(), group, 0.7).astype(np.int32)
    count = len(structure.atoms)
    f = structure_factors(
        hkl, structure.cell, group.operations(), elements=[atom.element for atom in structure.atoms],
        positions=np.array([atom.position for atom in structure.atoms]), u_iso_angstrom2=np.full(count, u_iso),
        occupancies=np.ones(count), radiation="electron",
    )  # fmt: skip
    intensity = np.abs(f) ** (2.0 * (1.0 - flattening))
    sigma = 0.04 * intensity + 0.01 * intensity.mean()
    observed = intensity + sigma * np.random.default_rng(0).normal(size=len(hkl))
    data = reflections_from_hkl(
        folder / "data", "crystal", hkl=hkl, intensity=1000.0 * observed, sigma=1000.0 * sigma, cell=structure.cell,
        laue_group="P m m m", space_group=group.xhm(),
    )  # fmt: skip
    atoms = tuple(
        Atom(label=atom.label, element=atom.element, position=atom.position, u_iso_angstrom2=0.006)
        for atom in structure.atoms
    )
    solution = Solution(
        space_group=group.xhm(), hall=structure.hall, unit_cell=structure.cell, atoms=atoms, r1=0.1, verdict="solved"
    )
    engine = WorkerLeastSquares(folder, 100)
    intensities = unique_intensities(engine, data, solution, None)
    draft = first_draft(solution).model_copy(update={"extinction": extinction})
    return engine, intensities, engine.fit(draft, intensities, cycles=CYCLES)


def test_with_strong_extinction_it_comes_back(tmp_path: Path) -> None:
    engine, intensities, fit = fitted(forsterite(), tmp_path, u_iso=0.005, flattening=0.3, extinction=0.001)
    assert fit.r1 < 0.12
    assert fit.draft.extinction > 1e4
    found = recovery(engine, fit, intensities, tries=4)
    assert found is not None
    assert found.r1_free < 0.15
    assert found.displacement_angstrom < 0.05


def test_displacements_that_were_held_at_their_floor_are_refined_again(tmp_path: Path) -> None:
    engine, intensities, fit = fitted(forsterite(), tmp_path, u_iso=0.001, flattening=0.0, extinction=None)
    held = [atom.model_copy(update={"refine_u": False, "u_iso_angstrom2": 0.002}) for atom in fit.draft.atoms]
    fit = fit.model_copy(update={"draft": fit.draft.model_copy(update={"atoms": tuple(held)})})
    assert all(atom.refine_u and atom.refine_position for atom in without_hydrogen(fit.draft).atoms)
    found = recovery(engine, fit, intensities)
    assert found is not None
    assert found.r1_free == pytest.approx(fit.r1, abs=0.02)
