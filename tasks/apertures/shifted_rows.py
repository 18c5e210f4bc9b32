"""Scans of which some rows lie beside their places: a fault of the scan generator or of the camera's triggers."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.apertures.segment import Segmentation
from tasks.apertures.similarity import moved

LARGEST = 10
"""Columns by which a row is looked for, at most."""
LEAST = 3
"""Columns: less may be the parallax of a crystal."""
GAIN = 0.2
"""In the correlation of a row with its neighbouring scan's, by the shift."""
SHARE = 0.25
"""Of the rows that hold crystals."""
BRIGHT = 0.3
"""Root mean square of a row, of the brightest row's, from which on it holds crystals."""


def scans_with_shifted_rows(segmentations: list[Segmentation], offsets: NDArray[np.float64]) -> list[int]:
    """Return the scans of which many rows, not all, agree with both of two neighbouring scans after a shift only.

    Finds about six in ten scans whose half or every second row is shifted by 4 to 8 columns, and calls some 3 in 1000
    sound scans so (simulated): a hint, no ground to leave a scan out. A scan that is shifted as a
    whole has drifted: registration has taken care of it.
    """
    images = [ndimage.gaussian_filter(np.maximum(one.maps["bragg"], 0.0), (0.0, 1.0)) for one in segmentations]
    n = len(images)
    if n < LEAST:
        return []
    found = []
    for scan in range(n):
        others = [scan - 1, scan + 1] if 0 < scan < n - 1 else [1, 2] if scan == 0 else [n - 2, n - 3]
        shifts = [np.rint(offsets[scan] - offsets[other]).astype(np.int64) for other in others]
        shares = [
            _share_shifted(images[scan], moved(images[other][None], shift)[0])
            for other, shift in zip(others, shifts, strict=True)
        ]
        if min(shares) > SHARE:
            found.append(scan)
    return found


def _share_shifted(image: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    strength = np.sqrt((reference**2).mean(axis=1))
    rows = np.flatnonzero(strength > BRIGHT * max(float(strength.max()), 1e-12))
    if not len(rows):
        return 0.0
    curves = np.array([_correlation(image[row], reference[row]) for row in rows])
    lags = curves.argmax(axis=1)
    votes = np.bincount(lags, minlength=curves.shape[1])
    common = int(np.argmax(np.convolve(votes, np.ones(3), mode="same")))  # what registration left
    at_rest = curves[:, max(common - 1, 0) : common + 2].max(axis=1)
    beside = np.abs(lags - common) >= LEAST
    return float((beside & (curves.max(axis=1) - at_rest > GAIN)).mean())


def _correlation(row: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation at shifts up to `LARGEST` columns, (2 LARGEST + 1,)."""
    own, wanted = (np.pad(line - line.mean(), LARGEST) for line in (row, reference))
    norm = max(float(np.linalg.norm(own) * np.linalg.norm(wanted)), 1e-12)
    whole = np.correlate(own, wanted, mode="full") / norm
    middle = len(own) - 1
    return np.asarray(whole[middle - LARGEST : middle + LARGEST + 1])
