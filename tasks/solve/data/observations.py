"""The merged intensities as one space group sees them: amplitudes, normalised amplitudes, what is missing."""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.miller import pack
from tasks.crystal.scattering import Radiation, d_star_squared
from tasks.crystal.symmetry import Symmetry, absent, epsilon, laue_of
from tasks.integrate import Merged
from tasks.model import UnitCell

SHELL_REFLECTIONS = 60
"""The mean of E^2 in a shell is then good to 13 % (acentric) or 18 % (centric), and shells are narrow enough to follow
the fall-off. Not sensitive: six sets of `python -m tests.benchmarks.solve` are solved in as many trials with 20."""


class GroupAmplitudes(NamedTuple):
    """Reflections unique under the Laue class, extinctions of the group left out.

    ``amplitude`` (n,) F >= 0, ``sigma`` (n,) of F, ``strong`` (n,): I > 2 sigma(I), ``d_star_sq`` (n,),
    ``e_value`` (n,) normalised amplitude, ``centric`` (n,), ``missing`` (k, 3): not measured, inside d_min.
    """

    hkl: NDArray[np.int32]
    amplitude: NDArray[np.float64]
    sigma: NDArray[np.float64]
    strong: NDArray[np.bool_]
    d_star_sq: NDArray[np.float64]
    e_value: NDArray[np.float64]
    centric: NDArray[np.bool_]
    missing: NDArray[np.int32]
    cell: UnitCell
    radiation: Radiation


def observe(
    merged: Merged, symmetry: Symmetry, *, cell: UnitCell, radiation: Radiation, d_min_angstrom: float
) -> GroupAmplitudes:
    """Return the reflections to `d_min_angstrom` that `symmetry` allows.

    `merged` is unique under the Laue class of `symmetry`, in its axes.
    """
    d_star_sq = d_star_squared(merged.hkl, cell)
    keep = ~absent(merged.hkl, symmetry) & (d_star_sq <= 1.0 / d_min_angstrom**2) & (d_star_sq > 0)
    hkl, d_star_sq = merged.hkl[keep], d_star_sq[keep]
    intensity, sigma = merged.intensity[keep], np.maximum(merged.sigma[keep], 1e-12)
    amplitude = np.sqrt(np.maximum(intensity, 0.0))
    return GroupAmplitudes(
        hkl=hkl,
        amplitude=amplitude,
        sigma=sigma / np.maximum(2.0 * amplitude, np.sqrt(sigma)),
        strong=intensity > 2.0 * sigma,
        d_star_sq=d_star_sq,
        e_value=np.sqrt(normalised_intensity(hkl, intensity, symmetry, d_star_sq)),
        centric=is_centric(hkl, symmetry),
        missing=missing_reflections(hkl, symmetry, cell, d_star_sq),
        cell=cell,
        radiation=radiation,
    )


def normalised_intensity(
    hkl: NDArray[np.int32], intensity: NDArray[np.float64], symmetry: Symmetry, d_star_sq: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return E^2 = I / (epsilon <I / epsilon>), (n,), never negative; the mean is taken in smooth shells."""
    reduced = np.maximum(intensity, 0.0) / epsilon(hkl, symmetry)
    return reduced / shell_mean(reduced, d_star_sq)


class Shells(NamedTuple):
    """Reflections (n,) parted by resolution into shells (c,) of equal numbers, and how to pass between their centres.

    ``order`` (n,) by resolution, ``begin`` and ``size`` (c,) in that order, ``low`` and ``fraction`` (n,): the value
    at a reflection is that of shell `low` and, by `fraction`, of the next.
    """

    order: NDArray[np.int64]
    begin: NDArray[np.int64]
    size: NDArray[np.int64]
    low: NDArray[np.int64]
    fraction: NDArray[np.float64]

    def mean(self, ordered: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the means (c,) of values (n,) that are in order of resolution."""
        return np.add.reduceat(ordered, self.begin) / self.size

    def between(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values (c,) of shells at the reflections, (n,): linear between the centres, constant outside."""
        if len(value) == 1:
            return np.full(len(self.order), value[0])
        return value[self.low] + self.fraction * np.diff(value)[self.low]


def shells_of(d_star_sq: NDArray[np.float64], count: int | None = None) -> Shells:
    """Return shells of reflections with these 1/d^2, (n,); by default of `SHELL_REFLECTIONS` each, 3 to 30 of them."""
    size = len(d_star_sq)
    wanted = int(np.clip(size // SHELL_REFLECTIONS, 3, 30)) if count is None else count
    order = np.argsort(d_star_sq, kind="stable")
    shells = np.array_split(order, min(wanted, max(1, size)))
    counts = np.array([len(shell) for shell in shells])
    centre = np.array([d_star_sq[shell].mean() for shell in shells])
    low = np.clip(np.searchsorted(centre, d_star_sq, side="right") - 1, 0, max(len(centre) - 2, 0))
    step = np.maximum(np.diff(centre, append=np.inf)[low], 1e-30)
    fraction = np.clip((d_star_sq - centre[low]) / step, 0.0, 1.0)
    return Shells(order, np.cumsum(counts) - counts, counts, low, fraction)


def smooth_mean(shells: Shells, value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of positive values (n,) as a smooth function of resolution, (n,): log-linear between shells."""
    overall = max(float(value.mean()), 1e-30)
    return np.exp(shells.between(np.log(np.maximum(shells.mean(value[shells.order]), 1e-6 * overall))))


def shell_mean(value: NDArray[np.float64], d_star_sq: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of positive values (n,) as a smooth function of 1/d^2, (n,): see `smooth_mean`."""
    return smooth_mean(shells_of(d_star_sq), value)


def is_centric(hkl: NDArray[np.int32], symmetry: Symmetry) -> NDArray[np.bool_]:
    """Tell which reflections have a phase restricted by symmetry, (n,)."""
    result = np.zeros(len(hkl), dtype=bool)
    for rotation in symmetry.rotations:
        result |= (hkl @ rotation == -hkl).all(axis=1)
    return result


def missing_reflections(
    hkl: NDArray[np.int32], symmetry: Symmetry, cell: UnitCell, d_star_sq: NDArray[np.float64]
) -> NDArray[np.int32]:
    """Return the unique, allowed reflections inside the resolution of `hkl` that are not in it, (k, 3)."""
    group = gemmi.SpaceGroup(symmetry.symbol)
    d_min = 1.0 / np.sqrt(d_star_sq.max()) * (1 - 1e-6)
    full = gemmi.make_miller_array(cell.gemmi(), group, d_min).astype(np.int32)
    rotations = laue_of(symmetry)
    have = np.unique(pack(representative(hkl, rotations)))
    wanted = representative(full, rotations)
    return wanted[~np.isin(pack(wanted), have) & ~absent(wanted, symmetry)]


def representative(hkl: NDArray[np.int32], rotations: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the member of each Laue orbit whose index sorts last, (n, 3)."""
    best = hkl.astype(np.int32)
    for rotation in rotations:
        image = (hkl @ rotation).astype(np.int32)
        best = np.where((pack(image) > pack(best))[:, None], image, best)
    return best
