"""Spots that the sum of a whole field drowns: found in the sums of its tiles."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from tasks.apertures.pattern import brightest_spots
from tasks.apertures.tiles import TILE, tiles_of
from tasks.events.scan_beam import DirectBeam
from tasks.events.store import ScanEvents
from tasks.events.sums import sum_pattern


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
    places, scores = [np.zeros((0, 2))], [np.zeros(0)]
    for window in windows:
        keep = np.zeros(good.shape, dtype=bool)
        keep[window.slices] = good[window.slices]
        total = sum_pattern(scan, detector_shape, shifts=shifts, keep=keep.ravel())
        px, score = brightest_spots(
            total, beam, sigma_px=beam.sigma, threshold=least, max_spots=max_spots, valid=valid
        )  # fmt: skip
        places.append(px)
        scores.append(score)
    return np.concatenate(places)[np.argsort(-np.concatenate(scores), kind="stable")]
