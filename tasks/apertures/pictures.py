"""Whether pieces of tracks go on in one place: where the lattices do not tell them apart, the pictures do."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tasks.apertures.fingerprint import Region
from tasks.apertures.region_pictures import RegionPictures, overlaps_after, pictures_of
from tasks.apertures.segmentation import Segmentation

REACH = 6
"""Scans apart at which the pictures of two pieces are compared, at most."""
PAIRS = 4
"""Pairs of regions that are compared, nearest first."""
AROUND = tuple(np.array([row, column]) for row in (-1, 0, 1) for column in (-1, 0, 1))
"""Shifts of a region besides the field's (parallax of its height), in positions."""


HELD = 64
"""Pictures, at most: pieces are compared by few of their regions, again and again."""


class Pictures:
    """Pictures of all regions of a series, registered; those that were used last are held."""

    def __init__(self, segmentations: Sequence[Segmentation], offsets: NDArray[np.float64]) -> None:
        self.offsets = offsets
        self._segmentations = segmentations
        self._picture = lru_cache(maxsize=HELD)(self._made)

    def alike(self, one: Sequence[Region], two: Sequence[Region]) -> float | None:
        """Return the mean overlap, 0 to 1, of the nearest regions of two groups; None if their scans are far apart."""
        pairs = sorted(
            (abs(a[0] - b[0]), a, b) for a in one for b in two if 0 < abs(a[0] - b[0]) <= REACH
        )[:PAIRS]  # fmt: skip
        return float(np.mean([self._overlap(a, b) for _, a, b in pairs])) if pairs else None

    def _overlap(self, one: Region, two: Region) -> float:
        shift = np.rint(self.offsets[two[0]] - self.offsets[one[0]]).astype(np.int64)
        first, second = self._picture(*one), self._picture(*two)
        return max(float(overlaps_after(first, second, shift + step)[0, 0]) for step in AROUND)

    def _made(self, scan: int, region: int) -> RegionPictures:
        chosen = self._segmentations[scan]
        return pictures_of(chosen.with_columns([region]))
