"""A part of the field of a series, as if only that had been scanned; or a wider field, empty around what there is."""

from pathlib import Path

import numpy as np

from tasks.events.store_file import StoreWriter
from tasks.ingest import TiltScan, TiltSeries
from tasks.model import FileRef
from tests.synthetic.diffracting_cluster import Cluster, Truth
from tests.synthetic.stored_events import loaded, put_events


def cropped(series: TiltSeries, truth: Truth, corner: tuple[int, int], side: int, folder: Path):
    """Return the series of a square of positions, written into `folder`, and its truth; crystals outside are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = (slice(first, first + side) for first in corner)
    place = np.arange(series.scan.shape[0] * series.scan.shape[1]).reshape(series.scan.shape)[rows, columns].ravel()
    scans = tuple(_cut(scan, place, folder / f"crop-{index:03d}.events") for index, scan in enumerate(series.scans))
    grid = series.scan.model_copy(update={"shape": (side, side)})
    made = series.model_copy(update={"scan": grid, "scans": scans})
    return made, Truth(truth.thickness[:, :, rows, columns], truth.drift, truth.parent)


def _cut(scan: TiltScan, place: np.ndarray, store: Path) -> TiltScan:
    bounds, every = loaded(scan)
    events = np.concatenate([every[bounds[one] : bounds[one + 1]] for one in place])
    offsets = np.concatenate([[0], np.cumsum(bounds[place + 1] - bounds[place])])
    return scan.model_copy(update={"events": put_events(store, offsets, events), "counts": len(events)})


def widened(cluster: Cluster, series: TiltSeries, truth: Truth, corner: tuple[int, int], side: int, folder: Path):
    """Return the series as the part of a wider square field of which `corner` is the first position, and its truth.

    Around it there is the direct beam and the halo of no material, as `write_cluster` draws them; written row by row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scans = tuple(
        _laid_into(cluster, scan, corner, side, folder / f"wide-{index:03d}.events", seed=index)
        for index, scan in enumerate(series.scans)
    )
    thickness = np.zeros((*truth.thickness.shape[:2], side, side), dtype=np.float32)
    rows, columns = (slice(first, first + length) for first, length in zip(corner, series.scan.shape, strict=True))
    thickness[:, :, rows, columns] = truth.thickness
    grid = series.scan.model_copy(update={"shape": (side, side)})
    return series.model_copy(update={"scan": grid, "scans": scans}), Truth(thickness, truth.drift, truth.parent)


def _laid_into(
    cluster: Cluster, scan: TiltScan, corner: tuple[int, int], side: int, store: Path, *, seed: int
) -> TiltScan:
    rng, pixels = np.random.default_rng([cluster.seed, seed]), cluster.detector[0] * cluster.detector[1]
    bounds, every = loaded(scan)
    height, width = cluster.scan
    with StoreWriter(store, pixels=pixels) as writer:
        for row in range(side):
            sizes, events = _empty(cluster, side, rng)
            if corner[0] <= row < corner[0] + height:
                first = (row - corner[0]) * width
                own = slice(int(bounds[first]), int(bounds[first + width]))
                edges = np.concatenate([[0], np.cumsum(sizes)])
                left, right = edges[corner[1]], edges[corner[1] + width]
                events = np.concatenate([events[:left], every[own], events[right:]])
                sizes[corner[1] : corner[1] + width] = np.diff(bounds[first : first + width + 1])
            writer.append(sizes, events)
        total = writer.events
        writer.finish()
    return scan.model_copy(update={"events": FileRef.of(store), "counts": total})


def _empty(cluster: Cluster, positions: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return how many electrons positions without material have, and the pixels of all, ascending in each."""
    beam, halo, _ = cluster.electrons
    numbers = rng.poisson([[beam], [0.7 * halo]], (2, positions))
    radius = rng.exponential(0.09 * cluster.detector[0], (2, int(numbers[1].sum()))).sum(axis=0)
    angle = rng.uniform(0, 2 * np.pi, len(radius))
    far = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    px = np.concatenate([rng.normal(0, 1.5, (int(numbers[0].sum()), 2)), far])
    position = np.concatenate([np.repeat(np.arange(positions), one) for one in numbers])
    px = np.rint(px + (np.array(cluster.detector) - 1) / 2).astype(np.int64)
    inside = np.all((px >= 0) & (px < cluster.detector), axis=1)
    position, px = position[inside], px[inside]
    keys = np.sort(position * (cluster.detector[0] * cluster.detector[1]) + px[:, 0] * cluster.detector[1] + px[:, 1])
    sizes = np.bincount(position, minlength=positions)
    return sizes, (keys % (cluster.detector[0] * cluster.detector[1])).astype(np.uint32)
