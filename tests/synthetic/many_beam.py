"""Intensities of continuous-rotation electron diffraction by many-beam dynamical theory (Bloch waves).

Sources: Humphreys, Rep. Prog. Phys. 42, 1825-1887 (1979), equations 2.8 to 2.21 (structure matrix, waves at depth t);
Palatinus et al., Acta Cryst. A69, 171-188 (2013) (choice of beams, integration over the rotation);
Blackman, Proc. R. Soc. A173, 68-82 (1939) (two beams). No absorption; the entrance face is normal to the beam.
"""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tasks.model import Beam, UnitCell
from tasks.simulate import models as simulated
from tasks.simulate.bloch import bloch_waves
from tasks.simulate.potential import Potential, potential

THICKNESSES = 12


class Structure(NamedTuple):
    """An asymmetric unit: (m,) symbols, (m, 3) fractional, (m,) U in angstrom^2, (m,) chemical occupancies."""

    cell: UnitCell
    group: gemmi.SpaceGroup
    elements: tuple[str, ...]
    positions: NDArray[np.float64]
    u_iso: NDArray[np.float64]
    occupancies: NDArray[np.float64]


class Rotated(NamedTuple):
    """How a crystal is measured: rotated by plus and minus `tilt_deg` about an axis normal to the beam.

    Thicknesses (angstrom) are spread evenly by plus and minus `thickness_spread` of their mean; `domains` crystals are
    inclined at random by `mosaic_deg` (root mean square).
    """

    d_min: float
    thickness: float = 500.0
    thickness_spread: float = 0.4
    tilt_deg: float = 60.0
    mosaic_deg: float = 0.06
    domains: int = 2
    step_deg: float = 0.05
    window: float = 0.01
    """Rocking curves are integrated over plus and minus this excitation error, 1/angstrom."""
    beams: int = 160
    energy_kev: float = 200.0


class Rocked(NamedTuple):
    """One passage of a reflection through the Ewald sphere each: (n, 3), |F|^2 in angstrom^2 as a thin crystal would
    give it (n,), degrees (n,)."""

    hkl: NDArray[np.int32]
    intensity: NDArray[np.float64]
    angle_deg: NDArray[np.float64]


class Beams(NamedTuple):
    """All that may diffract, (n, 3), and the potential between any two of them."""

    hkl: NDArray[np.int32]
    potential: Potential


def beams_of(structure: Structure, d_min: float, energy_kev: float) -> Beams:
    """Return the beams of a structure within `d_min` that its centring allows."""
    group = structure.group.operations()
    centring = gemmi.GroupOps([gemmi.Op("x,y,z").translated(shift) for shift in group.cen_ops])
    half = gemmi.make_miller_array(structure.cell.gemmi(), gemmi.SpaceGroup("P 1"), d_min)
    half = half[~centring.systematic_absences(half)]
    hkl = np.concatenate([half, -half]).astype(np.int32)
    return Beams(hkl, potential(_document(structure), d_min_angstrom=d_min, energy_kev=energy_kev))


def _document(structure: Structure) -> simulated.Structure:
    rows = zip(structure.elements, structure.positions.tolist(), structure.u_iso.tolist(),
               structure.occupancies.tolist(), strict=True)  # fmt: skip
    return simulated.Structure(
        name="many-beam", cell=structure.cell, hall=structure.group.hall,
        atoms=tuple(
            simulated.StructureAtom(label=f"{element}{number}", element=element, position=tuple(position),
                                    u_iso_angstrom2=u_iso, occupancy=occupancy)
            for number, (element, position, u_iso, occupancy) in enumerate(rows) if occupancy > 0
        ),
    )  # fmt: skip


