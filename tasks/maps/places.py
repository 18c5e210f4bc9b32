"""Positions of all tilts brought together on one grid of the specimen, by the outlines of the crystal."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.model.arrays import Floats, Integers, Mask

FLAT = 0.25
"""Positions^2: the least variance of a body in any direction. A crystal of one position has 1 / 12 of it; less makes
the inverse of its moments meaningless. Chosen, not measured: no crystal that is measured is so thin across the scan."""
HELD = 0.05
"""Weight, against one tilt, with which depth is held to be like width where the tilts do not tell. Chosen, not
measured: 20 tilts outvote it 400 times."""


class MapPlaces(NamedTuple):
    """The cells of a crystal's map.

    ``cell`` (n_tilts, ny, nx): flat cell of each scan position, -1 outside; ``shape`` (ny, nx) of the map, which lies
    on the scan of tilt number ``reference``; ``centre`` (2,) row and column of the crystal's middle there; ``axes``
    (2, 2): row and column direction of the tilt axis, and of the direction across it.
    """

    cell: Integers
    shape: tuple[int, int]
    reference: int
    centre: Floats
    axes: Floats


def axes_in_scan(tilt_axis: Floats, rotation_deg: float) -> Floats:
    """Return (2, 2): row and column of the tilt axis in the scan, and of z x axis, which rises with the tilt.

    ``tilt_axis`` (3,) in the laboratory; ``rotation_deg`` as in the manifest.
    """
    turn = np.radians(rotation_deg)
    along = np.array(tilt_axis[:2]) / np.linalg.norm(tilt_axis[:2])
    slow, fast = np.array([np.sin(turn), -np.cos(turn)]), np.array([np.cos(turn), np.sin(turn)])
    return np.array([[one @ slow, one @ fast] for one in (along, np.array([-along[1], along[0]]))])


def map_places(
    masks: Mask, outline: Mask, tilt_deg: Floats, axes: Floats, *, places: NDArray[np.floating] | None = None
) -> MapPlaces:
    """Return where every position of a crystal lies on a map of the specimen.

    The middle of the outline is the same place at every tilt. Along the tilt axis nothing is foreshortened. Across it
    a position looks through the crystal, and stands for the mean of what it looks through: for a plate x = v / cos
    tilt, for a ball x = v cos tilt; in between the moments of the outlines over the tilts say how deep the body is.

    Parameters
    ----------
    masks, outline
        (n_tilts, ny, nx): positions that are summed, and all of the crystal's.
    places
        (n_tilts, ny, nx, 2): rows and columns at which file positions were taken; None = where they stand.
    """
    every = np.moveaxis(np.indices(masks.shape[1:]), 0, -1).astype(np.float64)
    seen = np.flatnonzero(masks.any(axis=(1, 2)))
    reference = int(seen[np.argmin(np.abs(tilt_deg[seen]))])
    inside = {tilt: (every if places is None else places[tilt])[outline[tilt]] for tilt in seen.tolist()}
    centres = {tilt: where.mean(axis=0) for tilt, where in inside.items()}
    moments = np.array([np.cov(((where - centres[tilt]) @ axes.T).T, bias=True) for tilt, where in inside.items()])
    body = body_moments(moments, tilt_deg[seen])
    cell = np.full(masks.shape, -1, dtype=np.int64)
    shape = (int(masks.shape[1]), int(masks.shape[2]))
    for tilt in seen.tolist():
        where = (every if places is None else places[tilt])[masks[tilt]]
        specimen = (where - centres[tilt]) @ axes.T @ regression(body, float(tilt_deg[tilt])).T
        home = np.rint(centres[reference] + specimen @ axes).astype(np.int64)
        within = ((home >= 0) & (home < shape)).all(axis=1)
        cell[tilt][masks[tilt]] = np.where(within, home[:, 0] * shape[1] + home[:, 1], -1)
    return MapPlaces(cell, shape, reference, centres[reference], axes)


def body_moments(moments: Floats, tilt_deg: Floats) -> Floats:
    """Return the second moments (3, 3) of a body along the axis, across it and along the beam at tilt 0.

    From those of its outlines (n, 2, 2), along and across the axis: v = x cos - z sin.
    """
    c, s = np.cos(np.radians(tilt_deg)), np.sin(np.radians(tilt_deg))
    zero, one = np.zeros_like(c), np.ones_like(c)
    rows = [
        np.stack([one, zero, zero, zero, zero, zero], axis=1),
        np.stack([zero, c, -s, zero, zero, zero], axis=1),
        np.stack([zero, zero, zero, c * c, -2 * s * c, s * s], axis=1),
    ]
    held = HELD * np.array([[0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0], [-0.5, 0, 0, -0.5, 0, 1]])
    target = np.concatenate([moments[:, 0, 0], moments[:, 0, 1], moments[:, 1, 1], np.zeros(3)])
    uu, ux, uz, xx, xz, zz = np.linalg.lstsq(np.concatenate([*rows, held]), target, rcond=None)[0]
    values, vectors = np.linalg.eigh(np.array([[uu, ux, uz], [ux, xx, xz], [uz, xz, zz]]))
    return np.asarray(vectors * np.maximum(values, FLAT) @ vectors.T)


def regression(body: Floats, tilt_deg: float) -> Floats:
    """Return (2, 2): the mean place (along, across) in the specimen of what a place (along, across) looks through."""
    c, s = np.cos(np.radians(tilt_deg)), np.sin(np.radians(tilt_deg))
    seen = np.array([[1.0, 0.0, 0.0], [0.0, c, -s]])
    return np.asarray((body @ seen.T)[:2] @ np.linalg.inv(seen @ body @ seen.T))
