"""The density in the pores of a structure by the amplitudes that its atoms do not explain."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.scattering import Radiation

ROUNDS = 40
"""At most, of the recovery; it ends when the content moves by TOLERANCE of itself. UiO-66 filled with liquid takes 10
to 25."""
FIRST_ROUNDS = 6
"""Of each start, after which the best goes on alone. Chosen, not measured finely: phases of low orders, by which starts
differ, settle in the first rounds."""
TOLERANCE = 1e-4
DENSEST = 2.0
"""Of the densities that are tried at first, in units of that of water: less than twice holds for all liquids of light
elements."""
WATER_PER_ANGSTROM3: dict[Radiation, float] = {"xray": 0.334, "electron": 0.102}
"""Density of liquid water: ten electrons, or 3.05 A of scattering length (Peng et al., 1996), in 29.9 A^3."""
SMEARING_ANGSTROM2 = (0.0, 0.3, 0.6)
"""Mean square displacements tried for the edge of an even liquid: bulk solvent of proteins has about 0.6 (B of 46 A^2,
Fokine & Urzhumtsev, Acta Cryst. D58, 1387-1392, 2002)."""
SHELLS = 20
"""Of equal volume: the first reaches to 2.7 times the resolution of the data, which holds nearly all that a liquid
scatters."""
STEPS = 41
"""Densities tried at first, evenly from zero: steps of a twentieth of water's."""


def densest_liquid(radiation: Radiation) -> float:
    """Return the density of the densest liquid that is tried, electrons or angstrom of scattering length per A^3."""
    return DENSEST * WATER_PER_ANGSTROM3[radiation]


class PoreDensity(NamedTuple):
    """Structure factors of the pores' contents (n,), and the integral of the density in each pore."""

    f_mask: NDArray[np.complex128]
    contents: NDArray[np.float64]


