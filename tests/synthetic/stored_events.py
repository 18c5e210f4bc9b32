"""Event stores for tests: written from arrays, and read back to arrays."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.events.store import ScanEvents
from tasks.events.store_file import write_store
from tasks.ingest import TiltScan, open_events
from tasks.model import FileRef


def put_events(path: Path, offsets: NDArray[np.integer], events: NDArray[np.integer]) -> FileRef:
    """Write a scan's electrons, in place of those that the file holds."""
    return FileRef.of(write_store(path, ScanEvents(np.asarray(offsets, np.uint64), np.asarray(events, np.uint32))))


def loaded(scan: TiltScan) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Return the offsets and the events of a stored scan."""
    found = open_events(scan)
    return found.bounds, found.events[:]
