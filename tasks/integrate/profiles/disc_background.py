"""The background of a frame between its discs, and under them where they leave nothing between."""

import numpy as np

from tasks.events.beam_disc import BeamDisc
from tasks.events.disc_fit import pattern_of_discs
from tasks.events.disc_search import poor_rings
from tasks.integrate.spots.background import ring_background
from tasks.integrate.spots.images import Images
from tasks.integrate.spots.spot_search import Spots
from tasks.model.arrays import Image, Mask


class BetweenDiscs:
    """`ring_background` of the pixels that no predicted disc reaches.

    In rings of which these are too few, near the beam and on zone axes, the pixels under the discs are counted too,
    less the discs that were found there.
    """

    def __init__(self, images: Images, spots: Spots, disc: BeamDisc) -> None:
        self.images, self.spots, self.disc = images, spots, disc

    def __call__(self, frame: int, free: Mask, radius: Image) -> Image:
        """Return the background (slow, fast) of a frame."""
        image = self.images.counts[frame]
        valid = self.images.valid_in(frame)
        poor = valid & ~free & poor_rings(free, valid, radius)
        if not poor.any():
            return ring_background(image, free, radius)
        mine = self.spots.frame == frame
        discs = pattern_of_discs(image.shape, self.spots.px[mine], self.spots.counts[mine], self.disc)
        left = np.where(free, image, image - discs).astype(np.float32)
        return ring_background(left, free | poor, radius)
