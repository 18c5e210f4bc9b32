"""How much of a crystal an aperture holds, tilt by tilt: what its frames are first scaled by."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.apertures.follow import Followed
from tasks.apertures.masks import Masks


def shares_of(clean: NDArray[np.bool_], masks: Sequence[Masks], followed: Followed) -> NDArray[np.float64]:
    """Return (n_tracks, n_tilts): of a crystal's own Bragg electrons, the part in its aperture; 0 = not known.

    Which reflections are excited changes from tilt to tilt, but not over the crystal: the share of its electrons is
    the share of its volume, whatever the positions that others overlap. ``clean`` is (n_tracks, n_tilts, ny, nx).
    """
    shares = np.zeros(clean.shape[:2])
    for tilt, (segmentation, owners, mask) in enumerate(
        zip(followed.segmentations, followed.owners, masks, strict=True)
    ):
        for column, track in enumerate(owners):
            image = segmentation.factors.weights[:, column].reshape(clean.shape[2:])
            inside = float(image[mask.present[column]].sum())
            if inside > 0:
                shares[track, tilt] = min(1.0, float(image[clean[track, tilt]].sum()) / inside)
    return shares
