"""Where the file positions of a scan truly lie, and pictures put back to it.

A map of places is (ny, nx, 2): the row and column, in positions, at which the electrons of a file position were taken.
Sound scans have none. Outlines, tracks and neighbourhoods are made on pictures that are put back to true places; what
is summed stays file positions, so that every mask is taken back bit for bit.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import diags
from scipy.spatial import cKDTree

from tasks.apertures.segment import regions_of
from tasks.apertures.segmentation import Segmentation, lay_scan
from tasks.apertures.settings import ProposalSettings

REACH = 0.75
"""Positions from a true place within which a file position stands for it: more than half the diagonal of a position,
so that a stretched scan has no holes, and less than one, so that the edge of what was scanned stays the edge."""

NEAREST = 4
"""File positions that are compared: as many as lie equally near a place between them."""


class PutBack(NamedTuple):
    """How one scan is put back.

    ``source`` (n,): the flat file position that stands for a true place, -1 for none; ``home`` (n,): the flat true
    place to which a file position belongs, -1 outside the field.
    """

    source: NDArray[np.int64]
    home: NDArray[np.int64]


def identity(scan_shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the map of a sound scan."""
    return np.moveaxis(np.indices(scan_shape), 0, -1).astype(np.float64)


def put_back_by(places: NDArray[np.float64]) -> PutBack:
    """Return how a scan with this map of places is put back; of equally near file positions the first is taken."""
    ny, nx = places.shape[:2]
    flat = places.reshape(-1, 2)
    near = range(1, 1 + min(NEAREST, len(flat)))
    found = cKDTree(flat).query(identity((ny, nx)).reshape(-1, 2), k=near)
    distance, nearest = np.asarray(found[0], dtype=np.float64), np.asarray(found[1], dtype=np.int64)
    order = np.lexsort((nearest, np.round(distance, 6)), axis=1)[:, :1]
    first, apart = np.take_along_axis(nearest, order, axis=1)[:, 0], np.take_along_axis(distance, order, axis=1)[:, 0]
    whole = np.rint(flat).astype(np.int64)
    inside = ((whole >= 0) & (whole < (ny, nx))).all(axis=1)
    return PutBack(np.where(apart <= REACH, first, -1), np.where(inside, whole[:, 0] * nx + whole[:, 1], -1))


def put_back(segmentation: Segmentation, how: PutBack, settings: ProposalSettings) -> Segmentation:
    """Return a scan with its pictures at their true places, its regions found anew there.

    A place for which no file position stands is not good, and holds nothing.
    """
    shape, held = segmentation.scan_shape, how.source >= 0
    rows = np.where(held, how.source, 0)
    keep = diags(held.astype(np.float64))
    counts, chosen = (
        (keep @ half[rows]).tocsr() for half in (segmentation.counts, segmentation.chosen_half)
    )  # fmt: skip
    counts.eliminate_zeros(), chosen.eliminate_zeros()
    good = (segmentation.good.ravel()[rows] & held).reshape(shape)
    amplitude = segmentation.amplitude[rows] * held
    amplitude /= max(float(amplitude.sum()), 1e-12)
    factors = regions_of(
        (chosen, (counts - chosen).tocsr()), counts, amplitude, segmentation.spots,
        beam=segmentation.beam, good=good, settings=settings,
    )  # fmt: skip
    maps = {
        name: (segmentation.map_of(name).ravel()[rows] * held).reshape(shape) for name in segmentation.map_names
    }  # fmt: skip
    laid = lay_scan(segmentation.held.shelf, counts, chosen, amplitude, maps, good)
    return segmentation._replace(held=laid).with_factors(factors)


def taken_back(masks: NDArray[np.bool_], how: PutBack, good: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return masks (k, ny, nx) of true places as those of the good file positions that lie there."""
    flat = masks.reshape(len(masks), -1)
    own = flat[:, np.maximum(how.home, 0)] & (how.home >= 0)
    return np.asarray(own.reshape(masks.shape) & good)
