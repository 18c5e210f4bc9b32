"""The profile of a disc, and discs that overlap: one least-squares problem for each frame.

A disc needs no learned profile: the direct beam shows it, and a top hat with Poisson weights is a summation, whatever
the rocking of the crystal does inside it. Discs that share pixels share their electrons: the intensities of a frame
solve one weighted least-squares problem. Where it is badly conditioned - discs on top of each other - the intensity is
set aside.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from tasks.events.beam_disc import BeamDisc
from tasks.events.disc import edge_profile
from tasks.integrate.geometry.prediction import Predictions
from tasks.integrate.parallel import in_threads
from tasks.integrate.profiles.overlaps import neighbours_of, one_spot, what_others_put
from tasks.integrate.profiles.patches import Patches
from tasks.integrate.profiles.profile_fit import BACKGROUND_PIXELS, LEAST_SHARE, Measured
from tasks.integrate.profiles.spot_profiles import BINS_PER_PX, Profiles
from tasks.model.arrays import Floats, Image, Integers, Mask

CYCLES = 4
"""Of solving with the weights of the last solution: the fourth changes three touching discs of 60 to 800 counts (those
of tests/unit/integrate/profiles/test_disc_profiles.py) by 0.006 of their sigma at most, the third by 0.06."""
MOST_INFLATION = 20.0
"""Times the variance of a disc alone, beyond which its share in the common electrons is not told: as LEAST_FREE of
`overlaps`. Two equal discs of 11 px reach it 0.11 of their radius apart, of 5.5 px 0.13. Chosen, not measured."""
MOST_PATCH_PX = 28
"""On either side, px: 3249 pixels a prediction, 70 MB a thousand. Larger discs are measured in their inner part."""


class DiscOverlaps(NamedTuple):
    """Predictions (n,) that share pixels with another disc near the sphere, and those set aside."""

    overlapped: Mask
    aside: Mask


def reach_of(disc: BeamDisc) -> int:
    """Return the half width of the patches around discs, px."""
    return int(min(np.ceil(disc.reach_px) + 1, MOST_PATCH_PX))


def disc_profiles(disc: BeamDisc) -> Profiles:
    """Return the profile of all spots: the disc itself."""
    bins = 2 * (BINS_PER_PX * (reach_of(disc) + 1)) + 1
    axis = (np.arange(bins) - bins // 2) / BINS_PER_PX
    shape = edge_profile(np.hypot(axis[:, None], axis[None, :]), disc.radius_px, disc.edge_px)
    shape /= shape.sum() / BINS_PER_PX**2
    return Profiles(shape[None], np.array([0.0, np.inf]), 0)


def overlaps_of(predictions: Predictions, patches: Patches, expected: Floats) -> DiscOverlaps:
    """Return which discs overlap another, and which lie so much on others that their share is not told."""
    pointer, neighbour = _touching(predictions, patches)
    number = len(patches.centre)
    overlapped, aside = np.zeros(number, dtype=bool), np.zeros(number, dtype=bool)
    _crowded(expected, patches.centre, pointer, neighbour, overlapped)
    for rows in _frames(predictions):
        near = rows[patches.near[rows]]
        if len(near) < 2:
            continue
        local = np.full(number, -1, dtype=np.int64)
        local[near] = np.arange(len(near))
        weight = np.ones((len(near), *expected.shape[1:]))
        matrix = np.zeros((len(near), len(near)))
        _products(near, local, expected, weight, patches.valid, patches.centre, pointer, neighbour, matrix)
        aside[near] = _variances(matrix) * np.maximum(np.diag(matrix), 1e-30) > MOST_INFLATION
    return DiscOverlaps(overlapped, aside)


def separated_discs(
    measured: Measured,
    counts: Image,
    background: Image,
    *,
    patches: Patches,
    expected: Floats,
    predictions: Predictions,
) -> Measured:
    """Return the measurements with those that share pixels solved together; see `tasks.integrate.profiles.overlaps`."""
    pointer, neighbour = _touching(predictions, patches)
    if not len(neighbour):
        return measured
    intensity, noise = measured.intensity.copy(), measured.noise.copy()

    def solve(rows: Integers) -> None:
        near = rows[patches.near[rows]]
        local = np.full(int(rows[-1]) + 1, -1, dtype=np.int64)
        local[near] = np.arange(len(near))
        arguments = (expected, patches.valid, patches.centre, pointer, neighbour)
        if len(near) > 1:
            _solve_frame(near, local, counts, background, *arguments, intensity=intensity, noise=noise)
        far = rows[~patches.near[rows]]
        _alone(far, counts, background, *arguments, intensity, noise)

    in_threads(solve, _frames(predictions))
    return measured._replace(intensity=intensity, noise=noise)


def _touching(predictions: Predictions, patches: Patches) -> tuple[Integers, Integers]:
    side = patches.counts.shape[1]
    # `neighbours_of` looks as far as three quarters of a side; discs touch at a whole one
    return neighbours_of(predictions, patches.centre, patches.near, int(np.ceil(side / 0.75)))


def _frames(predictions: Predictions) -> list[Integers]:
    bounds = np.flatnonzero(np.diff(predictions.frame)) + 1  # predictions are sorted by frame
    return [rows for rows in np.split(np.arange(len(predictions.frame)), bounds) if len(rows)]


def _solve_frame(
    near: Integers,
    local: Integers,
    counts: Image,
    background: Image,
    expected: Floats,
    valid: Mask,
    centre: Integers,
    pointer: Integers,
    neighbour: Integers,
    *,
    intensity: Floats,
    noise: Floats,
) -> None:
    """Solve for all discs near the sphere on one frame, in place."""
    matrix = np.zeros((len(near), len(near)))
    right = np.zeros(len(near))
    for _ in range(CYCLES):
        weight = _weights(near, background, expected, centre, pointer, neighbour, np.maximum(intensity, 0.0))
        matrix[:] = 0.0
        _products(near, local, expected, weight, valid, centre, pointer, neighbour, matrix)
        _sums(near, counts, background, expected, weight, valid, right)
        matrix[np.diag_indices(len(near))] *= 1.0 + 1e-9
        intensity[near] = np.linalg.lstsq(matrix, right, rcond=1e-10)[0]
    pixels = (expected[near] > LEAST_SHARE * expected[near].max(axis=(1, 2), keepdims=True)).sum(axis=(1, 2))
    alone = 1.0 / np.maximum(np.diag(matrix), 1e-30)
    variance = np.maximum(_variances(matrix), alone)
    counted = np.maximum(intensity[near], 0.0)
    least = 0.05 * variance
    noise[near] = np.maximum(variance - counted, least) * (1.0 + pixels / BACKGROUND_PIXELS)


def _variances(matrix: Floats) -> Floats:
    """Return the diagonal of the inverse; a singular matrix gives large numbers."""
    scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), 1e-30))
    scaled = matrix * scale[:, None] * scale[None, :]
    value, vector = np.linalg.eigh(scaled)
    return np.asarray((vector**2 / np.maximum(value, 1e-6)).sum(axis=1) * scale**2)


@njit(cache=True, nogil=True)
def _weights(
    near: Integers,
    background: Image,
    expected: Floats,
    centre: Integers,
    pointer: Integers,
    neighbour: Integers,
    intensity: Floats,
) -> Floats:  # pragma: no cover
    """Return one over the variance (k, m, m) of the pixels of the patches."""
    side = expected.shape[1]
    result = np.zeros((len(near), side, side))
    for k in range(len(near)):
        i = near[k]
        under = what_others_put(i, expected, centre, pointer, neighbour, intensity)
        for row in range(side):
            for column in range(side):
                level = background[i, row, column] + under[row, column] + intensity[i] * expected[i, row, column]
                result[k, row, column] = 1.0 / max(level, 1e-3)
    return result


@njit(cache=True, nogil=True)
def _products(
    near: Integers,
    local: Integers,
    expected: Floats,
    weight: Floats,
    valid: Mask,
    centre: Integers,
    pointer: Integers,
    neighbour: Integers,
    matrix: Floats,
) -> None:  # pragma: no cover
    """Fill the normal matrix (k, k) of the discs."""
    side = expected.shape[1]
    for k in range(len(near)):
        i = near[k]
        for row in range(side):
            for column in range(side):
                if valid[i, row, column]:
                    matrix[k, k] += weight[k, row, column] * expected[i, row, column] ** 2
        for at in range(pointer[i], pointer[i + 1]):
            j = neighbour[at]
            if j >= len(local) or local[j] <= k:
                continue
            down, across = centre[i, 0] - centre[j, 0], centre[i, 1] - centre[j, 1]
            common = 0.0
            for row in range(max(0, -down), min(side, side - down)):
                for column in range(max(0, -across), min(side, side - across)):
                    if valid[i, row, column]:
                        common += (
                            weight[k, row, column] * expected[i, row, column] * expected[j, row + down, column + across]
                        )
            matrix[k, local[j]] = common
            matrix[local[j], k] = common


@njit(cache=True, nogil=True)
def _sums(
    near: Integers,
    counts: Image,
    background: Image,
    expected: Floats,
    weight: Floats,
    valid: Mask,
    right: Floats,
) -> None:  # pragma: no cover
    side = expected.shape[1]
    for k in range(len(near)):
        i = near[k]
        total = 0.0
        for row in range(side):
            for column in range(side):
                if valid[i, row, column]:
                    net = counts[i, row, column] - background[i, row, column]
                    total += weight[k, row, column] * expected[i, row, column] * net
        right[k] = total


@njit(cache=True, nogil=True)
def _alone(
    far: Integers,
    counts: Image,
    background: Image,
    expected: Floats,
    valid: Mask,
    centre: Integers,
    pointer: Integers,
    neighbour: Integers,
    intensity: Floats,
    noise: Floats,
) -> None:  # pragma: no cover
    """Fit the predictions far from the sphere, which are nobody's neighbours, over what their neighbours put there."""
    for i in far:
        if pointer[i] == pointer[i + 1]:
            continue
        floor = background[i] + what_others_put(i, expected, centre, pointer, neighbour, intensity)
        intensity[i], noise[i] = one_spot(counts[i], floor, valid[i], expected[i], intensity[i])


@njit(cache=True, nogil=True)
def _crowded(
    expected: Floats, centre: Integers, pointer: Integers, neighbour: Integers, overlapped: Mask
) -> None:  # pragma: no cover
    """Mark the discs of which at least a hundredth lies on others."""
    side = expected.shape[1]
    for i in range(len(centre)):
        shared = 0.0
        for at in range(pointer[i], pointer[i + 1]):
            j = neighbour[at]
            down, across = centre[i, 0] - centre[j, 0], centre[i, 1] - centre[j, 1]
            limit = 0.1 * expected[j].max()
            for row in range(max(0, -down), min(side, side - down)):
                for column in range(max(0, -across), min(side, side - across)):
                    if expected[j, row + down, column + across] > limit:
                        shared += expected[i, row, column]
        overlapped[i] = shared > 0.01
