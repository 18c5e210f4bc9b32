"""The spots of all frames where they are discs: the matched filter of `tasks.events.disc_search`, frame by frame."""

import numpy as np

from tasks.events.beam_disc import BeamDisc
from tasks.events.disc_background import DiscRings
from tasks.events.disc_search import find_discs
from tasks.integrate.parallel import in_threads
from tasks.integrate.spots.images import Images, SpotSearch
from tasks.integrate.spots.spot_search import Spots, radii_px
from tasks.model.arrays import Floats

LEAST_COUNTS = 8.0
"""Of a disc on a frame. A point of five is a spot; a disc spreads its counts over ten times the pixels and more, and
its centre is known from those near its edge only. Chosen, not measured."""


def search_disc_spots(images: Images, beam_px: Floats, disc: BeamDisc, *, threshold: float) -> SpotSearch:
    """Find the discs of all frames; as `search_spots`.

    Parameters
    ----------
    beam_px
        (2,), where the frames are centred.
    """
    radius = radii_px(images.valid.shape, beam_px).astype(np.float64)
    inner = disc.reach_px + 1.0
    usable = images.masks & (radius >= inner)
    numbers = np.flatnonzero(images.used)
    rings = [DiscRings(valid, radius, disc) for valid in usable]

    def spots_in(number: int) -> Spots:
        found, _ = find_discs(
            images.counts[number],
            usable[images.mask_of_frame[number]],
            rings[images.mask_of_frame[number]],
            disc,
            radius=radius,
            inner_px=inner,
            threshold=threshold,
            least_counts=LEAST_COUNTS,
        )
        return Spots(found.px, np.full(len(found.px), number, dtype=np.int64), found.counts, found.significance)

    columns = [np.concatenate(column) for column in zip(*in_threads(spots_in, numbers.tolist()), strict=True)]
    return SpotSearch(Spots(*columns), disc.radius_px, inner)
