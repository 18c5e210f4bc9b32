"""A part of the field of a series, as if only that had been scanned."""

from pathlib import Path

import numpy as np

from tasks.ingest import open_events
from tasks.ingest.models import TiltScan, TiltSeries
from tasks.model import FileRef
from tests.synthetic.diffracting_cluster import Truth


def cropped(series: TiltSeries, truth: Truth, corner: tuple[int, int], side: int, folder: Path):
    """Return the series of a square of positions, written into `folder`, and its truth; crystals outside are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = (slice(first, first + side) for first in corner)
    place = np.arange(series.scan.shape[0] * series.scan.shape[1]).reshape(series.scan.shape)[rows, columns].ravel()
    scans = tuple(_cut(scan, place, folder / f"crop-{index:03d}") for index, scan in enumerate(series.scans))
    grid = series.scan.model_copy(update={"shape": (side, side)})
    made = series.model_copy(update={"scan": grid, "scans": scans})
    return made, Truth(truth.thickness[:, :, rows, columns], truth.drift, truth.parent)


def _cut(scan: TiltScan, place: np.ndarray, stem: Path) -> TiltScan:
    whole = open_events(scan)
    bounds = np.asarray(whole.offsets).astype(np.int64)
    sizes = bounds[place + 1] - bounds[place]
    events = np.concatenate([whole.events[bounds[one] : bounds[one + 1]] for one in place])
    np.save(f"{stem}-offsets.npy", np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint64))
    np.save(f"{stem}-events.npy", events.astype(np.uint32))
    return scan.model_copy(
        update={
            "offsets": FileRef.of(Path(f"{stem}-offsets.npy")),
            "events": FileRef.of(Path(f"{stem}-events.npy")),
            "counts": len(events),
        }
    )
