"""Observations of a structure as a file of intensities holds them, and what is done to them to deceive."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.miller import sphere
from tasks.crystal.scattering import structure_factors
from tasks.model import UnitCell
from tasks.simulate.models import Structure
from tests.synthetic.solve_dynamical import twice_scattered, two_beam

Law = tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]
Indices = NDArray[np.int32]
Values = NDArray[np.float64]


class How(NamedTuple):
    """How a crystal is measured: every reflection of the sphere once, Friedel mates too.

    ``noise``: relative error of one measurement, beside a fiftieth of the mean; ``thickness``: Blackman's A of the root
    mean square structure factor, 0 for kinematical data; ``leak``: multiply scattered part of the mean intensity.
    """

    d_min: float = 0.75
    noise: float = 0.05
    radiation: Literal["electron", "xray"] = "electron"
    twin: Law | None = None
    fraction: float = 0.0
    """Of the second component."""
    thickness: float = 0.0
    leak: float = 0.0
    u_scale: float = 1.0
    """Displacements over those published."""


class Spoilt(NamedTuple):
    """What the user has: observations (n, 3), (n,), (n,), the cell that he was told, and a group if he was told one."""

    hkl: Indices
    intensity: Values
    sigma: Values
    cell: UnitCell
    space_group: str | None = None


Fault = Callable[[Spoilt, np.random.Generator], Spoilt]


def observed(structure: Structure, how: How, rng: np.random.Generator) -> Spoilt:
    """Return the observations of a structure, scaled to a mean of 1000."""
    centring = gemmi.GroupOps([gemmi.Op("x,y,z").translated(shift) for shift in structure.group.cen_ops])
    half = sphere(structure.cell, centring, how.d_min)
    hkl = np.unique(np.concatenate([half, -half]), axis=0).astype(np.int32)
    intensity = _intensities(structure, hkl, how)
    if how.twin is not None:
        other = _intensities(structure, (hkl @ np.array(how.twin)).astype(np.int32), how)
        intensity = (1 - how.fraction) * intensity + how.fraction * other
    intensity *= 1000.0 / intensity.mean()
    sigma = how.noise * intensity + 20.0
    return Spoilt(hkl, intensity + sigma * rng.normal(size=len(sigma)), sigma, structure.cell)


def _intensities(structure: Structure, hkl: Indices, how: How) -> Values:
    atoms = structure.atoms
    f = structure_factors(
        hkl, structure.cell, structure.group, elements=tuple(atom.element for atom in atoms),
        positions=np.array([atom.position for atom in atoms]),
        u_iso_angstrom2=how.u_scale * np.array([atom.u_iso_angstrom2 for atom in atoms]),
        occupancies=np.array([atom.occupancy for atom in atoms]), radiation=how.radiation,
    )  # fmt: skip
    intensity = two_beam(np.abs(f), how.thickness) if how.thickness else np.abs(f) ** 2
    if how.leak:
        doubly = twice_scattered(hkl, intensity, np.eye(3, dtype=np.int64)[None])
        intensity = intensity + how.leak * doubly * intensity.mean() / doubly.mean()
    return np.asarray(intensity, dtype=np.float64)


def _rows(data: Spoilt, keep: NDArray[np.bool_]) -> Spoilt:
    return data._replace(hkl=data.hkl[keep], intensity=data.intensity[keep], sigma=data.sigma[keep])


def _orbits(data: Spoilt) -> NDArray[np.int64]:
    """Return the number of each observation's orbit by equal |F|, Friedel mates together: all that is known here."""
    low = np.minimum(
        data.hkl.astype(np.int64) @ [1_000_000, 1000, 1], data.hkl.astype(np.int64) @ [-1_000_000, -1000, -1]
    )
    return np.unique(low, return_inverse=True)[1].reshape(-1)


