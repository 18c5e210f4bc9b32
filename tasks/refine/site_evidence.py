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


class AmplitudeFrame(NamedTuple):
    """Amplitudes by which changes of a model are judged, one row a reflection, (n,)."""

    residual: Residual
    d_star_sq: NDArray[np.float64]
    size: NDArray[np.float64]
    """Calculated amplitudes."""
    scale: float
    """Of these to the observed ones."""
    row: NDArray[np.float64]
    """What a change of an amplitude counts, such that squares add up to chi^2."""

    @property
    def misfit(self) -> NDArray[np.float64]:
        """What the model leaves, (n,), in the units of `row`."""
        return self.row * (self.residual.f_obs - self.scale * self.size) / self.scale

    def seen(self, change: NDArray[np.complex128]) -> NDArray[np.float64]:
        """Return what small changes of F, (n,) or (n, k), do to the amplitudes, (n, k)."""
        direction = np.conj(self.residual.f) / self.size
        return np.asarray(self.row[:, None] * (direction[:, None] * change.reshape(len(self.row), -1)).real)

    def changed(self, f: NDArray[np.complex128]) -> NDArray[np.float64]:
        """Return what other structure factors, on the scale that suits them, do to the amplitudes, (n, 1)."""
        return np.asarray((self.row * (_on_scale(np.abs(f), self.residual, self.scale) - self.size))[:, None])


def frame_of(residual: Residual, cell: UnitCell, temper: float) -> AmplitudeFrame:
    """Return the frame of a fit; many reflections are thinned. See `evidence_of`."""
    residual, per_row = _thinned(residual)
    size = np.maximum(np.abs(residual.f), 1e-9)
    weighted = residual.weight * size
    scale = float(weighted @ residual.f_obs) / max(float(weighted @ size), 1e-12)
    misfit = residual.f_obs - scale * size
    present = max(float(residual.weight @ misfit**2) / len(misfit), 1e-12)
    row = scale * np.sqrt(residual.weight * temper * per_row / present)
    return AmplitudeFrame(residual, d_star_squared(residual.hkl, cell), size, scale, row)


class AdaptingColumns(NamedTuple):
    """What adapts when elements change, (n, 1 + 4 atoms): the scale, ln U and coordinates, each with a unit prior.

    `offset` is where the priors are centred.
    """

    design: NDArray[np.float64]
    offset: NDArray[np.float64]


def freedom_of(
    frame: AmplitudeFrame,
    atoms: Sequence[DraftAtom],
    waves: Sequence[Waves],
    *,
    attached: Mapping[int, Sequence[DraftAtom]],
    hall: str,
    cell: UnitCell,
    radiation: Radiation,
    least_u: float = U_RANGE_ANGSTROM2[0],
) -> AdaptingColumns:
    """Return what may adapt to a change of elements: ln U held near the median, which is no less than `least_u`."""
    hkl, d_star_sq = frame.residual.hkl, frame.d_star_sq
    heavy_u = np.array([max(atom.u_iso_angstrom2, 1e-3) for atom in atoms])
    typical = min(max(float(np.median(heavy_u)), least_u), U_RANGE_ANGSTROM2[1])
    design = [frame.seen(frame.residual.f) * SCALE_SPREAD]
    edges = np.array(cell.parameters[:3])
    hydrogen = scattering_factor("H", d_star_sq, radiation)
    for i, (atom, own) in enumerate(zip(atoms, waves, strict=True)):
        factor = scattering_factor(atom.element, d_star_sq, radiation) * _decay(atom.u_iso_angstrom2, d_star_sq)
        riders = sum(_hydrogen(h, hkl, d_star_sq, hall, cell) * hydrogen for h in attached.get(i, ()))
        by_ln_u = -2.0 * np.pi**2 * max(atom.u_iso_angstrom2, 1e-3) * d_star_sq * (factor * own.value + riders)
        shifts = factor[:, None] * own.slope / edges * HELD_SHIFT_ANGSTROM
        design += [frame.seen(by_ln_u) * LN_U_SPREAD, frame.seen(shifts)]
    offset = np.zeros(sum(block.shape[1] for block in design))
    offset[1::4] = np.log(typical / heavy_u) / LN_U_SPREAD
    return AdaptingColumns(np.hstack(design), offset)


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
    frame = frame_of(residual, cell, temper)
    hkl, d_star_sq, f = frame.residual.hkl, frame.d_star_sq, frame.residual.f
    names = {"H", *(atom.element for atom in atoms), *(option.element for row in options for option in row)}
    factors = {name: scattering_factor(name, d_star_sq, radiation) for name in names}
    waves = [site_waves(hkl, atom.position, atom.occupancy, hall, cell) for atom in atoms]
    changes: list[NDArray[np.float64]] = []
    for i, (atom, own) in enumerate(zip(atoms, waves, strict=True)):
        riders = [_hydrogen(h, hkl, d_star_sq, hall, cell) * factors["H"] for h in attached.get(i, ())]
        there = factors[atom.element] * _decay(atom.u_iso_angstrom2, d_star_sq) * own.value + sum(riders)
        u = max(atom.u_iso_angstrom2, 1e-3)
        for option in options[i]:
            if option.present:
                changes.append(np.zeros((len(f), 1)))
                continue
            # an atom whose U makes up for a wrong element is compared at the U it would have
            new = factors[option.element] * _decay(u, d_star_sq) * own.value
            for place in () if option.hydrogens is None else option.hydrogens:
                wave = site_waves(hkl, place.tolist(), atom.occupancy, hall, cell).value
                new = new + factors["H"] * _decay(1.2 * u, d_star_sq) * wave
            changes.append(frame.changed(f + new - there))
    freedom = freedom_of(frame, atoms, waves, attached=attached, hall=hall, cell=cell, radiation=radiation)
    return projected(frame.misfit, np.hstack(changes), freedom)


def _on_scale(amplitude: NDArray[np.float64], residual: Residual, scale: float) -> NDArray[np.float64]:
    """Return calculated amplitudes (n,) on the scale that suits them best, over the scale of those there are."""
    weighted = residual.weight * amplitude
    best = float(weighted @ residual.f_obs) / max(float(weighted @ amplitude), 1e-12)
    return amplitude * (best / max(scale, 1e-12))


def projected(misfit: NDArray[np.float64], changes: NDArray[np.float64], freedom: AdaptingColumns) -> Evidence:
    """Return the form of changes (n, k) after least squares over what adapts, with a unit prior about its centre."""
    design, offset = freedom
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
