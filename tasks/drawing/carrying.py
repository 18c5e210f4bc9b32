"""A mask carried to other tilts: with the drift of the field, and with where its crystal lies in the specimen.

A point at distance v from the tilt axis and at height w stands at v cos(tilt) - w sin(tilt) across the axis: crystals
move closer together as the tilt grows, and one that lies higher moves against the others. Both numbers of a crystal are
found from all tilts at once, as those with which the surroundings of the mask look most alike.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.drawing.drift import Drift
from tasks.drawing.scene import Scene
from tasks.ingest import TiltSeries

MARGIN = 3
"""Positions around a mask that are compared too: its edge is what tells where it lies. Chosen, not measured."""
FINE = 0.5
"""Positions between places across the axis at which the surroundings are compared. Chosen, not measured: what the
drift is uncertain by."""
MOST_COMPARED = 2000
"""Positions of the surroundings that are compared; of larger ones every second, third, ... Chosen, not measured: the
correlation of so many is known to 0.02."""
REACH_OF_FIELD = 0.25
"""How far from its place by drift a mask is looked for, as a part of the scan's longer side. Chosen, not measured: in
60 degrees a crystal at the rim of the field moves so far."""
ALIKE_DEG = 30.0
"""Tilt after which surroundings count 1/e: crystals look different from far. Chosen, not measured."""


class Carried(NamedTuple):
    """A mask at all tilts.

    ``masks`` (n_tilts, ny, nx), empty where it was not carried to; ``shifts`` (n_tilts, 2): by how many rows and
    columns it moved; ``sureness`` (n_tilts,), 0 to 1: how alike the surroundings are at both places, less what of the
    mask lies outside the scan.
    """

    masks: NDArray[np.bool_]
    shifts: NDArray[np.float64]
    sureness: NDArray[np.float64]


def carry(
    scene: Scene, mask: NDArray[np.bool_], *, tilt: int, to: Iterable[int], drift: Drift, flatness: float = 0.0
) -> Carried:
    """Return a mask (ny, nx) of one tilt carried to others; what comes to lie outside the scan is cut off.

    Parameters
    ----------
    to
        Tilts; that of the mask is always among them, and keeps it.
    flatness
        0: the crystal is as thick as wide, and its outline keeps its width at all tilts; 1: it is a plate in the plane
        of the scan, whose outline narrows across the tilt axis as the cosine of the tilt.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    if not mask.any():
        raise ValueError("an empty mask has no place that could be carried")
    across, angles = across_the_axis(scene.series), np.radians(scene.tilt_deg)
    by_drift = drift.offsets - drift.offsets[tilt]
    shifts, alike = _with_parallax(drift.images, mask, tilt=tilt, by_drift=by_drift, across=across, angles=angles)
    masks, sureness = np.zeros((len(angles), *mask.shape), dtype=bool), np.zeros(len(angles))
    for other in sorted({*to}):
        narrowed = 1.0 - flatness + flatness * np.cos(angles[other]) / max(np.cos(angles[tilt]), 1e-3)
        masks[other] = moved_mask(mask, shifts[other], across=across, narrowed=float(narrowed))
        inside = min(1.0, masks[other].sum() / max(narrowed * mask.sum(), 1.0))
        sureness[other] = float(np.clip(alike[other], 0.0, 1.0)) * inside
    masks[tilt], sureness[tilt] = mask, 1.0
    return Carried(masks, shifts, sureness)


def across_the_axis(series: TiltSeries) -> NDArray[np.float64]:
    """Return the direction across the tilt axis, in the plane of the scan, as (rows, columns); of length 1.

    The scan's fast axis lies `rotation_deg` counter-clockwise from x, its slow axis a quarter turn clockwise from it.
    A right-handed turn about the axis n takes the direction z x n to z. Zero for an axis along the beam.
    """
    angle = np.radians(series.scan.rotation_deg)
    fast, slow = np.array([np.cos(angle), np.sin(angle)]), np.array([np.sin(angle), -np.cos(angle)])
    perpendicular = np.array([-series.tilt_axis[1], series.tilt_axis[0]], dtype=np.float64)
    length = float(np.linalg.norm(perpendicular))
    return np.array([perpendicular @ slow, perpendicular @ fast]) / length if length > 0 else np.zeros(2)


