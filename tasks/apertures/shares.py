"""How much of a crystal an aperture holds, tilt by tilt: what its frames are first scaled by."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.apertures.at_once import at_once
from tasks.apertures.follow import Followed
from tasks.apertures.outlines import Outlines
from tasks.apertures.packed import TrackMasks


def shares_of(clean: TrackMasks, outlines: Sequence[Outlines], followed: Followed) -> NDArray[np.float64]:
    """Return (n_tracks, n_tilts): of a crystal's own Bragg electrons, the part in its aperture; 0 = not known.

    Which reflections are excited changes from tilt to tilt, but not over the crystal: the share of its electrons is
    the share of its volume, whatever the positions that others overlap.
    """
    shares = np.zeros(clean.positions.shape)

    def of_scan(scan: int) -> dict[int, float]:
        found = {}
        for track, region in zip(followed.owners[scan], followed.segmentations[scan].regions, strict=True):
            image = region.image()
            inside = float(image[outlines[scan].present[track].mask()].sum())
            if inside > 0:
                found[track] = min(1.0, float(image[clean.get(track, scan)].sum()) / inside)
        return found

    for scan, found in enumerate(at_once(of_scan, range(len(outlines)))):
        for track, share in found.items():
            shares[track, scan] = share
    return shares
