"""A right structure finds its way back from where it was shaken to, however stiff, and however flat its intensities."""

from pathlib import Path

import pytest

from adapters.cctbx.refine_engine import WorkerLeastSquares
from tasks.refine.chain import unique_intensities
from tasks.refine.draft import DraftFit, UniqueIntensities
from tasks.refine.strategy import first_draft
from tasks.refine.validation import recovery, without_hydrogen
from tests.synthetic.structures import forsterite
from tests.synthetic.true_model import true_model

CYCLES = 40


def fitted(
    folder: Path, *, u_iso: float, flattening: float, extinction: float | None
) -> tuple[WorkerLeastSquares, UniqueIntensities, DraftFit]:
    """Return the true structure, fitted to its intensities."""
    data, solution = true_model(forsterite(), folder / "data", u_iso=u_iso, flattening=flattening)
    engine = WorkerLeastSquares(folder, 100)
    intensities = unique_intensities(engine, data, solution, None)
    draft = first_draft(solution).model_copy(update={"extinction": extinction})
    return engine, intensities, engine.fit(draft, intensities, cycles=CYCLES)


def test_with_strong_extinction_it_comes_back(tmp_path: Path) -> None:
    engine, intensities, fit = fitted(tmp_path, u_iso=0.005, flattening=0.3, extinction=0.001)
    assert fit.r1 < 0.12
    assert fit.draft.extinction is not None
    assert fit.draft.extinction > 1e4
    found = recovery(engine, fit, intensities, tries=4)
    assert found is not None
    assert found.r1_free < 0.15
    assert found.displacement_angstrom < 0.05


def test_displacements_that_were_held_at_their_floor_are_refined_again(tmp_path: Path) -> None:
    engine, intensities, fit = fitted(tmp_path, u_iso=0.001, flattening=0.0, extinction=None)
    held = [atom.model_copy(update={"refine_u": False, "u_iso_angstrom2": 0.002}) for atom in fit.draft.atoms]
    fit = fit.model_copy(update={"draft": fit.draft.model_copy(update={"atoms": tuple(held)})})
    assert all(atom.refine_u and atom.refine_position for atom in without_hydrogen(fit.draft).atoms)
    found = recovery(engine, fit, intensities)
    assert found is not None
    assert found.r1_free == pytest.approx(fit.r1, abs=0.02)
