"""What one crystal scatters at one tilt, for every thickness: absolute, per incident electron.

Kinematical: a reflection takes (gamma lambda |F| / V)^2 t p(s) of the electrons, with p(s) as in `diffraction` for that
thickness: the two-beam intensity of a thin crystal, (pi t U / K)^2 sinc^2(pi t s), with its integral over s kept. What
the reflections take is missing in the direct beam. Where they would leave less than `DIRECT_LEFT` of it, all are scaled
down together to leave that: this theory has no answer there, and no electron is made.

Many-beam: the strong beams together by `bloch`, averaged over the crystal's blocks. Reflections beyond the limit of
beams scatter kinematically from what the direct beam holds at each depth, and the strong beams give it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.simulate.bloch import intensities_at_depths
from tasks.simulate.blocks import Blocks, turned_blocks
from tasks.simulate.diffraction import CUT_SIGMA, Rocking, excitation_along_beam, rocking_density, rocking_sigma
from tasks.simulate.potential import Potential, distances_squared
from tasks.simulate.two_beam import smoothed, spread_quantiles, two_beam_intensities

DIRECT_LEFT = 0.05
"""Of the electrons that pass one crystal, where kinematical theory would give more away. Chosen, not measured: with
none, positions at a zone axis would have no direct beam to be centred by."""
WORTH = 1e-6
"""Two-beam intensity at best below which a reflection is not among the strong beams. Against 600 beams, for forsterite,
natrolite and UiO-66 of 40, 80 and 150 nm in two orientations each, the sum of differences is 0.5 to 3 % of what is
scattered with the best 256 above it, and 0.6 to 5 % with the best 160; with those above 1e-4 it was 2 to 10 %."""
SEEN = 1e-9
"""Electrons per incident one, at best over the thickness: what scatters less is left out of the lists. Of the 10^7
electrons of a scan, it would be one in a hundred scans."""


class TiltedCrystal(NamedTuple):
    """A domain as it stands: reflections (n, 3), |F|^2 (n,) in angstrom^2, UB at tilt 0, rotation by the tilt."""

    hkl: NDArray[np.int32]
    f_squared: NDArray[np.float64]
    ub: NDArray[np.float64]
    tilt: NDArray[np.float64]
    wavelength_angstrom: float
    cross_section: float
    """(gamma lambda / V)^2 in angstrom^-4: times |F|^2, thickness and p(s) it is an intensity."""
    mosaic_rad: float
    convergence_rad: float


class Scattered(NamedTuple):
    """Intensities (t, j) at depths (t,) in angstrom of j outcomes; the direct beam has the rest.

    An outcome is a reflection, ``row`` (j,) in the table, at ``q_xy`` (j, 2) in 1/angstrom, for electrons that come
    from a part of the probe's disc: about ``within`` (j, 2), as far as ``spread`` (j,), both in radii of the disc.
    """

    depth: NDArray[np.float64]
    intensity: NDArray[np.float64]
    row: NDArray[np.int64]
    q_xy: NDArray[np.float64]
    within: NDArray[np.float64]
    spread: NDArray[np.float64]


def kinematical(crystal: TiltedCrystal, depth: NDArray[np.float64]) -> Scattered:
    """Return what a crystal scatters once."""
    seen = _once(crystal, depth, np.ones(len(depth)))
    total = seen.intensity.sum(axis=1)
    return seen._replace(intensity=seen.intensity * _capped(total)[:, None])


def many_beam(
    crystal: TiltedCrystal,
    depth: NDArray[np.float64],
    *,
    potential: Potential,
    blocks: Blocks,
    beams: int,
    b_factor: float,
) -> Scattered:
    """Return what a crystal scatters many times; `b_factor` in angstrom^2 is what damage added to the atoms' own."""
    rows = _strong(crystal, float(depth[-1]), beams, potential.per_f)
    hkl = np.concatenate([np.zeros((1, 3), dtype=np.int32), crystal.hkl[rows]])
    u = potential.of(hkl[:, None, :] - hkl[None, :, :])
    if b_factor:
        u = u * np.exp(-b_factor / 4 * distances_squared(hkl, potential.cell))
    q = turned_blocks(blocks, hkl, crystal.ub, crystal.tilt)
    direction = blocks.direction * crystal.convergence_rad
    excitation = excitation_along_beam(q, crystal.wavelength_angstrom, direction)
    strong = _smooth(crystal, rows, u, -excitation, depth) / len(blocks.turn)  # how far inside the sphere
    direct = 1 - strong.sum(axis=(1, 2))
    weak = _rest(crystal, depth, rows, direct)
    share = strong.reshape(len(depth), -1) * (1 - weak.intensity.sum(axis=1))[:, None]
    taken = share * _capped(share.sum(axis=1))[:, None]
    together = Scattered(
        depth,
        np.concatenate([taken, weak.intensity], axis=1),
        np.concatenate([np.repeat(rows, len(blocks.turn)), weak.row]),
        np.concatenate([q[1:, :, :2].reshape(-1, 2), weak.q_xy]),
        np.concatenate([np.tile(blocks.direction, (len(rows), 1)), weak.within]),
        np.concatenate([np.full(taken.shape[1], blocks.spread), weak.spread]),
    )
    return _worthwhile(together)


