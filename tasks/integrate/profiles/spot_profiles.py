"""Intensities on frames: pixels around predictions, learned spot profiles, summation and profile fitting.

Profile fitting after Diamond, Acta Cryst. A25, 43-55 (1969) and Rossmann, J. Appl. Cryst. 12, 225-238 (1979), with
Poisson weights from the model itself, so that it becomes summation where there is no background.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from scipy import ndimage

from tasks.integrate.geometry.prediction import Predictions
from tasks.integrate.parallel import in_threads
from tasks.integrate.profiles.patches import Patches
from tasks.integrate.profiles.profile_fit import Measured, fit_patches, row_parts
from tasks.model.arrays import Floats, Integers, Mask

BINS_PER_PX = 2
"""Spots lie anywhere between pixel centres, so half a pixel is told. Chosen, not measured: more bins have fewer counts
each, fewer widen the profile."""
STRONG_COUNTS = 60.0
"""Counts that make a spot strong: it is known to 1 / sqrt(60) = 13 %. Chosen, not measured: 30 and 120 change no figure
of the high-dose series of tests/unit/integrate/test_sigmas.py."""
SPOTS_PER_SHELL = 60
"""At least; with STRONG_COUNTS 3600 counts, some 10 % for a pixel that holds 3 % of a spot. Chosen, not measured: more
spots would leave fewer shells to follow how spots change with the distance."""


class Profiles(NamedTuple):
    """Spot shapes (shells, bins, bins): fraction of a spot's counts in a pixel at a radial and tangential offset.

    ``edges`` (shells + 1,) are distances from the beam in px.
    """

    shape: Floats
    edges: Floats
    spots: int

    @property
    def reach_px(self) -> int:
        """Pixels on either side of a spot's middle that the patches have that the shapes were learned from."""
        return (self.shape.shape[1] // 2) // BINS_PER_PX - 1


def _offsets(patches: Patches, predictions: Predictions, beam_px: Floats) -> tuple[Floats, Floats, Floats]:
    """Return radial and tangential offsets (n, m, m) of the pixels, and distances (n,) from the beam."""
    arm = predictions.px - beam_px[predictions.frame]
    distance = np.maximum(np.linalg.norm(arm, axis=1), 1e-6)
    unit = arm / distance[:, None]
    reach = patches.counts.shape[1] // 2
    grid = np.arange(-reach, reach + 1)
    fraction = patches.centre - predictions.px
    slow = fraction[:, 0, None, None] + grid[None, :, None]
    fast = fraction[:, 1, None, None] + grid[None, None, :]
    radial = slow * unit[:, 0, None, None] + fast * unit[:, 1, None, None]
    tangential = -slow * unit[:, 1, None, None] + fast * unit[:, 0, None, None]
    return radial, tangential, distance


def learn_profiles(
    patches: Patches, predictions: Predictions, beam_px: Floats, *, spot_radius: float, strong: Mask
) -> Profiles:
    """Learn the spot's shape from strong reflections, by shells of distance from the beam.

    With fewer than SPOTS_PER_SHELL strong spots for a shell there are fewer shells; with less than one shell's worth
    the shape is a Gaussian of the spots' size.
    """
    reach = patches.counts.shape[1] // 2
    radial, tangential, distance = _offsets(patches, predictions, beam_px)
    known = patches.valid if patches.saturated is None else patches.valid & ~patches.saturated
    usable = np.flatnonzero(strong & known.all(axis=(1, 2)) & ~patches.overlapped)
    shells = int(np.clip(len(usable) // SPOTS_PER_SHELL, 1, 5))
    edges = np.quantile(distance[usable], np.linspace(0, 1, shells + 1)) if len(usable) else np.array([0.0, 1.0])
    edges[0], edges[-1] = 0.0, np.inf
    bins = 2 * (BINS_PER_PX * (reach + 1)) + 1
    axis = (np.arange(bins) - bins // 2) / BINS_PER_PX
    sigma = spot_radius / 1.6 / np.sqrt(2.0)
    start = np.exp(-0.5 * (axis[:, None] ** 2 + axis[None, :] ** 2) / sigma**2) / (2 * np.pi * sigma**2)
    shape = np.tile(start, (shells, 1, 1))
    profiles = Profiles(shape, edges, len(usable))
    if len(usable) < SPOTS_PER_SHELL // 3:
        return profiles
    part = _at(patches, usable)
    chosen = predictions.where(usable)
    for _ in range(3):
        total = measure(part, chosen, beam_px, profiles).intensity
        profiles = _accumulated(part, radial[usable], tangential[usable], distance[usable], total, profiles)
    return profiles


def _at(patches: Patches, rows: Integers) -> Patches:
    return Patches(
        centre=patches.centre[rows],
        counts=patches.counts[rows],
        background=patches.background[rows],
        valid=patches.valid[rows],
        half=None if patches.half is None else patches.half[rows],
        overlapped=patches.overlapped[rows],
        near=patches.near[rows],
        correction=None if patches.correction is None else patches.correction[rows],
        saturated=None if patches.saturated is None else patches.saturated[rows],
    )


def _accumulated(
    patches: Patches, radial: Floats, tangential: Floats, distance: Floats, total: Floats, old: Profiles
) -> Profiles:
    bins = old.shape.shape[1]
    net = patches.counts - patches.background
    shell = np.clip(np.searchsorted(old.edges, distance, side="right") - 1, 0, len(old.shape) - 1)
    row = np.clip(np.rint(radial * BINS_PER_PX).astype(np.int64) + bins // 2, 0, bins - 1)
    column = np.clip(np.rint(tangential * BINS_PER_PX).astype(np.int64) + bins // 2, 0, bins - 1)
    flat = (shell[:, None, None] * bins + row) * bins + column
    # strong spots are capped in weight: a few must not make the shape of all
    weight = 1.0 / np.maximum(total, STRONG_COUNTS)
    positive = (total > 0.3 * STRONG_COUNTS)[:, None, None]
    above = np.bincount(
        flat.ravel(), weights=(net * weight[:, None, None] * positive).ravel(), minlength=old.shape.size
    )
    below = np.bincount(
        flat.ravel(),
        weights=np.broadcast_to((total * weight)[:, None, None] * positive, net.shape).ravel(),
        minlength=old.shape.size,
    )
    above, below = above.reshape(old.shape.shape), below.reshape(old.shape.shape)
    kernel = np.array([0.25, 0.5, 0.25])
    for axis in (1, 2):
        above = ndimage.convolve1d(above, kernel, axis=axis, mode="constant")
        below = ndimage.convolve1d(below, kernel, axis=axis, mode="constant")
    shape = np.where(below > 0.5, above / np.maximum(below, 1e-12), 0.0)
    shape = np.maximum(0.5 * (shape + shape[:, :, ::-1]), 0.0)
    shape /= shape.sum(axis=(1, 2), keepdims=True) / BINS_PER_PX**2
    return old._replace(shape=shape)


def expected_shape(patches: Patches, predictions: Predictions, beam_px: Floats, profiles: Profiles) -> Floats:
    """Return the fraction (n, m, m) of each spot's counts that each pixel of its patch should hold."""
    arm = predictions.px - beam_px[predictions.frame]
    distance = np.maximum(np.linalg.norm(arm, axis=1), 1e-6)
    shell = np.clip(np.searchsorted(profiles.edges, distance, side="right") - 1, 0, len(profiles.shape) - 1)
    fraction = patches.centre - predictions.px
    expected = np.zeros(patches.counts.shape)

    def fill(rows: slice) -> None:
        _interpolate(profiles.shape, shell[rows], fraction[rows], arm[rows] / distance[rows, None], expected[rows])

    in_threads(fill, row_parts(len(expected)))
    return expected


@njit(cache=True, nogil=True)
def _interpolate(
    tables: Floats, shell: Integers, fraction: Floats, unit: Floats, result: Floats
) -> None:  # pragma: no cover
    """Fill ``result`` (n, m, m) from the tables at the pixels' radial and tangential offsets; zero beyond them."""
    last = tables.shape[1] - 1
    reach = result.shape[1] // 2
    for i in range(len(result)):
        table = tables[shell[i]]
        for row in range(result.shape[1]):
            for column in range(result.shape[2]):
                slow, fast = fraction[i, 0] + (row - reach), fraction[i, 1] + (column - reach)
                y = (slow * unit[i, 0] + fast * unit[i, 1]) * BINS_PER_PX + last // 2
                x = (fast * unit[i, 0] - slow * unit[i, 1]) * BINS_PER_PX + last // 2
                if y < 0 or x < 0 or y > last or x > last:
                    continue
                top, left = min(int(y), last - 1), min(int(x), last - 1)
                upper = table[top, left] + (x - left) * (table[top, left + 1] - table[top, left])
                lower = table[top + 1, left] + (x - left) * (table[top + 1, left + 1] - table[top + 1, left])
                result[i, row, column] = upper + (y - top) * (lower - upper)


def measure(patches: Patches, predictions: Predictions, beam_px: Floats, profiles: Profiles) -> Measured:
    """Return intensities by profile fitting and by summation over the whole patch's disc."""
    expected = expected_shape(patches, predictions, beam_px, profiles)
    return fit_patches(patches.counts, patches.background, patches.valid, expected)
