"""Opening the event store that a TiltScan names."""

import numpy as np

from tasks.events.store import ScanEvents
from tasks.ingest.models import TiltScan
from tasks.model import SourceError


def open_events(scan: TiltScan) -> ScanEvents:
    """Map the event store of one scan into memory, read-only.

    Raises
    ------
    SourceError
        If its files do not belong together: the kernels trust the bounds.
    """
    found = ScanEvents(
        np.load(scan.offsets.path, mmap_mode="r", allow_pickle=False),
        np.load(scan.events.path, mmap_mode="r", allow_pickle=False),
        None if scan.frames is None else np.load(scan.frames.path, mmap_mode="r", allow_pickle=False),
    )
    for name, bounds in (("offsets", found.offsets), ("frames", found.frames)):
        if bounds is not None and len(bounds) and int(bounds[-1]) != len(found.events):
            raise SourceError(
                f"{scan.events.path}: holds {len(found.events)} electrons, its {name} say {int(bounds[-1])}",
                "the event store is damaged: delete the run folder's ingest and run again",
            )
    return found
