"""Intensities are corrected by direction where that is right, and left alone where it is not."""

from pathlib import Path

import gemmi
import numpy as np

from adapters.cctbx.numerics import WorkerLeastSquares
from tasks.crystal.scattering import structure_factors
from tasks.model import FileRef, UnitCell
from tasks.refine.direction_scale import directions_of
from tasks.refine.draft import Draft, DraftAtom, UniqueIntensities
from tasks.refine.progress import RefineProgress
from tasks.refine.strategy import scaled_by_direction

CELL = UnitCell.of((7.0, 8.0, 9.0, 90.0, 90.0, 90.0))
HALL = "P 2ac 2ab"
SITES = {"C1": (0.2, 0.2, 0.2), "C2": (0.42, 0.2, 0.2), "O1": (0.2, 0.4, 0.2), "N1": (0.2, 0.2, 0.36)}


def measured(folder: Path, absorption: float) -> UniqueIntensities:
    """Return intensities with noise of 5 %, weakened along a by exp(-absorption)."""
    grid = np.stack(np.meshgrid(*[np.arange(0, 11)] * 3, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)[1:]
    group = gemmi.symops_from_hall(HALL)
    near = grid[CELL.gemmi().calculate_d_array(grid) > 0.85]
    hkl = np.array([row for row in near if not group.is_systematically_absent(row.tolist())], np.int32)
    f = structure_factors(
        hkl, CELL, group, elements=[label[0] for label in SITES], positions=np.array(list(SITES.values())),
        u_iso_angstrom2=np.full(4, 0.03), occupancies=np.ones(4), radiation="electron",
    )  # fmt: skip
    intensity = np.abs(f) ** 2 * np.exp(-absorption * directions_of(hkl, CELL)[:, 0] ** 2)
    sigma = 0.05 * intensity + 0.002 * intensity.mean()
    np.savez(folder / "data.npz", hkl=hkl, intensity=np.random.default_rng(2).normal(intensity, sigma), sigma=sigma)
    return UniqueIntensities(
        table=FileRef.of(folder / "data.npz"), radiation="electron", wavelength_angstrom=0.02, friedel_merged=True,
        unique=len(hkl), measured=len(hkl), r_int=None, completeness=1.0, d_min_angstrom=0.85, absences=0,
        absences_violated=0,
    )  # fmt: skip


def gone_on(folder: Path, absorption: float) -> tuple[RefineProgress, RefineProgress]:
    """Return the refinement before and after the step."""
    data, engine = measured(folder, absorption), WorkerLeastSquares(folder, 120.0)
    atoms = tuple(
        DraftAtom(label=label, element=label[0], position=place, u_iso_angstrom2=0.03) for label, place in SITES.items()
    )
    fit = engine.fit(Draft(hall=HALL, unit_cell=CELL, atoms=atoms), data, cycles=15)
    before = RefineProgress(fit, ())
    after, intensities = scaled_by_direction(engine, before, data, folder)
    assert (intensities == data) == (after.fit == before.fit)
    return before, after


def test_an_absorption_along_one_axis_is_taken_off_and_the_gain_is_said(tmp_path: Path) -> None:
    before, after = gone_on(tmp_path, 0.8)
    assert after.fit.r1 < 0.6 * before.fit.r1
    assert "left-out reflections" in after.attempts[0].reason
    assert after.attempts[0].outcome.startswith("kept")


def test_data_without_it_are_left_as_they_are(tmp_path: Path) -> None:
    before, after = gone_on(tmp_path, 0.0)
    assert after.fit is before.fit
    assert "not needed" in after.attempts[0].reason or "not taken" in after.attempts[0].reason
