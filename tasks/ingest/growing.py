"""A tilt series that is still being measured: what its manifest lists, what lies there, one scan after the other."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tasks.ingest.contracts import ScanFile, TiltSeriesManifest
from tasks.ingest.files import mask_file, size_problem
from tasks.ingest.manifest import completeness, load_manifest
from tasks.ingest.mask import mask_of
from tasks.ingest.models import TiltScan, TiltSeries
from tasks.ingest.ports import MaskReader, ScanReader
from tasks.ingest.source import SourceFile
from tasks.ingest.task import read_scan, scan_document, series_of
from tasks.model import FileRef, SourceError
from tasks.model.provenance import Provenance
from tasks.stage import code_version, stage


class GrowingSeries(NamedTuple):
    """What a manifest lists, and why (None: it does not) a listed scan cannot be read yet, in the same order."""

    manifest: TiltSeriesManifest
    problems: tuple[str | None, ...]
    complete: bool
    """Whether the manifest says so and all that it lists lies there."""


def growing_series(source: Path, *, manifest_folder: Path | None = None) -> GrowingSeries:
    """Look at a folder whose series grows; the manifest lies in `manifest_folder`, by default in the folder itself.

    Raises
    ------
    SourceError
        If there is no manifest, it is wrong, it is of a rotation series, or a file lies outside the folder.
    """
    place = manifest_folder or source
    manifest = load_manifest(place)
    if not isinstance(manifest, TiltSeriesManifest):
        raise SourceError(f"{place}: a rotation series is not followed while it grows", "run it when it is complete")
    problems = tuple(_problem(source, scan) for scan in manifest.scans)
    complete = manifest.complete and manifest_folder is None and not completeness(source)
    return GrowingSeries(manifest, problems, complete)


def _problem(source: Path, scan: ScanFile) -> str | None:
    parts = ((part.file, size_problem(source, part.file, part.bytes)) for part in scan.every_file)
    wrong = [(name, problem) for name, problem in parts if problem is not None]
    if not wrong:
        return None
    name, problem = wrong[0]
    return problem if name == scan.file else f"{name}: {problem}"


def scan_summary(scan: TiltScan) -> str:
    """Return what came of a scan, in a line."""
    return f"{scan.source}: {scan.counts} electrons at {scan.tilt_deg:g} deg"


@stage(name="scan {listed.file}", summary=scan_summary)
def ingest_scan(
    listed: ScanFile,
    file: FileRef,
    manifest: TiltSeriesManifest,
    reader: ScanReader,
    workdir: Path,
) -> TiltScan:
    """Read one scan into an event store of its own.

    Raises
    ------
    SourceError
        If it is damaged, or not whole.
    """
    with reader.storing() as store:
        stored = read_scan(SourceFile(name=listed.file, data=file), manifest, store, workdir / "scan.events")
    return scan_document(stored, listed, workdir, name="scan")


def series_so_far(
    source: Path, manifest: TiltSeriesManifest, scans: Sequence[TiltScan], masks: MaskReader, workdir: Path
) -> TiltSeries:
    """Return the series of the scans that were read so far; its masks go into `workdir`.

    Raises
    ------
    SourceError
        If the stated mask cannot be used.
    """
    mask = mask_file(source, manifest.detector.mask)
    stated = mask_of(manifest.detector, None if mask is None else FileRef.of(mask), masks)
    inputs = {scan.source: scan.events.sha256 for scan in scans}
    provenance = Provenance(engine="scans so far", version=code_version(), inputs=inputs)
    return series_of(manifest, scans, (), stated, workdir, provenance=provenance)
