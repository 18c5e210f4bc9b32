"""Registration of scans: how the field moved between tilts, consistent over the whole series."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.apertures.geometry import TiltGeometry
from tasks.apertures.segment import Segmentation
from tasks.apertures.similarity import diffraction_similarity, images_of, matched, moved, overlaps, shift_candidates

WINDOW = 6
"""How many earlier scans a scan is compared with: bridges missing tilts, occlusions and blank scans."""
ALIKE = 0.25
"""Similarity of diffraction that different crystals do not reach but by chance (simulated: 1 in 50)."""
LOCAL_COST = 0.04
"""Off the similarity per position by which a region moves besides the field (parallax of its height)."""


class Pair(NamedTuple):
    """Regions of an earlier scan against those of a later one.

    ``shift`` (2,) positions by which the field moved; ``shape`` (k, l) in [0, 1]: cosine of the images after it, or
    after a shift of the region's own; ``likeness`` (k, l) of diffraction.
    """

    shift: NDArray[np.int64]
    shape: NDArray[np.float64]
    likeness: NDArray[np.float64]


class Registration(NamedTuple):
    """``offsets`` (n, 2): place of each scan's content, in positions; ``pairs`` by (earlier, later) scan."""

    offsets: NDArray[np.float64]
    pairs: dict[tuple[int, int], Pair]


def register(
    segmentations: list[Segmentation],
    tilt_deg: NDArray[np.float64],
    *,
    geometry: TiltGeometry,
) -> Registration:
    """Register every scan with the earlier ones of its window, then make the shifts consistent.

    A shift of any size is found, because candidates come from the full cross-correlation and are judged by how well
    the regions match one to one; a wrong one is outvoted by the other pairs of its scans.
    """
    images = [images_of(one) for one in segmentations]
    likeness: dict[tuple[int, int], NDArray[np.float64]] = {}
    first: dict[tuple[int, int], tuple[NDArray[np.int64], float]] = {}
    for later in range(len(segmentations)):
        for earlier in range(max(0, later - WINDOW), later):
            key = (earlier, later)
            likeness[key] = diffraction_similarity(
                segmentations[earlier],
                segmentations[later],
                step_deg=float(tilt_deg[later] - tilt_deg[earlier]),
                axis=geometry.axis_on_detector,
                inverse_angstrom_per_px=geometry.inverse_angstrom_per_px,
            )
            first[key] = _best_shift(images[earlier], images[later], likeness[key])
    offsets = consistent_offsets({key: value for key, value in first.items() if value[1] > 0}, len(segmentations))
    pairs = {}
    for (earlier, later), like in likeness.items():
        shift = np.rint(offsets[later] - offsets[earlier]).astype(np.int64)
        reach = 1 if later - earlier <= 2 else 2
        shape = _local_overlaps(images[earlier], images[later], shift=shift, reach=reach)
        pairs[earlier, later] = Pair(shift, shape, like)
    return Registration(offsets, pairs)


def consistent_offsets(
    shifts: Mapping[tuple[int, int], tuple[NDArray[np.int64] | NDArray[np.float64], float]], n: int
) -> NDArray[np.float64]:
    """Return offsets (n, 2) whose differences agree with most of the weighted shifts; the first is zero.

    Iteratively reweighted least squares with the L1 norm: gross errors do not count. Scans without any shift keep
    their predecessor's offset.
    """
    rows = [(later, earlier, shift, weight) for (earlier, later), (shift, weight) in shifts.items()]
    rows += [(index, index - 1, np.zeros(2, dtype=np.int64), 1e-4) for index in range(1, n)]
    design = np.zeros((len(rows) + 1, n))
    target, weights = np.zeros((len(rows) + 1, 2)), np.ones(len(rows) + 1)
    design[-1, 0] = 1.0
    for number, (later, earlier, shift, weight) in enumerate(rows):
        design[number, later], design[number, earlier] = 1.0, -1.0
        target[number], weights[number] = shift, weight
    offsets: NDArray[np.floating] = np.zeros((n, 2))
    robust = weights.copy()
    for _ in range(25):
        root = np.sqrt(robust)[:, None]
        offsets = np.linalg.lstsq(design * root, target * root, rcond=None)[0]
        residual = np.linalg.norm(design @ offsets - target, axis=1)
        robust = weights / np.maximum(residual, 0.3)
    return np.asarray(offsets - offsets[0], dtype=np.float64)


def _best_shift(
    a: NDArray[np.float64], b: NDArray[np.float64], likeness: NDArray[np.float64]
) -> tuple[NDArray[np.int64], float]:
    if not len(a) or not len(b):
        return np.zeros(2, dtype=np.int64), 0.0
    shifts = shift_candidates(a.sum(axis=0), b.sum(axis=0))
    quality = [matched(_score(overlaps(moved(a, shift), b), likeness) ** 2) for shift in shifts]
    best = int(np.argmax(quality))
    return shifts[best], quality[best]


def _score(shape: NDArray[np.float64], likeness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Combine the two: shape alone counts one half; diffraction of `ALIKE` or more raises it to the whole."""
    return np.clip(shape * (0.5 + 0.5 * np.minimum(likeness / ALIKE, 1.0)), 0.0, 1.0)


def _local_overlaps(
    a: NDArray[np.float64], b: NDArray[np.float64], *, shift: NDArray[np.int64], reach: int
) -> NDArray[np.float64]:
    best = np.zeros((len(a), len(b)))
    if not best.size:
        return best
    for row in range(-reach, reach + 1):
        for column in range(-reach, reach + 1):
            shape = overlaps(moved(a, shift + np.array([row, column])), b)
            best = np.maximum(best, shape - LOCAL_COST * float(np.hypot(row, column)))
    return best
