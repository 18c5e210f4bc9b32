"""Lattice fingerprints: the short vectors between a region's reflections tell whose they are at any tilt.

The reflections of a still pattern lie on the Ewald sphere: their reciprocal vectors are known in the specimen's frame.
Those of one crystal differ by vectors of its lattice, whatever the tilt; those of two crystals by anything. So the
histogram of the short differences of a few neighbouring scans is alike for all scans of a crystal and unlike for
crystals of other orientations, without any knowledge of the cell.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from tasks.apertures.geometry import TiltGeometry
from tasks.apertures.segmentation import Segmentation

BINS = 25
"""Of the histogram, from zero to its reach."""
SMOOTH = 9
"""Cells over which the histogram's smooth part is averaged."""
LEAST_SHARE = 0.6
"""Of a spot's Bragg electrons, that a region must have to call the spot its own."""
LEAST_ELECTRONS = 8.0
"""Of a spot, three times their Poisson error. In `python -m tests.benchmarks.apertures weak --seeds 1` five crystals of
five are followed with 4 and 8, with a precision of 0.981 and 0.982; with 16 one is lost."""
MOST_SPOTS = 120
"""Of one region, strongest first."""
CHUNK = 6
"""Scans whose spots are compared with each other."""
LEAST_SPOTS = 20
"""Reflections of which a fingerprint is made: in that benchmark ten make one crystal take another's place (a swap), and
ten as well as forty lose one of five."""
NEIGHBOURS = 3.0
"""Reach of the histogram, in distances of close neighbours among the spots (their first decile)."""
REACH = (0.2, 0.8)
"""Bounds of the reach, 1/angstrom."""
SUPPORTED = 0.03
"""Least support of a spot by the lattice of its crystal (simulated: 5 to 30 times as much for most)."""

Region = tuple[int, int]
"""(scan, column of its factors)."""


class Fingerprints:
    """Fingerprints of groups of regions of one series."""

    def __init__(self, segmentations: Sequence[Segmentation], vectors: Sequence[NDArray[np.float64]]) -> None:
        self.vectors = vectors
        self.points = [own_reflections(one, q) for one, q in zip(segmentations, vectors, strict=True)]
        self.reach = _reach([points for scan in self.points for points in scan])

    def number(self, regions: Iterable[Region]) -> int:
        """Return how many reflections the regions have."""
        return sum(len(self.points[scan][column]) for scan, column in regions)

    def differences(self, regions: Sequence[Region]) -> NDArray[np.float32]:
        """Return the histogram (cells,) of the differences within each `CHUNK` of regions; sums of these may be added.

        Differences near zero are left out: they are one reflection that stays excited from scan to scan.
        """
        width = 2 * BINS + 1
        found = np.zeros(width**3, dtype=np.float32)
        ordered = sorted(regions)
        for first in range(0, len(ordered), CHUNK):
            points = np.concatenate([self.points[scan][column] for scan, column in ordered[first : first + CHUNK]])
            if len(points) < 2:
                continue
            pairs = cKDTree(points).query_pairs(self.reach, output_type="ndarray")
            step = points[pairs[:, 0]] - points[pairs[:, 1]]
            step = step[np.linalg.norm(step, axis=1) > self.reach / 8]
            cell = np.rint(np.concatenate([step, -step]) * (BINS / self.reach)).astype(np.int64) + BINS
            found += np.bincount(cell @ np.array([width**2, width, 1]), minlength=width**3).astype(np.float32)
        return found

    def of(self, regions: Sequence[Region]) -> NDArray[np.float32] | None:
        """Return the fingerprint of a group, or None if it has too few reflections."""
        return fingerprint(self.differences(regions)) if self.number(regions) >= LEAST_SPOTS else None

    def support(self, scan: int, regions: Sequence[Region]) -> NDArray[np.float64] | None:
        """Return (n_spots,): how well every spot of a scan fits the lattice of a group of regions; None if unknown.

        The mean of the group's fingerprint over the differences to the group's reflections, times the root of their
        number; `SUPPORTED` and more for most members, near zero for other spots.
        """
        known = self.of(regions)
        if known is None:
            return None
        points = np.concatenate([self.points[other][column] for other, column in regions])
        vectors = self.vectors[scan]
        near = cKDTree(vectors).sparse_distance_matrix(cKDTree(points), self.reach, output_type="coo_matrix")
        apart = near.data > self.reach / 8
        spot = near.row[apart]
        width = 2 * BINS + 1
        cell = np.rint((vectors[spot] - points[near.col[apart]]) * (BINS / self.reach)).astype(np.int64) + BINS
        found = np.bincount(spot, weights=known[cell @ np.array([width**2, width, 1])], minlength=len(vectors))
        return np.asarray(found / np.sqrt(np.maximum(np.bincount(spot, minlength=len(vectors)), 1)))


def fingerprint(differences: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the histogram less its smooth part, with the norm 1: the product of two is their likeness, 1 at most."""
    width = 2 * BINS + 1
    root = np.sqrt(differences).reshape(width, width, width)
    sharp = ndimage.gaussian_filter(root, 0.7, truncate=3.0) - ndimage.uniform_filter(root, SMOOTH)
    return np.asarray(sharp.ravel() / max(float(np.linalg.norm(sharp)), 1e-12), dtype=np.float32)


def reciprocal_vectors(
    segmentations: Sequence[Segmentation], tilt_deg: NDArray[np.float64], geometry: TiltGeometry
) -> list[NDArray[np.float64]]:
    """Return, per scan, the reciprocal vectors (n_spots, 3) of its spots, 1/angstrom, specimen's frame."""
    return [
        geometry.specimen_vectors(one.spots.px - one.beam.centre, float(tilt))
        for one, tilt in zip(segmentations, tilt_deg, strict=True)
    ]


def own_reflections(segmentation: Segmentation, vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return per region those of the reciprocal vectors (n_spots, 3) whose spots are its own, strongest first."""
    electrons = segmentation.patterns * segmentation.electrons[:, None]
    total = electrons.sum(axis=0)
    found = []
    for own in electrons:
        mine = np.flatnonzero((own > LEAST_SHARE * total) & (own > LEAST_ELECTRONS))
        found.append(vectors[mine[np.argsort(-own[mine], kind="stable")][:MOST_SPOTS]])
    return tuple(found)


def _reach(groups: Sequence[NDArray[np.float64]]) -> float:
    nearest = [
        np.asarray(cKDTree(points).query(points, k=[2])[0]).ravel()
        for points in groups
        if len(points) >= LEAST_SPOTS // 2
    ]
    if not nearest:
        return REACH[0]
    return float(np.clip(NEIGHBOURS * np.percentile(np.concatenate(nearest), 10), *REACH))