def shuffled(share: float, rotations: gemmi.GroupOps) -> Fault:
    """Exchange so many of the reflections' intensities within 15 shells; equivalents of the group stay equal."""

    def fault(data: Spoilt, rng: np.random.Generator) -> Spoilt:
        asu = gemmi.ReciprocalAsu(gemmi.find_spacegroup_by_ops(rotations))
        unique = np.array([asu.to_asu(row, rotations)[0] for row in data.hkl.tolist()])
        keys, member = np.unique(unique, axis=0, return_inverse=True)
        member = member.reshape(-1)
        mean = np.bincount(member, weights=data.intensity) / np.bincount(member)
        order = np.argsort(data.cell.gemmi().calculate_1_d2_array(keys))
        place = np.arange(len(keys))
        for shell in np.array_split(order, min(15, max(1, len(order) // 6))):
            moved = shell[rng.random(len(shell)) < share]
            place[moved] = rng.permutation(moved)
        factor = mean[place[member]] - mean[member]
        return data._replace(intensity=data.intensity + factor)

    return fault


def stretched(a: float, b: float, c: float) -> Fault:
    """Give a cell whose axes are so many times the true ones."""

    def fault(data: Spoilt, _: np.random.Generator) -> Spoilt:
        lengths, angles = data.cell.parameters[:3], data.cell.parameters[3:]
        told = tuple(factor * length for factor, length in zip((a, b, c), lengths, strict=True))
        return data._replace(cell=UnitCell.of((*told, *angles)))

    return fault


def told_cell(parameters: tuple[float, float, float, float, float, float]) -> Fault:
    """Give this cell with the indices of another."""
    return lambda data, _: data._replace(cell=UnitCell.of(parameters))


def told_group(symbol: str) -> Fault:
    """Give this space group."""
    return lambda data, _: data._replace(space_group=symbol)


def in_a_supercell(axis: int, times: int) -> Fault:
    """Index on a cell that is so many times as long, the reflections between measured as nothing but noise."""

    def fault(data: Spoilt, rng: np.random.Generator) -> Spoilt:
        long = data.hkl.copy()
        long[:, axis] *= times
        parts, lengths = [long], list(data.cell.parameters)
        for step in range(1, times):
            between = long.copy()
            between[:, axis] += step
            parts.append(between)
        lengths[axis] *= times
        extra = (times - 1) * len(long)
        nothing = 20.0 * rng.normal(size=extra)
        return data._replace(
            hkl=np.concatenate(parts), intensity=np.concatenate([data.intensity, nothing]),
            sigma=np.concatenate([data.sigma, np.full(extra, 20.0)]), cell=UnitCell.of(tuple(lengths)),
        )  # fmt: skip

    return fault


def in_a_subcell(axis: int) -> Fault:
    """Miss every other layer of reflections and index on half the axis."""

    def fault(data: Spoilt, _: np.random.Generator) -> Spoilt:
        even = _rows(data, data.hkl[:, axis] % 2 == 0)
        hkl, lengths = even.hkl.copy(), list(data.cell.parameters)
        hkl[:, axis] //= 2
        lengths[axis] /= 2
        return even._replace(hkl=hkl, cell=UnitCell.of(tuple(lengths)))

    return fault


def in_cone(share: float) -> Fault:
    """Keep the reflections nearest to the plane normal to a direction far from any axis, so many of all."""

    def fault(data: Spoilt, _: np.random.Generator) -> Spoilt:
        vector = data.hkl @ np.array(data.cell.gemmi().frac.mat.tolist())
        cosine = np.abs(vector @ [0.8, 0.5, 0.33]) / np.linalg.norm(vector, axis=1)
        return _rows(data, cosine <= np.quantile(cosine, share))

    return fault


def beyond(d_angstrom: float) -> Fault:
    """Keep what lies within this resolution."""
    return lambda data, _: _rows(data, data.cell.gemmi().calculate_d_array(data.hkl) >= d_angstrom)


def few(number: int) -> Fault:
    """Keep so many pairs of Friedel mates, picked at random."""

    def fault(data: Spoilt, rng: np.random.Generator) -> Spoilt:
        orbit = _orbits(data)
        return _rows(data, np.isin(orbit, rng.choice(orbit.max() + 1, size=number, replace=False)))

    return fault


def saturated(times_mean: float) -> Fault:
    """Count no more than so many times the mean, as a camera does that counts one electron of a pixel and frame."""

    def fault(data: Spoilt, _: np.random.Generator) -> Spoilt:
        most = times_mean * data.intensity.mean()
        return data._replace(intensity=most * (1 - np.exp(-np.maximum(data.intensity, 0) / most)))

    return fault


def outliers(times: float) -> Fault:
    """Take the reflections of one row, h00, and one ring so many times too strong."""

    def fault(data: Spoilt, _: np.random.Generator) -> Spoilt:
        d = data.cell.gemmi().calculate_d_array(data.hkl)
        ring = np.abs(d / np.quantile(d, 0.9) - 1) < 0.04
        row = (data.hkl[:, 1] == 0) & (data.hkl[:, 2] == 0)
        factor = np.where(ring | row, times, 1.0)
        return data._replace(intensity=data.intensity * factor, sigma=data.sigma * factor)

    return fault


def oversubtracted(means: float) -> Fault:
    """Take a background off that is too high by so many times the mean intensity."""
    return lambda data, _: data._replace(intensity=data.intensity - means * data.intensity.mean())


def nothing(data: Spoilt, rng: np.random.Generator) -> Spoilt:
    """Leave noise alone."""
    return data._replace(intensity=data.sigma * rng.normal(size=len(data.sigma)))


def random_intensities(data: Spoilt, rng: np.random.Generator) -> Spoilt:
    """Put exponential deviates in the place of all pairs of Friedel mates, with no symmetry and no fall."""
    orbit = _orbits(data)
    intensity = 1000.0 * rng.exponential(size=int(orbit.max()) + 1)[orbit]
    return data._replace(intensity=intensity, sigma=0.05 * intensity + 20.0)


def merged_with(other: Structure, share: float, how: How) -> Fault:
    """Index so many of the measurements of another crystal on this one's lattice, by their order in resolution."""

    def fault(data: Spoilt, rng: np.random.Generator) -> Spoilt:
        strange = observed(other, how, rng)
        place = np.argsort(data.cell.gemmi().calculate_1_d2_array(data.hkl))
        source = np.argsort(strange.cell.gemmi().calculate_1_d2_array(strange.hkl))
        from_row = source[np.linspace(0, len(source) - 1, len(place)).astype(int)]
        intensity, sigma = data.intensity.copy(), data.sigma.copy()
        chosen = rng.random(len(place)) < share
        intensity[place[chosen]] = strange.intensity[from_row[chosen]]
        sigma[place[chosen]] = strange.sigma[from_row[chosen]]
        return data._replace(intensity=intensity, sigma=sigma)

    return fault


def reindexed(matrix: Law) -> Fault:
    """Write the indices of other axes while the cell stays."""
    return lambda data, _: data._replace(hkl=(data.hkl @ np.array(matrix)).astype(np.int32))
