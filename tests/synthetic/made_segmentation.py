"""Segmentations made of arrays, for tests of what is done with them."""

import numpy as np
from scipy.sparse import csr_matrix

from tasks.apertures.factorise import Factors
from tasks.apertures.pattern import BraggSpots
from tasks.apertures.segmentation import Segmentation, lay_scan
from tasks.apertures.shelf import Shelf
from tasks.events.scan_beam import DirectBeam


def made_segmentation(
    images, *, patterns=None, px=None, centre=(0.0, 0.0), good=None, bragg=None, shelf=None
) -> Segmentation:
    """Return regions with `images` (k, ny, nx) and `patterns` (k, n_spots); nothing is known of counts."""
    images = np.asarray(images, dtype=np.float64)
    shape = images.shape[1:]
    patterns = np.ones((len(images), 1)) if patterns is None else patterns
    n_spots = patterns.shape[1]
    none = csr_matrix((shape[0] * shape[1], n_spots))
    spots = BraggSpots(np.zeros((n_spots, 2)) if px is None else px, np.zeros(n_spots))
    held = lay_scan(
        shelf or Shelf(), none, none, np.full(none.shape[0], 1.0 / none.shape[0]),
        {"bragg": images.sum(axis=0) if bragg is None else bragg},
        np.ones(shape, dtype=bool) if good is None else good,
    )  # fmt: skip
    bare = Segmentation(DirectBeam(np.array(centre), 1.0, seen=True), spots, held, shape, patterns, ())
    return bare.with_factors(Factors(images.reshape(len(images), shape[0] * shape[1]).T, patterns))