def rock(structure: Structure, how: Rotated, seed: int = 0) -> Rocked:
    """Return the integrated intensities of all passages through the Ewald sphere that the rotation completes."""
    rng = np.random.default_rng(seed)
    hkl, coupling = beams_of(structure, how.d_min, how.energy_kev)
    wave_number = 1.0 / Beam(energy_kev=how.energy_kev).wavelength_angstrom
    begin = Rotation.random(random_state=rng).as_matrix()
    reciprocal = hkl @ np.array(structure.cell.gemmi().frac.mat.tolist()) @ begin.T
    inclined = [Rotation.from_rotvec(np.radians(how.mosaic_deg) * rng.normal(size=3)) for _ in range(how.domains - 1)]
    domains = [reciprocal, *(tilt.apply(reciprocal) for tilt in inclined)]
    thickness = how.thickness * np.linspace(1 - how.thickness_spread, 1 + how.thickness_spread, THICKNESSES)
    strength = np.abs(coupling.of(hkl))
    length = np.einsum("ij,ij->i", reciprocal, reciprocal)
    passing = _Passing(hkl, how, np.sqrt(length))
    for angle in np.arange(-how.tilt_deg, how.tilt_deg, how.step_deg):
        # x is the rotation axis, the beam comes along z
        sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
        errors = [-(g[:, 1] * sine + g[:, 2] * cosine) - length / (2 * wave_number) for g in domains]
        gain = np.zeros(len(length))
        for excitation in errors:
            beams = _beams(excitation, strength, how)
            both = np.concatenate([np.zeros((1, 3), dtype=np.int32), hkl[beams]])
            u = coupling.of(both[:, None, :] - both[None, :, :])
            found = bloch_waves(u, np.append(0.0, excitation[beams]), wave_number).intensities(thickness)
            gain[beams] += found.mean(axis=1)[1:] / len(domains)
        rate = np.radians(how.step_deg) * np.abs(cosine * reciprocal[:, 1] - sine * reciprocal[:, 2])
        passing.add(angle, errors[0], rate, gain)
    passed, intensity, angle_deg = passing.completed()
    # thin crystals: the integral over the excitation error is pi^2 t |U|^2 / K^2
    scale = wave_number**2 / (np.pi**2 * thickness.mean() * coupling.per_f**2)
    return Rocked(passed, intensity * scale, angle_deg)


def _beams(excitation: NDArray[np.float64], strength: NDArray[np.float64], how: Rotated) -> NDArray[np.intp]:
    """Return the rows of the beams: those near the sphere, filled up with those that scatter most from farther off."""
    distance = np.abs(excitation)
    weight = np.where(distance < how.window, 1e3 - distance, strength / (distance + 1e-6))
    chosen = np.flatnonzero(distance < 8 * how.window)
    return chosen[np.argsort(-weight[chosen], kind="stable")[: how.beams]]


class _Passing:
    """Sums of the reflections (n,) that pass through the Ewald sphere."""

    def __init__(self, hkl: NDArray[np.int32], how: Rotated, length: NDArray[np.float64]) -> None:
        n = len(hkl)
        self._hkl, self._how, self._length = hkl, how, length
        self._sum, self._angle = np.zeros(n), np.zeros(n)
        self._least, self._most = np.full(n, np.inf), np.full(n, -np.inf)
        self._open, self._begun, self._slow = (np.zeros(n, dtype=bool) for _ in range(3))
        self._first = True
        self._rows: list[tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]] = []

    def add(
        self, angle: float, excitation: NDArray[np.float64], rate: NDArray[np.float64], gain: NDArray[np.float64]
    ) -> None:
        """Add one orientation; `rate` is the step in excitation error, 1/angstrom."""
        inside = np.abs(excitation) < self._how.window
        crossed = (self._least < 0) & (self._most > 0)
        done = np.flatnonzero(self._open & ~inside & self._begun & crossed & ~self._slow)
        self._rows.append((done, self._sum[done], self._angle[done]))
        opening = inside & ~self._open
        self._sum[opening], self._least[opening], self._most[opening] = 0.0, np.inf, -np.inf
        self._slow[opening], self._begun[opening] = False, not self._first
        self._sum[inside] += (gain * rate)[inside]
        nearest = inside & (np.abs(excitation) <= rate)
        self._angle[nearest] = angle
        # beside the axis rocking curves are too broad to be measured
        self._slow |= nearest & (rate < 0.1 * self._length * np.radians(self._how.step_deg))
        self._least = np.where(inside, np.minimum(self._least, excitation), self._least)
        self._most = np.where(inside, np.maximum(self._most, excitation), self._most)
        self._open, self._first = inside, False

    def completed(self) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
        """Return indices, sums and angles of the passages that were completed."""
        rows, sums, angles = (np.concatenate(parts) for parts in zip(*self._rows, strict=True))
        return self._hkl[rows], sums, angles