def moved_mask(
    mask: NDArray[np.bool_], shift: NDArray[np.float64], *, across: NDArray[np.float64], narrowed: float = 1.0
) -> NDArray[np.bool_]:
    """Return a mask (ny, nx) moved by (rows, columns) and narrowed by a factor along `across` about its centre."""
    centre = np.argwhere(mask).mean(axis=0)
    place = np.argwhere(np.ones(mask.shape, dtype=bool)) - centre - shift
    place = place + np.outer(place @ across * (1.0 / max(narrowed, 1e-3) - 1.0), across)
    source = np.rint(place + centre).astype(np.int64)
    inside = ((source >= 0) & (source < mask.shape)).all(axis=1)
    out = np.zeros(mask.size, dtype=bool)
    out[inside] = mask[tuple(source[inside].T)]
    return out.reshape(mask.shape)


def _with_parallax(
    images: NDArray[np.float32],
    mask: NDArray[np.bool_],
    *,
    tilt: int,
    by_drift: NDArray[np.float64],
    across: NDArray[np.float64],
    angles: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shifts (n_tilts, 2) with the best v and w, and how alike the surroundings are there, (n_tilts,)."""
    reach = REACH_OF_FIELD * max(mask.shape)
    steps = np.arange(-np.ceil(reach / FINE), np.ceil(reach / FINE) + 1) * FINE
    alike = _alikeness(images, mask, tilt=tilt, by_drift=by_drift, steps=steps[:, None] * across)
    cosine, sine = np.cos(angles) - np.cos(angles[tilt]), np.sin(angles) - np.sin(angles[tilt])
    weight = np.exp(-np.abs(angles - angles[tilt]) / np.radians(ALIKE_DEG))
    best, best_moves = -np.inf, np.zeros(len(angles), dtype=np.float64)
    for v in _trials(cosine, reach, 0.5 * max(mask.shape)):
        for w in _trials(sine, reach, reach):
            moves = v * cosine - w * sine
            index = np.rint((np.clip(moves, -reach, reach) - steps[0]) / FINE).astype(np.int64)
            merit = float(weight @ alike[np.arange(len(angles)), index])
            # of equal merit the least: without diffraction nothing is moved
            if merit > best + 1e-9 or (merit > best - 1e-9 and np.abs(moves).sum() < np.abs(best_moves).sum()):
                best, best_moves = merit, moves
    index = np.rint((np.clip(best_moves, -reach, reach) - steps[0]) / FINE).astype(np.int64)
    shifts: NDArray[np.float64] = by_drift + best_moves[:, None] * across
    return shifts, np.asarray(alike[np.arange(len(angles)), index], dtype=np.float64)


def _trials(change: NDArray[np.float64], reach: float, most: float) -> NDArray[np.float64]:
    """Return values (m,), zero among them, that differ by `FINE` where a displacement changes most with them."""
    steepest = float(np.abs(change).max())
    if steepest * most < FINE:
        return np.zeros(1)
    most = min(most, reach / steepest)
    number = int(np.ceil(most * steepest / FINE))
    return np.arange(-number, number + 1, dtype=np.float64) * (FINE / steepest)


def _alikeness(
    images: NDArray[np.float32],
    mask: NDArray[np.bool_],
    *,
    tilt: int,
    by_drift: NDArray[np.float64],
    steps: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return (n_tilts, n_steps): correlation of the mask's surroundings with those at the displaced places.

    The mask itself counts double.
    """
    window = ndimage.binary_dilation(mask, iterations=MARGIN)
    place = np.argwhere(window)
    place = place[:: 1 + len(place) // MOST_COMPARED]
    rows, columns = place.T
    weight = 1.0 + mask[rows, columns]
    weight = (weight / weight.sum()).astype(np.float64)
    template = _standardised(images[tilt][rows, columns].astype(np.float64)[None], weight)[0]
    out = np.zeros((len(images), len(steps)))
    for other, image in enumerate(images):
        at = place[None] + (by_drift[other] + steps)[:, None]
        seen = ndimage.map_coordinates(image, at.reshape(-1, 2).T, order=1, mode="nearest").reshape(len(steps), -1)
        out[other] = _standardised(seen.astype(np.float64), weight) @ (weight * template)
    return out


def _standardised(values: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows of values with weighted mean 0 and mean square 1; even ones as zeros."""
    centred = values - (values @ weight)[:, None]
    deviation = np.sqrt((centred**2) @ weight)
    return np.asarray(centred / np.where(deviation > 1e-9, deviation, np.inf)[:, None], dtype=np.float64)
