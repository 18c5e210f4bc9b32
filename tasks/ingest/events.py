"""Opening the event store that a TiltScan names."""

import numpy as np

from tasks.events.store import ScanEvents
from tasks.ingest.models import TiltScan


def open_events(scan: TiltScan) -> ScanEvents:
    """Map the event store of one scan into memory, read-only."""
    return ScanEvents(
        np.load(scan.offsets.path, mmap_mode="r", allow_pickle=False),
        np.load(scan.events.path, mmap_mode="r", allow_pickle=False),
        None if scan.frames is None else np.load(scan.frames.path, mmap_mode="r", allow_pickle=False),
    )
