"""Scans of which some rows lie beside their places: a fault of the scan generator or of the camera's triggers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.apertures.segment import Segmentation
from tasks.apertures.similarity import moved

LARGEST = 10
"""Columns by which a row is looked for, at most."""
LEAST = 3
"""Columns: less may be the parallax of a crystal."""
GAIN = 0.035
"""In the mean correlation of the rows if each may have one of two shifts (686 simulated sound scans: 0.033 at most)."""
USUAL = 2.5
"""Times the median gain of the series, which noise makes: a gain is more than that too."""
SHARE = 0.15
"""Of the rows that hold crystals: so many at least have either shift."""
BRIGHT = 0.3
"""Root mean square of a row, of the brightest row's, from which on it holds crystals."""
FEWEST = 4
"""Rows that hold crystals."""
NEIGHBOURS = 6
"""Scans with which one is compared."""
POWER = 1.0 / 3.0
"""Of the Bragg electrons: where a crystal is counts, not how brightly it shines at one tilt."""


class ShiftedRows(NamedTuple):
    """``rows`` of ``scan``, of those that hold crystals, lie ``columns`` beside the others."""

    scan: int
    rows: int
    columns: int


class _Gain(NamedTuple):
    """What two shifts gain over one; rows that have the rarer one, their share, and the columns between the two."""

    gain: float
    rows: int
    columns: int
    share: float


NOTHING = _Gain(0.0, 0, 0, 0.0)
"""Of a scan that is not better explained with shifted rows: zeros by definition."""


def scans_with_shifted_rows(segmentations: Sequence[Segmentation], offsets: NDArray[np.float64]) -> list[ShiftedRows]:
    """Return the scans of which the rows agree with the neighbouring scans much better with two shifts than with one.

    Every row of a scan is correlated with that row of its registered neighbours. Finds 102 of 120 scans whose half,
    middle third or every second row is shifted by 4 to 8 columns, and calls none of 740 sound scans so (simulated).
    A scan that is shifted as a whole has drifted: registration has taken care of it. No ground to leave a scan out:
    the patterns are right, and its crystals are outlined in its own picture.
    """
    images = [ndimage.gaussian_filter(np.maximum(one.maps["bragg"], 0.0), (0.0, 0.5)) ** POWER for one in segmentations]
    n = len(images)
    gains = []
    for scan in range(n):
        others = sorted((j for j in range(n) if j != scan), key=lambda j: (abs(j - scan), j))[:NEIGHBOURS]
        shifts = [np.rint(offsets[scan] - offsets[other]).astype(np.int64) for other in others]
        references = [moved(images[other][None], shift)[0] for other, shift in zip(others, shifts, strict=True)]
        gains.append(_two_shifts(images[scan], references) if len(others) >= 2 else NOTHING)
    limit = max(GAIN, USUAL * float(np.median([gain.gain for gain in gains]))) if gains else GAIN
    return [
        ShiftedRows(scan, gain.rows, gain.columns)
        for scan, gain in enumerate(gains)
        if gain.gain > limit and gain.share >= SHARE
    ]


def _two_shifts(image: NDArray[np.float64], references: list[NDArray[np.float64]]) -> _Gain:
    strength = np.min([np.sqrt((one**2).mean(axis=1)) for one in references], axis=0)
    rows = strength > BRIGHT * max(float(strength.max()), 1e-12)
    if rows.sum() < FEWEST:
        return NOTHING
    curves = np.mean([_correlations(image, one) for one in references], axis=0)[rows]
    lags = np.arange(curves.shape[1])
    both = np.maximum(curves[:, :, None], curves[:, None, :]).mean(axis=0)
    both[np.abs(lags[:, None] - lags) < LEAST] = -1.0
    one, other = np.unravel_index(int(np.argmax(both)), both.shape)
    first = int((curves[:, one] > curves[:, other]).sum())
    fewer = min(first, len(curves) - first)
    gain = float(both[one, other] - curves.mean(axis=0).max())
    return _Gain(gain, fewer, abs(int(other) - int(one)), fewer / len(curves))


def _correlations(image: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation of every row (ny, nx) with its reference at all shifts, (ny, 2 LARGEST + 1)."""
    margin = ((0, 0), (LARGEST, LARGEST))
    own, wanted = (np.pad(one - one.mean(axis=1, keepdims=True), margin) for one in (image, reference))
    norm = np.maximum(np.linalg.norm(own, axis=1) * np.linalg.norm(wanted, axis=1), 1e-12)
    shifts = range(-LARGEST, LARGEST + 1)
    return np.stack([(own * np.roll(wanted, shift, axis=1)).sum(axis=1) / norm for shift in shifts], axis=1)
