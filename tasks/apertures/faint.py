"""Tilts at which a crystal diffracts too faintly to outline it: its outline is taken from the tilts around."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.apertures.follow import Followed
from tasks.apertures.masks import Masks
from tasks.apertures.similarity import moved

REACH = 3
"""Scans away from which an outline is taken, at most."""


def fill_from_neighbours(
    clean: NDArray[np.bool_], masks: list[Masks], followed: Followed, offsets: NDArray[np.float64]
) -> None:
    """Fill empty apertures (n_tracks, n_tilts, ny, nx) between two others, in place.

    Where the crystal has no outline of its own, for it hardly diffracts: the positions that the apertures before and
    behind have in common after registration, less one position at the edge and less all that touches another
    crystal. Not in a scan that has no outline of any crystal: it may be blank, or lie elsewhere.
    """
    seen = np.asarray(clean.any(axis=(2, 3)))
    for scan, (mask, owners) in enumerate(zip(masks, followed.owners, strict=True)):
        if not seen[:, scan].any():
            continue
        for number in np.flatnonzero(~seen[:, scan]):
            around = [_near(seen[number], scan, direction) for direction in (-1, 1)]
            if None in around:
                continue
            near = [
                moved(clean[number, other][None], np.rint(offsets[scan] - offsets[other]).astype(np.int64))[0]
                for other in around
                if other is not None
            ]
            mine = np.array([owner == number for owner in owners], dtype=bool)
            others = np.asarray(mask.present[~mine].any(axis=0))
            common = ndimage.binary_erosion(near[0] & near[1])
            good = followed.segmentations[scan].good
            clean[number, scan] = common & good & ~ndimage.binary_dilation(others, iterations=2)


def _near(seen: NDArray[np.bool_], scan: int, direction: int) -> int | None:
    for distance in range(1, REACH + 1):
        other = scan + direction * distance
        if 0 <= other < len(seen) and seen[other]:
            return other
    return None
