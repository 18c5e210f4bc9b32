"""Reading the event store that a TiltScan names."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.ingest.models import TiltScan


class ScanEvents(NamedTuple):
    """The events of one scan, memory-mapped; see `TiltScan` for the layout."""

    offsets: NDArray[np.uint64]
    events: NDArray[np.uint32]


def open_events(scan: TiltScan) -> ScanEvents:
    """Map the event store of one scan into memory, read-only."""
    return ScanEvents(
        np.load(scan.offsets.path, mmap_mode="r", allow_pickle=False),
        np.load(scan.events.path, mmap_mode="r", allow_pickle=False),
    )
