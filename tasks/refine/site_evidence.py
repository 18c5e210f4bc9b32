"""What the intensities say of the elements of all sites together, when everything else may adapt to them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.scattering import Radiation, d_star_squared, scattering_factor
from tasks.crystal.symmetry import operations_from_hall
from tasks.model import UnitCell
from tasks.refine.draft import DraftAtom
from tasks.refine.geometry import site_order

SCALE_SPREAD = 0.05
"""Relative: more is not made up for, else the scale of the old amplitudes would stand in for a heavy atom left out."""
LN_U_SPREAD = 0.5
"""Standard deviation of ln U between the atoms of one structure."""
U_RANGE_ANGSTROM2 = (0.01, 0.1)
"""Within which the typical U of a structure is taken to lie, minerals in the cold to molecules at room temperature:
outside it the median itself is spoiled by wrong elements. Chosen, not measured."""
MOST_REFLECTIONS = 6000
"""Evenly taken from more, which stand for the rest. `evidence_of` with 60 atoms of three options, 20 000 random
reflections, P2(1)/c: 0.6 CPU s with 6000, 3.4 s with all."""
HELD_SHIFT_ANGSTROM = 0.1
"""Atoms move no further than about this when elements change."""


class Residual(NamedTuple):
    """Observed and calculated amplitudes with weights, (n,); `f` is complex."""

    hkl: NDArray[np.int32]
    f_obs: NDArray[np.float64]
    weight: NDArray[np.float64]
    f: NDArray[np.complex128]


class Option(NamedTuple):
    """An element at a site, with hydrogen atoms at fractional places (k, 3), or as the model has it."""

    element: str
    hydrogens: NDArray[np.float64] | None = None
    present: bool = False


class Evidence(NamedTuple):
    """A quadratic form: chi^2 of options x (ones and zeros) is ``x @ gram @ x - 2 linear @ x`` and a constant."""

    gram: NDArray[np.float64]
    linear: NDArray[np.float64]


class Waves(NamedTuple):
    """What one site of unit scattering adds to F, (n,), and its derivatives by the fractional coordinates, (n, 3)."""

    value: NDArray[np.complex128]
    slope: NDArray[np.complex128]


def site_waves(hkl: NDArray[np.int32], place: Sequence[float], occupancy: float, hall: str, cell: UnitCell) -> Waves:
    """Return the waves of a site and its images, each image once."""
    rotations, translations = operations_from_hall(hall)
    share = occupancy / site_order(place, hall, cell)
    indices = np.asarray(hkl, dtype=np.float64)
    value = np.zeros(len(hkl), dtype=np.complex128)
    slope = np.zeros((len(hkl), 3), dtype=np.complex128)
    for rotation, translation in zip(rotations, translations, strict=True):
        phase = share * np.exp(2j * np.pi * (indices @ (rotation @ np.array(place) + translation)))
        value += phase
        slope += phase[:, None] * (2j * np.pi * (indices @ rotation))
    return Waves(value, slope)


def evidence_of(
    residual: Residual,
    atoms: Sequence[DraftAtom],
    options: Sequence[Sequence[Option]],
    *,
    attached: Mapping[int, Sequence[DraftAtom]],
    hall: str,
    cell: UnitCell,
    radiation: Radiation,
    temper: float,
) -> Evidence:
    """Return the evidence for all options of all sites, numbered one after the other.

    Changes of amplitudes by several sites at once are taken to add up, each on the scale that suits it. The scale, and
    coordinates and displacement of each atom, adapt: what they can make up for is projected out, with ln U held near
    the median, scale and coordinates near what they are. Chi^2 is in units of its present mean per reflection, times
    `temper`: the errors of electron data are dynamical and not independent.

    Parameters
    ----------
    attached
        The hydrogen atoms of the model by the number of the atom that carries them; they go when it changes.
    """
    residual, per_row = _thinned(residual)
    d_star_sq = d_star_squared(residual.hkl, cell)
    names = {"H", *(atom.element for atom in atoms), *(option.element for row in options for option in row)}
    factors = {name: scattering_factor(name, d_star_sq, radiation) for name in names}
    size = np.maximum(np.abs(residual.f), 1e-9)
    direction = np.conj(residual.f) / size
    weighted = residual.weight * size
    scale = float(weighted @ residual.f_obs) / max(float(weighted @ size), 1e-12)
    misfit = residual.f_obs - scale * size
    present = max(float(residual.weight @ misfit**2) / len(misfit), 1e-12)
    row = scale * np.sqrt(residual.weight * temper * per_row / present)

    def seen(change: NDArray[np.complex128]) -> NDArray[np.float64]:
        return np.asarray(row[:, None] * (direction[:, None] * change.reshape(len(row), -1)).real)

    heavy_u = np.array([max(atom.u_iso_angstrom2, 1e-3) for atom in atoms])
    typical = min(max(float(np.median(heavy_u)), U_RANGE_ANGSTROM2[0]), U_RANGE_ANGSTROM2[1])
    changes: list[NDArray[np.float64]] = []
    design = [seen(residual.f) * SCALE_SPREAD]
    edges = np.array(cell.parameters[:3])
    for i, atom in enumerate(atoms):
        waves = site_waves(residual.hkl, atom.position, atom.occupancy, hall, cell)
        decay = _decay(atom.u_iso_angstrom2, d_star_sq)
        own = [_hydrogen(h, residual.hkl, d_star_sq, hall, cell) * factors["H"] for h in attached.get(i, ())]
        there = factors[atom.element] * decay * waves.value + sum(own)
        u = max(atom.u_iso_angstrom2, 1e-3)
        by_ln_u = -2.0 * np.pi**2 * u * d_star_sq * there
        shifts = (factors[atom.element] * decay)[:, None] * waves.slope / edges * HELD_SHIFT_ANGSTROM
        design += [seen(by_ln_u) * LN_U_SPREAD, seen(shifts)]
        for option in options[i]:
            if option.present:
                changes.append(np.zeros((len(row), 1)))
                continue
            # an atom whose U makes up for a wrong element is compared at the U it would have
            new = factors[option.element] * _decay(u, d_star_sq) * waves.value
            for place in () if option.hydrogens is None else option.hydrogens:
                new = (
                    new
                    + factors["H"]
                    * _decay(1.2 * u, d_star_sq)
                    * site_waves(residual.hkl, place.tolist(), atom.occupancy, hall, cell).value
                )
            changes.append((row * (_on_scale(np.abs(residual.f + new - there), residual, scale) - size))[:, None])
    offset = np.zeros(sum(block.shape[1] for block in design))
    offset[1::4] = np.log(typical / heavy_u) / LN_U_SPREAD
    return _projected(row * misfit / scale, np.hstack(changes), np.hstack(design), offset)


def _on_scale(amplitude: NDArray[np.float64], residual: Residual, scale: float) -> NDArray[np.float64]:
    """Return calculated amplitudes (n,) on the scale that suits them best, over the scale of those there are."""
    weighted = residual.weight * amplitude
    best = float(weighted @ residual.f_obs) / max(float(weighted @ amplitude), 1e-12)
    return amplitude * (best / max(scale, 1e-12))


def _projected(
    misfit: NDArray[np.float64],
    changes: NDArray[np.float64],
    design: NDArray[np.float64],
    offset: NDArray[np.float64],
) -> Evidence:
    """Return the form after least squares over the columns of a design with a unit prior about `offset` on each."""
    normal = design.T @ design + np.eye(design.shape[1])
    # at the centre of the prior the misfit is less by what that moves
    rest = misfit - design @ offset
    against = np.linalg.solve(normal, design.T @ np.column_stack([changes, rest]))
    gram = changes.T @ changes - (changes.T @ design) @ against[:, :-1]
    linear = changes.T @ rest - (changes.T @ design) @ against[:, -1]
    return Evidence((gram + gram.T) / 2.0, linear)


def _thinned(residual: Residual) -> tuple[Residual, float]:
    """Return at most so many reflections, evenly taken, and for how many each stands."""
    count = len(residual.f_obs)
    if count <= MOST_REFLECTIONS:
        return residual, 1.0
    rows = np.linspace(0, count - 1, MOST_REFLECTIONS).astype(np.int64)
    thin = Residual(residual.hkl[rows], residual.f_obs[rows], residual.weight[rows], residual.f[rows])
    return thin, count / MOST_REFLECTIONS


def _decay(u_iso: float, d_star_sq: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-2.0 * np.pi**2 * u_iso * d_star_sq))


def _hydrogen(
    atom: DraftAtom, hkl: NDArray[np.int32], d_star_sq: NDArray[np.float64], hall: str, cell: UnitCell
) -> NDArray[np.complex128]:
    waves = site_waves(hkl, atom.position, atom.occupancy, hall, cell)
    return np.asarray(_decay(atom.u_iso_angstrom2, d_star_sq) * waves.value)