def _strong(crystal: TiltedCrystal, thickness: float, beams: int, per_f: float) -> NDArray[np.int64]:
    """Return the rows of the beams that two-beam theory lets grow most: nu^2 / (nu^2 + s^2 + 1/(pi t)^2), nu = U/K."""
    q = crystal.hkl @ (crystal.tilt @ crystal.ub).T
    reach = 2 * crystal.mosaic_rad * np.linalg.norm(q, axis=1) + crystal.convergence_rad * np.hypot(q[:, 0], q[:, 1])
    error = np.maximum(np.abs(excitation_along_beam(q, crystal.wavelength_angstrom)) - reach, 0.0)
    coupling_sq = crystal.f_squared * (per_f * crystal.wavelength_angstrom) ** 2
    best = coupling_sq / (coupling_sq + error**2 + (np.pi * max(thickness, 1.0)) ** -2)
    chosen = np.flatnonzero(best > WORTH)
    return chosen[np.argsort(-best[chosen], kind="stable")[: beams - 1]]


def _smooth(
    crystal: TiltedCrystal,
    rows: NDArray[np.int64],
    u: NDArray[np.float64] | NDArray[np.complex128],
    excitation: NDArray[np.float64],
    depth: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the intensities (t, n, m) of the strong beams, without the direct one, averaged as the whole spread is."""
    waves = intensities_at_depths(u, excitation, 1.0 / crystal.wavelength_angstrom, depth)[:, 1:]
    if excitation.shape[1] == 1:
        return waves
    between, count = float(depth[1] - depth[0]), len(depth)
    coupling = np.abs(u[1:, 0]) * crystal.wavelength_angstrom
    q = crystal.hkl[rows] @ (crystal.tilt @ crystal.ub).T
    spread = spread_quantiles(crystal.mosaic_rad, crystal.convergence_rad)
    error = (
        excitation_along_beam(q, crystal.wavelength_angstrom)[:, None] + np.hypot(q[:, 0], q[:, 1])[:, None] * spread
    )
    wide = two_beam_intensities(coupling, error, between, count).mean(axis=2)
    return smoothed(waves, two_beam_intensities(coupling, excitation[1:], between, count), wide)


def _rest(
    crystal: TiltedCrystal, depth: NDArray[np.float64], strong: NDArray[np.int64], direct: NDArray[np.float64]
) -> Scattered:
    """Return what the other reflections take of the direct beam, (t,) per incident electron, on its way."""
    left = np.ones(len(crystal.hkl), dtype=bool)
    left[strong] = False
    rows = np.flatnonzero(left)
    others = crystal._replace(hkl=crystal.hkl[rows], f_squared=crystal.f_squared[rows])
    passed = np.concatenate([[0.0], np.cumsum((direct[1:] + direct[:-1]) / 2)]) / np.maximum(np.arange(len(depth)), 1)
    seen = _once(others, depth, passed)
    return seen._replace(row=rows[seen.row], intensity=seen.intensity * _capped(seen.intensity.sum(axis=1))[:, None])


def _once(crystal: TiltedCrystal, depth: NDArray[np.float64], direct: NDArray[np.float64]) -> Scattered:
    """Return single scattering of a direct beam that holds `direct` (t,) in the mean over its way."""
    q = crystal.hkl @ (crystal.tilt @ crystal.ub).T
    error = excitation_along_beam(q, crystal.wavelength_angstrom)
    thinnest = Rocking(float(depth[1]), crystal.mosaic_rad, crystal.convergence_rad)
    rows = np.flatnonzero(np.abs(error) < CUT_SIGMA * rocking_sigma(q, thinnest))
    q, error = q[rows], error[rows]
    rate = crystal.cross_section * crystal.f_squared[rows]
    intensity = np.zeros((len(depth), len(rows)))
    for number in range(1, len(depth)):
        sigma = rocking_sigma(q, thinnest._replace(thickness_angstrom=float(depth[number])))
        intensity[number] = rate * depth[number] * direct[number] * rocking_density(error, sigma)
    return _worthwhile(Scattered(depth, intensity, rows, q[:, :2], np.zeros((len(rows), 2)), np.ones(len(rows))))


def _capped(total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factor, (t,), that leaves `DIRECT_LEFT` to the direct beam."""
    return np.minimum(1.0, (1 - DIRECT_LEFT) / np.maximum(total, 1e-12))


def _worthwhile(seen: Scattered) -> Scattered:
    """Leave out the outcomes that no thickness shows."""
    keep = seen.intensity.max(axis=0) > SEEN
    return Scattered(
        seen.depth, seen.intensity[:, keep], seen.row[keep], seen.q_xy[keep], seen.within[keep], seen.spread[keep]
    )
