"""Tilts at which a crystal diffracts too faintly to outline it: its outline is taken from the tilts around."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.apertures.outlines import Outlines
from tasks.apertures.packed import TrackMasks
from tasks.apertures.segmentation import Segmentation
from tasks.apertures.similarity import moved

REACH = 3
"""Scans away from which an outline is taken, at most."""


def fill_from_neighbours(
    clean: TrackMasks, outlines: Sequence[Outlines], segmentations: Sequence[Segmentation], offsets: NDArray[np.float64]
) -> None:
    """Fill empty apertures between two others, in place.

    Where the crystal has no outline of its own, for it hardly diffracts: the positions that the apertures before and
    behind have in common after registration, less one position at the edge and less all that touches another
    crystal. Not in a scan that has no outline of any crystal: it may be blank, or lie elsewhere.
    """
    seen = clean.positions > 0
    empty = [
        (int(number), int(scan))
        for scan in np.flatnonzero(seen.any(axis=0))
        for number in np.flatnonzero(~seen[:, scan])
    ]
    for number, scan in empty:
        before, behind = (_near(seen[number], scan, direction) for direction in (-1, 1))
        if before is None or behind is None:
            continue
        near = [
            moved(clean.get(number, other)[None], np.rint(offsets[scan] - offsets[other]).astype(np.int64))[0]
            for other in (before, behind)
        ]
        others = np.zeros(near[0].shape, dtype=bool)
        for owner, mask in outlines[scan].present.items():
            if owner != number:
                others |= mask.mask()
        common = ndimage.binary_erosion(near[0] & near[1])
        good = segmentations[scan].good
        clean.put(number, scan, common & good & ~ndimage.binary_dilation(others, iterations=2))


def _near(seen: NDArray[np.bool_], scan: int, direction: int) -> int | None:
    for distance in range(1, REACH + 1):
        other = scan + direction * distance
        if 0 <= other < len(seen) and seen[other]:
            return other
    return None
