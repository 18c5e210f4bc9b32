"""From a source folder to events or frames on disk, checked and complete."""

from typing import TYPE_CHECKING

from tasks.face import open_face

if TYPE_CHECKING:
    from tasks.ingest.beam_disc import disc_of_series
    from tasks.ingest.contracts import (
        Oscillation,
        RotationDetector,
        RotationSeriesManifest,
        ScanFile,
        TiltSeriesManifest,
    )
    from tasks.ingest.counting import (
        camera_frames_per_position,
        exposures_of,
        judge_counting,
        scan_as_arrived,
    )
    from tasks.ingest.electrons import NOTHING_STATED, Chip, Conversion, EventClock, Stated
    from tasks.ingest.events import open_events
    from tasks.ingest.files import numbered_frames
    from tasks.ingest.growing import GrowingSeries, growing_series, ingest_scan, series_so_far
    from tasks.ingest.manifest import MANIFEST_NAMES, TILT_SERIES_NAME, completeness, listed_files, load_manifest
    from tasks.ingest.mask import stated_mask
    from tasks.ingest.models import CountingFound, LostScan, MaskedPart, ScanGrid, TiltScan, TiltSeries, Validity
    from tasks.ingest.ports import MaskReader, ScanData, ScanReader, StoredScan, StoreScan
    from tasks.ingest.settings import IngestSettings
    from tasks.ingest.source import SourceDocument, SourceFile, read_source
    from tasks.ingest.task import ingest_tilt_series, store_data
else:
    __getattr__ = open_face(__name__)

__all__ = [
    "MANIFEST_NAMES",
    "NOTHING_STATED",
    "TILT_SERIES_NAME",
    "Chip",
    "Conversion",
    "CountingFound",
    "EventClock",
    "GrowingSeries",
    "IngestSettings",
    "LostScan",
    "MaskReader",
    "MaskedPart",
    "Oscillation",
    "RotationDetector",
    "RotationSeriesManifest",
    "ScanData",
    "ScanFile",
    "ScanGrid",
    "ScanReader",
    "SourceDocument",
    "SourceFile",
    "Stated",
    "StoreScan",
    "StoredScan",
    "TiltScan",
    "TiltSeries",
    "TiltSeriesManifest",
    "Validity",
    "camera_frames_per_position",
    "completeness",
    "disc_of_series",
    "exposures_of",
    "growing_series",
    "ingest_scan",
    "ingest_tilt_series",
    "judge_counting",
    "listed_files",
    "load_manifest",
    "numbered_frames",
    "open_events",
    "read_source",
    "scan_as_arrived",
    "series_so_far",
    "stated_mask",
    "store_data",
]
