"""Opening the event store that a TiltScan names."""

from tasks.events.store import ScanEvents
from tasks.events.store_reader import open_store
from tasks.ingest.models import TiltScan


def open_events(scan: TiltScan) -> ScanEvents:
    """Open the event store of one scan.

    Raises
    ------
    SourceError
        If it is damaged: the kernels trust the bounds.
    """
    return open_store(scan.events.path)
