"""Bloch waves against closed forms, abTEM's multislice (tests/golden/abtem-forsterite) and each other."""

import json
from pathlib import Path

import gemmi
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, special

from tasks.model import Beam, UnitCell
from tasks.simulate.bloch import bloch_waves, depths_to, intensities_at_depths
from tasks.simulate.diffraction import excitation_along_beam
from tasks.simulate.lattice import miller_sphere
from tasks.simulate.models import Structure, StructureAtom
from tasks.simulate.potential import potential

GOLDEN = Path(__file__).parents[2] / "golden" / "abtem-forsterite" / "intensities.json"
WAVELENGTH = Beam(energy_kev=300.0).wavelength_angstrom
DISPLACEMENT = {"Mg": 0.07, "Si": 0.06, "O": 0.08}
SITES = (
    ("Mg", (0.0, 0.0, 0.0)), ("Mg", (0.9915, 0.2774, 0.25)), ("Si", (0.4262, 0.0940, 0.25)),
    ("O", (0.7657, 0.0913, 0.25)), ("O", (0.2215, 0.4474, 0.25)), ("O", (0.2777, 0.1628, 0.0331)),
)  # fmt: skip


def forsterite() -> Structure:
    return Structure(
        name="forsterite",
        cell=UnitCell.of((4.756, 10.207, 5.980, 90.0, 90.0, 90.0)),
        hall=gemmi.SpaceGroup("P b n m").hall,
        atoms=tuple(
            StructureAtom(label=f"{e}{n}", element=e, position=place, u_iso_angstrom2=DISPLACEMENT[e] ** 2)
            for n, (e, place) in enumerate(SITES)
        ),
    )


@pytest.mark.parametrize("thickness", [100.0, 500.0, 1500.0])
def test_two_beams_follow_blackman(thickness: float) -> None:
    u, wave_number = 0.004, 40.0
    errors = np.linspace(-0.05, 0.05, 20001)
    matrix = np.array([[0, u], [u, 0]], dtype=np.complex128)
    depth = np.array([thickness])
    curve = [bloch_waves(matrix, np.array([0.0, s]), wave_number).intensities(depth)[1, 0] for s in errors]
    a = np.pi * thickness * u / wave_number
    blackman = np.pi * u / wave_number * integrate.quad(lambda x: special.j0(2 * x), 0, a)[0]
    assert integrate.trapezoid(curve, errors) == pytest.approx(blackman, rel=0.02 if thickness > 200 else 0.03)


@pytest.mark.parametrize(("cells", "within"), [(10, 0.02), (40, 0.04), (134, 0.12)])
@pytest.mark.parametrize("inclined", [(0.0, 0.0), (7.0, 4.0)])
def test_many_beams_agree_with_multislice(inclined: tuple[float, float], cells: int, within: float) -> None:
    """60, 240 and 800 angstrom of an oxide on and beside a zone axis, the hardest there is: 700 beams."""
    rows = json.loads(GOLDEN.read_text())[f"{inclined[0]:g} {inclined[1]:g} {cells}"]
    theirs = np.array([row[2] for row in rows])
    ours = _layers(inclined, cells * 5.980)
    mine = np.array([ours.get((row[0], row[1]), 0.0) for row in rows])
    assert np.abs(mine - theirs).sum() / theirs.sum() < within
    if any(inclined) and cells == 10:
        wrong = _layers((-inclined[0], -inclined[1]), cells * 5.980)
        other = np.array([wrong.get((row[0], row[1]), 0.0) for row in rows])
        assert np.abs(other - theirs).sum() > 5 * np.abs(mine - theirs).sum()


def _layers(inclined: tuple[float, float], thickness: float) -> dict[tuple[int, int], float]:
    structure = forsterite()
    coupling = potential(structure, d_min_angstrom=0.5, energy_kev=300.0)
    hkl = miller_sphere(structure.cell, 0.5)
    q = hkl / np.array(structure.cell.parameters[:3])
    inside = -excitation_along_beam(q, WAVELENGTH, np.array(inclined) * 1e-3)
    strength = np.where(np.abs(inside) < 0.12, np.abs(coupling.of(hkl)) / (np.abs(inside) + 1e-3), 0.0)
    best = np.argsort(-strength)[:700]
    beams = np.concatenate([np.zeros((1, 3), dtype=np.int32), hkl[best]])
    waves = bloch_waves(coupling.of(beams[:, None] - beams[None]), np.append(0.0, inside[best]), 1 / WAVELENGTH)
    sums: dict[tuple[int, int], float] = {}
    for (h, k, _), value in zip(beams.tolist(), waves.intensities(np.array([thickness]))[:, 0].tolist(), strict=True):
        sums[h, k] = sums.get((h, k), 0.0) + value
    return sums


def _random_crystal(beams: int, orientations: int) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    rng = np.random.default_rng(2)
    u = rng.normal(size=(beams, beams)) * 0.004 + 1j * rng.normal(size=(beams, beams)) * 0.004
    mean = rng.normal(size=beams) * 0.004
    excitation = mean[:, None] + rng.normal(size=(beams, orientations)) * 0.002
    excitation[0] = 0.0
    return u + u.conj().T, excitation


def test_orientations_taken_together_are_those_taken_one_by_one_and_lose_no_electron() -> None:
    u, excitation = _random_crystal(40, 6)
    depth = depths_to(600.0)
    together = intensities_at_depths(u, excitation, 50.0, depth)
    assert together.sum(axis=1) == pytest.approx(np.ones((len(depth), 6)), abs=1e-10)
    for number in range(6):
        alone = bloch_waves(u, excitation[:, number], 50.0).intensities(depth).T
        assert np.abs(together[:, :, number] - alone).max() < 0.01
        assert np.abs(together[:, :, number] - alone).sum() < 0.03 * alone[:, 1:].sum()


def test_the_potential_peaks_at_the_atoms_and_not_at_their_inverse() -> None:
    atoms = (("C", (0.1, 0.2, 0.15)), ("O", (0.35, 0.6, 0.8)), ("N", (0.7, 0.05, 0.5)))
    structure = Structure(
        name="x", cell=UnitCell.of((6.0, 7.0, 8.0, 80.0, 95.0, 100.0)), hall="P 1",
        atoms=tuple(StructureAtom(label=e, element=e, position=place) for e, place in atoms),
    )  # fmt: skip
    hkl = miller_sphere(structure.cell, 0.8)
    u = potential(structure, d_min_angstrom=1.0, energy_kev=200.0).of(hkl)
    assert np.iscomplexobj(u)
    for _, place in atoms:
        here, there = ((u * np.exp(2j * np.pi * sign * hkl @ np.array(place))).sum() for sign in (1, -1))
        assert here.imag == pytest.approx(0.0, abs=1e-9)
        assert here.real > 4 * abs(there.real)
