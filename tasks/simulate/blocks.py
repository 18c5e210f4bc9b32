"""Orientations that stand for a mosaic spread and for the directions within the disc of the probe."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from scipy.stats import norm, qmc

from tasks.simulate.models import SimulationSettings

FEWEST = 16
"""Blocks in a part of a bent crystal. At 80 nm they give a pattern of UiO-66 to 2 to 5 % (mosaic spread 0.1 and 0.3
degrees, 3 draws in 2 orientations), and a position mixes two parts."""


class Blocks(NamedTuple):
    """A crystal's m mosaic blocks, each met by its own part of the probe.

    ``turn`` (m, 3) are rotation vectors in radians against the mean orientation, in the frame of the crystal at tilt
    0; ``direction`` (m, 2) are places (x, y) in a disc of radius 1 less ``spread``, which is the radius of the part.
    """

    turn: NDArray[np.float64]
    direction: NDArray[np.float64]
    spread: float


def mosaic_blocks(count: int, mosaic_rad: float, rng: np.random.Generator) -> Blocks:
    """Return `count` blocks, spread more evenly than by chance (Sobol's sequence, scrambled).

    The rotation vectors are normal with `mosaic_rad` in each component, so that the inclination of any reflection and
    its turn about the beam have this standard deviation, as in `diffraction`.
    """
    if count == 1:
        return Blocks(np.zeros((1, 3)), np.zeros((1, 2)), 1.0)
    even = qmc.Sobol(5, rng=rng).random_base2(int(np.ceil(np.log2(count))))[:count]
    turn = mosaic_rad * norm.ppf(np.clip(even[:, :3], 0.25 / count, 1 - 0.25 / count))
    spread = 1.0 / np.sqrt(count)
    radius, azimuth = (1 - spread) * np.sqrt(even[:, 3]), 2 * np.pi * even[:, 4]
    return Blocks(turn, np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth)], axis=1), spread)


def turned_blocks(
    blocks: Blocks, hkl: NDArray[np.int32], ub: NDArray[np.float64], tilt: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return reciprocal vectors (n, m, 3) of each block in the laboratory; `ub` at tilt 0, `tilt` (3, 3)."""
    at_zero = hkl @ ub.T
    turns = np.einsum("ij,mjk->mik", tilt, Rotation.from_rotvec(blocks.turn).as_matrix())
    return np.einsum("mij,nj->nmi", turns, at_zero)


def blocks_of(settings: SimulationSettings, domain: int, parts: int) -> Blocks:
    """Return the blocks of each of so many parts of a domain: a random stream, the same at every tilt.

    A bent crystal has as many in all as another, but no fewer than `FEWEST` in a part.
    """
    rng = np.random.default_rng([settings.seed, 5, domain])
    wanted = settings.scattering.blocks
    return mosaic_blocks(max(wanted // parts, min(wanted, FEWEST)), float(np.radians(settings.cluster.mosaic_deg)), rng)
