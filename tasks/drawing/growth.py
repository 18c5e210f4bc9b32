"""Grow from here: the connected positions that diffract as a seed and its neighbours do."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.drawing.likeness import Likeness, bragg_significance, likeness_to
from tasks.drawing.scene import Scene
from tasks.drawing.shapes import connected_part
from tasks.model import ScienceError

NEIGHBOURHOOD = (1.5, 2.3, 3.2)
"""Radii of a seed's neighbourhood in positions, 9, 21 and 37 of them: the least whose Bragg electrons are sure."""
SURE = 10.0
"""Bragg electrons of a seed's neighbourhood over their standard deviation from which on they make a pattern. Chosen,
not measured: the pattern's error is then a tenth of it."""
LIKE = 0.7
"""Likeness from which on a position is taken unless a person says otherwise. In `python -m tests.benchmarks.studio
growth`, crystals that overlap: with 0.5 0.92 of what a crystal has alone is taken, and 0.13 of what is taken is
another's too; with 0.7 0.89 and 0.09, with 0.8 0.86 and 0.07, with 0.9 0.78 and 0.04."""


def grow(scene: Scene, tilt: int, seed: tuple[int, int], likeness: float = LIKE) -> NDArray[np.bool_]:
    """Return the positions (ny, nx) that hang together with a seed (row, column) and are at least as like it.

    Parameters
    ----------
    likeness
        0 to 1, the least in `likeness_of`.

    Raises
    ------
    ScienceError
        If there are too few Bragg electrons about the seed to tell a pattern.
    """
    return region_like(likeness_of(scene, tilt, seed), seed, likeness)


def region_like(like: Likeness, seed: tuple[int, int], likeness: float) -> NDArray[np.bool_]:
    """Return the connected region (ny, nx) about a seed in which the likeness is not less; the seed is always in it."""
    mask = like.image >= max(likeness, 1e-6)
    mask[seed] = True
    return ndimage.binary_fill_holes(connected_part(mask, seed)).astype(bool)


def likeness_of(scene: Scene, tilt: int, seed: tuple[int, int]) -> Likeness:
    """Return how like the neighbourhood of a seed (row, column) each position diffracts.

    Raises
    ------
    ValueError
        If the seed lies outside the scan.
    ScienceError
        If there are too few Bragg electrons about the seed to tell a pattern.
    """
    if not (0 <= seed[0] < scene.scan_shape[0] and 0 <= seed[1] < scene.scan_shape[1]):
        raise ValueError(f"{seed} lies outside the scan {scene.scan_shape}")
    spots = scene.spots(tilt)
    for radius in NEIGHBOURHOOD:
        near = _around(scene.scan_shape, seed, radius) & spots.good
        sure = bragg_significance(spots, near)
        if sure >= SURE:
            return likeness_to(spots, near)
    raise ScienceError(
        f"the positions about row {seed[0]}, column {seed[1]} hold no sure Bragg electrons ({max(sure, 0):.1f} "
        f"standard deviations, {SURE:g} are needed)",
        "choose a brighter place of the Bragg image, or draw by hand",
    )


def _around(scan_shape: tuple[int, int], seed: tuple[int, int], radius: float) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: scan_shape[0], : scan_shape[1]]
    return np.asarray((rows - seed[0]) ** 2 + (columns - seed[1]) ** 2 <= radius**2)
