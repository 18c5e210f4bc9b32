"""Spots that the sum of a whole field drowns: found in the sums of its tiles."""

from collections.abc import Iterator
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from tasks.apertures.pattern import brightest_spots
from tasks.apertures.spot_field import SpotField
from tasks.apertures.tiles import TILE, tiles_of
from tasks.apertures.window import Window
from tasks.events.scan_beam import DirectBeam
from tasks.events.store import ScanEvents
from tasks.events.sums import sum_parts


def spots_of_tiles(
    scan: ScanEvents,
    detector_shape: tuple[int, int],
    beam: DirectBeam,
    *,
    shifts: NDArray[np.int32],
    good: NDArray[np.bool_],
    threshold: float,
    max_spots: int,
    valid: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return the spots of all tiles of a field, (n, 2) px, strongest first; those of several tiles repeatedly.

    Noise passes the threshold of all tiles together as often as it passes `threshold` in one.

    Parameters
    ----------
    shifts
        (n_positions, 2) whole pixels by which each position's electrons are moved.
    good
        (ny, nx), the positions that are summed.
    """
    windows = tiles_of((good.shape[0], good.shape[1]), TILE)
    least = float(-ndtri(ndtr(-threshold) / len(windows)))
    field = SpotField(detector_shape, beam, sigma_px=beam.sigma, valid=valid)
    places, scores = [np.zeros((0, 2))], [np.zeros(0)]
    for _, band in groupby(windows, key=lambda window: window.top):
        for total in _sums_of(list(band), scan, detector_shape, shifts, good):
            px, score = brightest_spots(total, field, sigma_px=beam.sigma, threshold=least, max_spots=max_spots)
            places.append(px)
            scores.append(score)
    return np.concatenate(places)[np.argsort(-np.concatenate(scores), kind="stable")]


def _sums_of(
    windows: list[Window],
    scan: ScanEvents,
    detector_shape: tuple[int, int],
    shifts: NDArray[np.int32],
    good: NDArray[np.bool_],
) -> Iterator[NDArray[np.uint32]]:
    """Go through the sums of tiles of the same rows: what lies between their edges is summed once, in one pass."""
    edges = sorted({edge for window in windows for edge in (window.left, window.right)})
    rows = slice(windows[0].top, windows[0].bottom)
    part = np.full(good.shape, -1)
    part[rows] = np.where(good[rows], np.searchsorted(edges, np.arange(good.shape[1]), side="right") - 1, -1)
    sums = sum_parts(scan, part.ravel(), len(edges), detector_shape, shifts=shifts)
    for window in windows:
        yield sums[edges.index(window.left) : edges.index(window.right)].sum(axis=0, dtype=np.uint32)
