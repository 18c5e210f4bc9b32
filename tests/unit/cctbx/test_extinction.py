"""Extinction in least squares: strong reflections of a thick crystal, weakened as in the two-beam case."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.cctbx.client import ask
from adapters.cctbx.messages import FitRequest
from tasks.crystal.scattering import structure_factors
from tasks.model import FileRef, UnitCell
from tasks.refine.draft import Draft, DraftAtom, DraftFit, UniqueIntensities
from tests.synthetic.solve_dynamical import two_beam

CELL, HALL, U = UnitCell.of((6.0, 6.5, 7.0, 90.0, 90.0, 90.0)), "P 1", (0.02, 0.03, 0.025)
SITES = {"O1": (0.4, 0.35, 0.3), "C1": (0.64, 0.35, 0.3), "Si1": (0.1, 0.8, 0.7)}


def fitted(folder: Path, thickness: float) -> DraftFit:
    """Return the fit to noisy intensities of crystals of a Blackman thickness, from displacements all alike."""
    grid = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 3, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)
    half = grid[(grid[:, 0] > 0) | ((grid[:, 0] == 0) & ((grid[:, 1] > 0) | ((grid[:, 1] == 0) & (grid[:, 2] > 0))))]
    hkl = half[CELL.gemmi().calculate_d_array(half) > 0.75]
    f = structure_factors(
        hkl, CELL, gemmi.symops_from_hall(HALL), elements=["O", "C", "Si"], positions=np.array(list(SITES.values())),
        u_iso_angstrom2=np.array(U), occupancies=np.ones(3), radiation="electron",
    )  # fmt: skip
    intensity = two_beam(np.abs(f), thickness)
    sigma = 0.05 * intensity + 0.01 * intensity.mean()
    noisy = np.random.default_rng(4).normal(intensity, sigma)
    np.savez(folder / "data.npz", hkl=hkl, intensity=noisy, sigma=sigma)
    intensities = UniqueIntensities(
        table=FileRef.of(folder / "data.npz"), radiation="electron", wavelength_angstrom=0.0197, friedel_merged=True,
        unique=len(hkl), measured=len(hkl), r_int=None, completeness=1.0, d_min_angstrom=0.75, absences=0,
        absences_violated=0,
    )  # fmt: skip
    atoms = tuple(
        DraftAtom(label=label, element=label[:-1], position=place, u_iso_angstrom2=0.02)
        for label, place in SITES.items()
    )
    draft = Draft(hall=HALL, unit_cell=CELL, atoms=atoms, extinction=0.001)
    request = FitRequest(draft=draft, intensities=intensities, cycles=40, output=folder / "fit.npz")
    return ask([request], folder, timeout_s=120).replies[0].fit


@pytest.mark.parametrize("thickness", [0.8, 1.2])
def test_strong_extinction_settles_with_the_displacements_that_are_true(thickness: float, tmp_path: Path) -> None:
    fit = fitted(tmp_path, thickness)
    assert fit.converged
    assert fit.r1 < 0.1
    assert [atom.u_iso_angstrom2 for atom in fit.draft.atoms] == pytest.approx(U, abs=0.008)