class Grid:
    """Fourier transforms between reflections of P1 and the points of a cell; shape (nx, ny, nz)."""

    def __init__(self, hkl: NDArray[np.int32], shape: tuple[int, int, int], volume_angstrom3: float) -> None:
        self.shape = shape
        self.volume = volume_angstrom3
        both = np.concatenate([hkl, -hkl])
        self.upper = both[:, 2] >= 0
        self.places = tuple((both[self.upper] % np.array(shape)).T)
        # of each reflection: itself, or the conjugate of its Friedel mate, whichever lies in the half that is kept
        self.mated = hkl[:, 2] < 0
        self.own = tuple((np.where(self.mated[:, None], -hkl, hkl) % np.array(shape)).T)

    def density(self, f: NDArray[np.complex128]) -> NDArray[np.float64]:
        """Return the density of structure factors, F(000) left out, per angstrom^3."""
        half = np.zeros((*self.shape[:2], self.shape[2] // 2 + 1), dtype=np.complex128)
        half[self.places] = np.conj(np.concatenate([f, np.conj(f)])[self.upper])
        points = float(np.prod(self.shape))
        return np.fft.irfftn(half, s=self.shape, axes=(0, 1, 2)) * points / self.volume

    def structure_factors(self, density: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Return the structure factors of a density, (n,)."""
        half = np.conj(np.fft.rfftn(density)) * self.volume / density.size
        found = half[self.own]
        return np.where(self.mated, np.conj(found), found)


def pore_density(
    hkl: NDArray[np.int32],
    f_obs: NDArray[np.float64],
    f_calc: NDArray[np.complex128],
    *,
    pores: NDArray[np.int64],
    cores: NDArray[np.bool_],
    volume_angstrom3: float,
    d_star_sq: NDArray[np.float64],
    densest_per_angstrom3: float,
) -> PoreDensity:
    """Return what fills the pores.

    Source: van der Sluis & Spek, Acta Cryst. A46, 194-201 (1990), with two departures. Where the pores scatter as much
    as the atoms they turn phases of low orders round, and the recovery ends in an empty pore: it also starts from even
    liquids that fit the amplitudes, and the end that fits best is taken. Pores of a negative content are empty, and
    what is error by its size outside of the pores is taken off in the end.

    Parameters
    ----------
    hkl
        (n, 3), half a sphere of P1, each Friedel pair once; not 0 0 0.
    f_obs
        (n,) on the scale of ``f_calc``; nan where nothing was measured: these are taken as calculated.
    pores
        Points of the cell: 0 outside, from 1 on the number of the pore.
    cores
        Points where the centres of the contents' atoms may lie.
    d_star_sq
        (n,), 1 / d^2.
    densest_per_angstrom3
        Of the liquids that are tried at first.
    """
    shape = (pores.shape[0], pores.shape[1], pores.shape[2])
    grid = Grid(hkl, shape, volume_angstrom3)
    shapes = [grid.structure_factors(inside.astype(np.float64)) for inside in (cores, pores > 0)]
    known = ~np.isnan(f_obs)
    best = (np.inf, PoreDensity(np.zeros(len(hkl), dtype=np.complex128), np.zeros(int(pores.max()))))
    for start in _even_liquids(shapes, f_obs, f_calc, d_star_sq, densest_per_angstrom3):
        found = _recovered(grid, start, f_obs, f_calc, pores, rounds=FIRST_ROUNDS)
        misfit = _misfit(f_obs[known], np.abs(f_calc + found.f_mask)[known])
        if misfit < best[0] and found.contents.sum() > 0:
            best = (misfit, found)
    found = _recovered(grid, best[1].f_mask, f_obs, f_calc, pores, rounds=ROUNDS)
    model = f_calc + found.f_mask
    scale = _scale(f_obs[known], np.abs(model)[known])
    left = np.where(known, np.nan_to_num(f_obs) / scale * model / np.maximum(np.abs(model), 1e-12) - model, 0.0)
    return found._replace(f_mask=found.f_mask * _certainty(found.f_mask, left, float((pores > 0).mean()), d_star_sq))


def _certainty(
    f_mask: NDArray[np.complex128], left: NDArray[np.complex128], share: float, d_star_sq: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return by how much of itself each structure factor of the pores is signal, by its shell of resolution (n,).

    What is left outside of the pores is error, of the data and of the atoms; as much of it for their volume is in the
    pores, and would be fitted there (Wiener's filter).
    """
    edges = np.linspace(0.0, float((d_star_sq**1.5).max()) * 1.0001, SHELLS + 1)
    shell = np.digitize(d_star_sq**1.5, edges) - 1
    count = np.maximum(np.bincount(shell, minlength=SHELLS), 1)
    within = np.bincount(shell, np.abs(f_mask) ** 2, SHELLS) / count
    error = np.bincount(shell, np.abs(left) ** 2, SHELLS) / count * share / (1.0 - share)
    kept = np.clip(1.0 - error / np.maximum(within, 1e-12), 0.0, 1.0)
    return np.asarray(kept[shell], dtype=np.float64)


def _recovered(
    grid: Grid,
    f_mask: NDArray[np.complex128],
    f_obs: NDArray[np.float64],
    f_calc: NDArray[np.complex128],
    pores: NDArray[np.int64],
    *,
    rounds: int,
) -> PoreDensity:
    """Return what so many rounds of the recovery, or fewer that settle, make of a start."""
    count = int(pores.max())
    point = grid.volume / pores.size
    contents: NDArray[np.float64] = np.zeros(count)
    inside, known = pores > 0, ~np.isnan(f_obs)
    for _ in range(rounds):
        model = f_calc + f_mask
        phase = model / np.maximum(np.abs(model), 1e-12)
        scale = _scale(f_obs[known], np.abs(model)[known])
        wanted = np.where(known, np.nan_to_num(f_obs) / scale * phase - f_calc, f_mask)
        density = np.where(inside, grid.density(wanted), 0.0)
        # the map lacks F(000): its mean is zero, while what is outside of the pores should be
        missing = density.sum() * point / (1.0 - inside.mean())
        density[inside] += missing / grid.volume
        sums = np.bincount(pores.ravel(), density.ravel(), count + 1)[1:]
        before, contents = contents, np.asarray(sums * point, dtype=np.float64)
        empty = np.flatnonzero(contents <= 0) + 1
        density[np.isin(pores, empty)] = 0.0
        contents = np.where(contents > 0, contents, 0.0)
        f_mask = grid.structure_factors(density)
        if np.abs(contents - before).sum() <= TOLERANCE * max(contents.sum(), 1e-12):
            break
    return PoreDensity(f_mask, contents)


def _even_liquids(
    shapes: list[NDArray[np.complex128]],
    f_obs: NDArray[np.float64],
    f_calc: NDArray[np.complex128],
    d_star_sq: NDArray[np.float64],
    densest: float,
) -> list[NDArray[np.complex128]]:
    """Return the structure factors of even liquids to start from: empty pores first.

    For each shape and each smearing of its edge, the density, more than nothing, that fits the amplitudes best.
    """
    known = ~np.isnan(f_obs)
    starts = [np.zeros(len(f_calc), dtype=np.complex128)]
    for shape in shapes:
        for smearing in SMEARING_ANGSTROM2:
            edge = shape * np.exp(-2.0 * np.pi**2 * smearing * d_star_sq)
            densities = np.linspace(0.0, densest, STEPS)[1:]
            misfits = [_misfit(f_obs[known], np.abs(f_calc + density * edge)[known]) for density in densities]
            starts.append(densities[int(np.argmin(misfits))] * edge)
    return starts


def _misfit(f_obs: NDArray[np.float64], model: NDArray[np.float64]) -> float:
    return float(((f_obs / _scale(f_obs, model) - model) ** 2).sum())


def _scale(f_obs: NDArray[np.float64], model: NDArray[np.float64]) -> float:
    return float(f_obs @ model) / max(float(model @ model), 1e-12)
