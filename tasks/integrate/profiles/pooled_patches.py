"""Patches over the background that all frames together show."""

import numpy as np

from tasks.integrate.profiles.pixels import Pixels
from tasks.integrate.spots.images import Images
from tasks.integrate.spots.pooled_background import pooled_background, spot_mask
from tasks.integrate.spots.spot_search import radii_px
from tasks.model.arrays import Floats, Mask


def over_pooled_background(images: Images, pixels: Pixels, beam_px: Floats, beam_radius_px: float) -> Pixels:
    """Return the same pixels over the pooled background; what was measured over another one is not changed.

    Parameters
    ----------
    beam_px
        (2,), where the frames are centred.
    """
    patches, frame = pixels.patches, pixels.predictions.frame
    reach = patches.counts.shape[1] // 2
    shape = images.valid.shape
    beam = radii_px(shape, beam_px) < beam_radius_px

    def spots(number: int) -> Mask:
        return np.asarray(beam | spot_mask(shape, patches.centre[patches.near & (frame == number)], reach))

    background = pooled_background(images, spots, beam_px)
    offsets = np.arange(-reach, reach + 1)
    slow = np.clip(patches.centre[:, 0, None, None] + offsets[None, :, None], 0, shape[0] - 1)
    fast = np.clip(patches.centre[:, 1, None, None] + offsets[None, None, :], 0, shape[1] - 1)
    level = background.at(frame[:, None, None], slow, fast)
    return pixels._replace(patches=patches._replace(background=level))
