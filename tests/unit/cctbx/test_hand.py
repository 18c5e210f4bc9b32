"""Anomalous differences tell the hand: Hooft's y is 0 for the right one and 1 for its inverse."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.cctbx.refine_engine import WorkerLeastSquares
from tasks.crystal.scattering import Radiation, d_star_squared, scattering_factor
from tasks.model import FileRef, UnitCell
from tasks.refine.draft import Draft, DraftAtom, UniqueIntensities

CELL = UnitCell.of((7.1, 8.3, 9.6, 90.0, 90.0, 90.0))
HALL = "P 2ac 2ab"
SITES = {"Cl": (0.11, 0.23, 0.31), "S": (0.37, 0.12, 0.65), "C": (0.62, 0.41, 0.22), "O": (0.84, 0.33, 0.57)}
WAVELENGTH_ANGSTROM = 1.5418


def intensities(folder: Path, radiation: Radiation) -> UniqueIntensities:
    """Return both of each pair of Friedel mates, f' and f'' by Cromer and Liberman, noise of 0.5 %."""
    asu = gemmi.make_miller_array(CELL.gemmi(), gemmi.SpaceGroup("P 21 21 21"), 0.9)
    hkl = np.concatenate([asu, -asu[(asu != 0).all(axis=1)]]).astype(np.int32)  # mates in a zone are equivalents
    f = np.zeros(len(hkl), dtype=np.complex128)
    for element, place in SITES.items():
        energy_ev = 12398.42 / WAVELENGTH_ANGSTROM
        prime, second = gemmi.cromer_liberman(z=gemmi.Element(element).atomic_number, energy=energy_ev)
        factor = scattering_factor(element, d_star_squared(hkl, CELL), "xray") + prime + 1j * second
        factor = factor * np.exp(-2.0 * np.pi**2 * 0.02 * d_star_squared(hkl, CELL))
        for operation in gemmi.symops_from_hall(HALL):
            f += factor * np.exp(2j * np.pi * (hkl @ np.array(operation.apply_to_xyz(list(place)))))
    intensity = np.abs(f) ** 2
    sigma = 0.005 * intensity + 0.5
    table = folder / "unique.npz"
    noise = np.random.default_rng(1).normal(size=len(hkl))
    np.savez(table, hkl=hkl, intensity=intensity + sigma * noise, sigma=sigma)
    return UniqueIntensities(
        table=FileRef.of(table), radiation=radiation, wavelength_angstrom=WAVELENGTH_ANGSTROM, friedel_merged=False,
        unique=len(hkl), measured=len(hkl), r_int=None, completeness=1.0, d_min_angstrom=0.9, absences=0,
        absences_violated=0,
    )  # fmt: skip


def hooft(folder: Path, *, inverted: bool) -> tuple[float, float]:
    sign = -1.0 if inverted else 1.0
    atoms = tuple(
        DraftAtom(label=f"{element}1", element=element, position=tuple(sign * x for x in place), u_iso_angstrom2=0.02)
        for element, place in SITES.items()
    )
    draft = Draft(hall=HALL, unit_cell=CELL, atoms=atoms)
    found = WorkerLeastSquares(folder, 100).fit(draft, intensities(folder, "xray"), cycles=8).hooft
    assert found is not None
    return found


@pytest.mark.parametrize(("inverted", "expected"), [(False, 0.0), (True, 1.0)])
def test_the_hand_is_told_by_anomalous_differences(inverted: bool, expected: float, tmp_path: Path) -> None:
    y, esd = hooft(tmp_path, inverted=inverted)
    assert y == pytest.approx(expected, abs=max(0.1, 3 * esd))
    assert esd < 0.1


def test_without_anomalous_scattering_there_is_none(tmp_path: Path) -> None:
    data = intensities(tmp_path, "xray").model_copy(update={"wavelength_angstrom": 0.05})
    atoms = tuple(
        DraftAtom(label=f"{element}1", element=element, position=place, u_iso_angstrom2=0.02)
        for element, place in SITES.items()
    )
    draft = Draft(hall=HALL, unit_cell=CELL, atoms=atoms)
    assert WorkerLeastSquares(tmp_path, 100).fit(draft, data, cycles=4).hooft is None
