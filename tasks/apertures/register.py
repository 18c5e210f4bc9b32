"""Registration of scans: how the field moved between tilts, consistent over the whole series."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from tasks.apertures.at_once import at_once
from tasks.apertures.geometry import TiltGeometry
from tasks.apertures.region_pictures import RegionPictures, best_overlaps, overlaps_after, pictures_of
from tasks.apertures.segmentation import Segmentation
from tasks.apertures.similarity import diffraction_similarity, matched, shift_candidates

R = TypeVar("R")

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


class ScanPair(NamedTuple):
    """Numbers of an earlier and a later scan, and the pictures of both."""

    scans: tuple[int, int]
    pictures: tuple[RegionPictures, RegionPictures]


class Registration(NamedTuple):
    """``offsets`` (n, 2): place of each scan's content, in positions; ``pairs`` by (earlier, later) scan."""

    offsets: NDArray[np.float64]
    pairs: dict[tuple[int, int], Pair]


def register(
    segmentations: Sequence[Segmentation],
    tilt_deg: NDArray[np.float64],
    *,
    geometry: TiltGeometry,
) -> Registration:
    """Register every scan with the earlier ones of its window, then make the shifts consistent.

    A shift of any size is found, because candidates come from the full cross-correlation and are judged by how well
    the regions match one to one; a wrong one is outvoted by the other pairs of its scans.
    """
    likeness: dict[tuple[int, int], NDArray[np.float64]] = {}
    first: dict[tuple[int, int], tuple[NDArray[np.int64], float]] = {}

    def likely(pair: ScanPair) -> tuple[NDArray[np.float64], tuple[NDArray[np.int64], float]]:
        earlier, later = pair.scans
        like = diffraction_similarity(
            segmentations[earlier],
            segmentations[later],
            step_deg=float(tilt_deg[later] - tilt_deg[earlier]),
            axis=geometry.axis_on_detector,
            inverse_angstrom_per_px=geometry.inverse_angstrom_per_px,
        )
        return like, _best_shift(pair.pictures, like)

    for key, (like, shift) in _each_pair(segmentations, likely):
        likeness[key], first[key] = like, shift
    offsets = consistent_offsets({key: value for key, value in first.items() if value[1] > 0}, len(segmentations))

    def compared(pair: ScanPair) -> Pair:
        earlier, later = pair.scans
        shift = np.rint(offsets[later] - offsets[earlier]).astype(np.int64)
        reach = 1 if later - earlier <= 2 else 2
        shape = best_overlaps(*pair.pictures, shift=shift, reach=reach, cost=LOCAL_COST)
        return Pair(shift, shape, likeness[pair.scans])

    return Registration(offsets, dict(_each_pair(segmentations, compared)))


def _each_pair(
    segmentations: Sequence[Segmentation], function: Callable[[ScanPair], R]
) -> Iterator[tuple[tuple[int, int], R]]:
    """Yield what a function returns for every pair of a window, scan by scan: the pictures of one window are held."""
    held: deque[tuple[int, RegionPictures]] = deque(maxlen=WINDOW)
    for later, segmentation in enumerate(segmentations):
        own = pictures_of(segmentation)
        pairs = [ScanPair((earlier, later), (pictures, own)) for earlier, pictures in held]
        yield from zip([pair.scans for pair in pairs], at_once(function, pairs), strict=True)
        held.append((later, own))


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
    pictures: tuple[RegionPictures, RegionPictures], likeness: NDArray[np.float64]
) -> tuple[NDArray[np.int64], float]:
    a, b = pictures
    if not a.images or not b.images:
        return np.zeros(2, dtype=np.int64), 0.0
    shifts = shift_candidates(a.total(), b.total())
    quality = [matched(_score(overlaps_after(a, b, shift), likeness) ** 2) for shift in shifts]
    best = int(np.argmax(quality))
    return shifts[best], quality[best]


def _score(shape: NDArray[np.float64], likeness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Combine the two: shape alone counts one half; diffraction of `ALIKE` or more raises it to the whole."""
    return np.clip(shape * (0.5 + 0.5 * np.minimum(likeness / ALIKE, 1.0)), 0.0, 1.0)
