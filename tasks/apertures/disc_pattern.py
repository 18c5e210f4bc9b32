"""The sum pattern of one scan where spots are discs: background between them, discs, and the region of every pixel."""

import numpy as np
from numpy.typing import NDArray

from tasks.apertures.pattern import BraggSpots, regions
from tasks.events.beam_disc import BeamDisc
from tasks.events.disc_background import DiscRings
from tasks.events.disc_search import covered, find_discs
from tasks.events.inversion import distances
from tasks.events.scan_beam import DirectBeam
from tasks.events.virtual_detectors import BACKGROUND, BEAM, IGNORED

LEAST_COUNTS = 8.0
"""Of a disc in the whole scan: fewer do not tell whose it is."""


def find_bragg_discs(
    total: NDArray[np.uint32],
    beam: DirectBeam,
    disc: BeamDisc,
    *,
    threshold: float,
    max_spots: int,
    valid: NDArray[np.bool_] | None = None,
) -> tuple[BraggSpots, NDArray[np.int32]]:
    """Find Bragg discs and the region of every pixel; as `find_bragg_spots`, with discs for spots.

    Where regions overlap, the nearest centre wins. The background is counted between the discs only. Pixels that are
    not `valid`, (slow, fast), take no part; None = all are.
    """
    radius = distances(total.shape, beam.centre)
    inner = disc.reach_px + 1.0 if beam.seen else 0.0
    image = total.astype(np.float64)
    good = np.ones(total.shape, dtype=bool) if valid is None else valid
    usable = good & (radius >= inner)
    found, background = find_discs(
        image, usable, DiscRings(usable, radius, disc), disc, radius=radius, inner_px=inner, threshold=threshold,
        least_counts=LEAST_COUNTS,
    )  # fmt: skip
    px = found.px[:max_spots]
    labels = regions(total.shape, px, reach=disc.radius_px + disc.edge_px)
    free = (labels == IGNORED) & ~covered(total.shape, found.px, disc)
    labels[free & usable] = BACKGROUND
    labels[radius < inner] = BEAM if beam.seen else IGNORED
    labels[~good] = IGNORED
    expected = np.bincount(np.maximum(labels, 0).ravel(), weights=background.ravel(), minlength=len(px) + 1)[1:]
    outside = np.where(radius >= inner, background, 0.0)
    measured = 1.0 if good.all() else float(outside[good].sum() / max(outside.sum(), 1e-12))
    return BraggSpots(px, expected.astype(np.float64), measured), labels
