"""The unit of work: the scans of a source become a tilt series with its events on disk."""

import json
import logging
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.events.store import ScanEvents
from tasks.events.store_file import write_store
from tasks.ingest.contracts import ScanFile, TiltSeriesManifest
from tasks.ingest.electrons import Stated
from tasks.ingest.mask import stated_mask
from tasks.ingest.metadata import common_texts, note_texts
from tasks.ingest.models import LostScan, ScanGrid, TiltScan, TiltSeries
from tasks.ingest.ports import MaskReader, ScanData, ScanReader, StoredScan, StoreScan
from tasks.ingest.settings import IngestSettings
from tasks.ingest.source import SourceDocument, SourceFile
from tasks.ingest.validity import find_validity
from tasks.model import FileRef, InputError, SourceError, plain
from tasks.model.provenance import Provenance
from tasks.stage import beside, code_version, fingerprint, stage

log = logging.getLogger("apertura.ingest")

BYTES_PER_WORKER = 200_000_000
"""Of files, for which one process more is worth its start of 1.5 s: they take about a second to read. Chosen."""
NOTES_SHOWN = 5
"""Notes on how scans were read, the others counted. Chosen, not measured: what is wrong with one is wrong with all."""


def summary(series: TiltSeries) -> str:
    """Return the scans, used and lost, as Markdown."""
    electrons = sum(scan.counts for scan in series.scans)
    rows = [f"| {plain(str(scan.source))} | {scan.tilt_deg:g} | {plain(scan.reason)} |" for scan in series.lost]
    head = f"{plain(series.sample)}: {len(series.scans)} scans, {electrons} electrons, {len(series.lost)} scans lost"
    return "\n".join([head, "", "| lost scan | tilt | reason |", "|---|---|---|", *rows] if rows else [head])


@stage(name="ingest", summary=summary)
def ingest_tilt_series(
    source: SourceDocument,
    reader: ScanReader,
    settings: IngestSettings,
    workdir: Path,
    masks: MaskReader | None = None,
) -> TiltSeries:
    """Read every listed scan into the event store, and find which pixels were measured in which scan.

    A damaged scan costs its tilt and is recorded.

    Raises
    ------
    SourceError
        If fewer scans than `settings.tilts_min` can be used, or the stated mask cannot.
    """
    manifest = source.manifest
    if not isinstance(manifest, TiltSeriesManifest):
        raise InputError(f"{source.manifest_file.path} describes no tilt series")
    stated = stated_mask(source, masks)
    scans, lost, said = _read_all(source, manifest, reader, settings, workdir)
    _enough(scans, lost, settings.tilts_min, source.manifest_file.path)
    log.info("%s: %d scans, %d electrons, %d lost", manifest.sample, len(scans), _electrons(scans), len(lost))
    series = series_of(manifest, scans, lost, stated, workdir, provenance=_provenance(source, reader, said.beside))
    texts = {**series.metadata, **common_texts(said.texts)}
    return series.model_copy(update={"metadata": texts, "warnings": _few(said.notes)})


def series_of(
    manifest: TiltSeriesManifest,
    scans: Sequence[TiltScan],
    lost: Sequence[LostScan],
    stated: NDArray[np.bool_],
    workdir: Path,
    *,
    provenance: Provenance,
) -> TiltSeries:
    """Return the series of these scans, sorted by tilt, with what of the detector was measured in each.

    Parameters
    ----------
    stated
        (slow, fast), pixels that the manifest states not to be used.
    """
    ordered = tuple(sorted(scans, key=lambda scan: (scan.tilt_deg, scan.repeat or 0)))
    return TiltSeries(
        sample=manifest.sample,
        composition=manifest.single_composition,
        compositions=manifest.compositions,
        beam=manifest.beam,
        detector=manifest.detector.described(),
        counting=manifest.detector.counting,
        scan=ScanGrid(
            shape=manifest.scan.shape, step_nm=manifest.scan.step_nm, rotation_deg=manifest.scan.rotation_deg
        ),
        tilt_axis=manifest.tilt_axis,
        scans=ordered,
        lost=tuple(sorted(lost, key=lambda scan: scan.tilt_deg)),
        validity=find_validity(ordered, manifest.detector, stated, workdir),
        metadata=note_texts(manifest.notes),
        provenance=provenance,
    )


class Said(NamedTuple):
    """What files say about themselves and each other."""

    texts: list[dict[str, str]]
    beside: dict[str, str]
    """SHA-256 of the files beside the listed ones."""
    notes: list[str]


def _read_all(
    source: SourceDocument, manifest: TiltSeriesManifest, reader: ScanReader, settings: IngestSettings, workdir: Path
) -> tuple[list[TiltScan], list[LostScan], Said]:
    """Return the scans that were stored, those that are lost, and what the files say.

    Each is kept, with what tells it from another, in a folder that outlives a run that ends half-way.
    """
    kept = beside(workdir, "scans")
    kept.mkdir(parents=True, exist_ok=True)
    files = list(zip(manifest.scans, source.files, strict=True))
    workers = _workers(source)
    with reader.storing(workers) as store, ThreadPoolExecutor(workers) as pool:

        def one(number: int) -> StoredScan | SourceError:
            return _kept_or_read(number, files[number][1], manifest, store, settings, kept)

        found = list(pool.map(one, range(len(files))))
    scans: list[TiltScan] = []
    lost: list[LostScan] = []
    said = Said([], {}, [])
    for index, ((listed, _), stored) in enumerate(zip(files, found, strict=True)):
        if isinstance(stored, SourceError):
            lost.append(LostScan(source=listed.file, tilt_deg=listed.tilt_deg, reason=stored.message))
            log.warning("%s (tilt %g deg) is lost: %s", listed.file, listed.tilt_deg, stored.message)
            continue
        place = workdir / f"{_name(index)}.events"
        stored.events.path.rename(place)
        moved = stored._replace(events=FileRef(path=place, sha256=stored.events.sha256))
        scans.append(scan_document(moved, listed, workdir, name=_name(index)))
        said.texts.append(stored.metadata)
        said.beside.update({f"{listed.file}: {path.name}": FileRef.of(path).sha256 for path in stored.beside})
        said.notes.extend(stored.notes)
    shutil.rmtree(kept, ignore_errors=True)
    return scans, lost, said


def _name(index: int) -> str:
    return f"scan-{index:05d}"


def _workers(source: SourceDocument) -> int:
    """Return how many scans are read at once: a process takes a second or two to start."""
    sizes = [file.data.path.stat().st_size for file in source.files if file.data is not None]
    return max(1, min(len(os.sched_getaffinity(0)), len(sizes), round(sum(sizes) / BYTES_PER_WORKER)))


def _kept_or_read(
    number: int,
    file: SourceFile,
    manifest: TiltSeriesManifest,
    store: StoreScan,
    settings: IngestSettings,
    kept: Path,
) -> StoredScan | SourceError:
    """Return a scan that an earlier run stored before it ended, or read it; what is wrong with it is returned too."""
    place, record = kept / f"{_name(number)}.events", kept / f"{_name(number)}.json"
    key = fingerprint(
        {
            "file": None if file.data is None else file.data,
            "scan": manifest.scan,
            "detector": manifest.detector,
            "store": settings.store,
            "code": code_version(),
        }
    )
    if (known := _kept(record, key)) is not None:
        return known
    try:
        stored = read_scan(file, manifest, store, place, compressed=settings.store == "compressed")
    except SourceError as error:
        return error
    if not stored.beside and stored.beam_px is None:  # a file beside it may be another one by then
        write_record(record, key, stored)
    return stored


def _kept(record: Path, key: str) -> StoredScan | None:
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        events = FileRef.model_validate(found["stored"].pop("events"), context={"root": record.parent})
        if found["key"] != key or not events.unchanged():
            return None
        return StoredScan(events=events, **found["stored"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_record(record: Path, key: str, stored: StoredScan) -> None:
    """Write what came of a scan: whoever goes on finds it whole or not at all."""
    fields = stored._asdict()
    fields["events"] = stored.events.model_dump(mode="json", context={"root": record.parent})
    del fields["beam_px"], fields["beside"]
    partial = record.with_suffix(".partial")
    partial.write_text(json.dumps({"key": key, "stored": fields}), encoding="utf-8")
    partial.rename(record)


def _few(notes: list[str]) -> tuple[str, ...]:
    """Return the first notes that differ, and how many more there are."""
    different = list(dict.fromkeys(notes))
    for note in different[:NOTES_SHOWN]:
        log.warning("%s", note)
    more = len(different) - NOTES_SHOWN
    return (*different[:NOTES_SHOWN], *((f"and {more} notes more of this kind",) if more > 0 else ()))


def _provenance(source: SourceDocument, reader: ScanReader, beside: dict[str, str]) -> Provenance:
    inputs = beside | {file.name: file.data.sha256 for file in source.files if file.data is not None}
    if source.mask is not None:
        inputs["detector.mask"] = source.mask.sha256
    return Provenance(
        engine=reader.engine, version=code_version(), inputs={"manifest": source.manifest_file.sha256, **inputs}
    )


def store_data(data: ScanData, path: Path, *, compressed: bool, pixels: int) -> StoredScan:
    """Write a scan of a detector of so many pixels that lies in memory into a store."""
    scan = ScanEvents(data.offsets, data.events, data.frame_offsets)
    return StoredScan(
        FileRef.of(write_store(path, scan, compressed=compressed, pixels=pixels)),
        len(data.events),
        data.frame_offsets is not None,
        data.flyback_events,
        data.frames_per_position,
        data.metadata,
        camera_frames=data.camera_frames,
        beside=data.beside,
        beam_px=data.beam_px,
        notes=data.notes,
    )


def scan_document(stored: StoredScan, listed: ScanFile, folder: Path, *, name: str) -> TiltScan:
    """Return the document of a stored scan; what came beside its events is written into the folder."""
    return TiltScan(
        tilt_deg=listed.tilt_deg,
        source=listed.file,
        events=stored.events,
        counts=stored.counts,
        frames_per_position=stored.frames_per_position,
        frames_told=stored.frames_told,
        entries_are_frames=stored.camera_frames is not None,
        flyback_counts=stored.flyback_events,
        order=listed.order,
        dose_e_per_A2=listed.dose_e_per_A2,
        repeat=listed.repeat,
        beam_px=_store_beam(stored, folder / f"{name}.beam.npy"),
    )


def _store_beam(data: StoredScan, path: Path) -> FileRef | None:
    if data.beam_px is None:
        return None
    np.save(path, data.beam_px, allow_pickle=False)
    return FileRef.of(path)


def read_scan(
    file: SourceFile, manifest: TiltSeriesManifest, store: StoreScan, place: Path, *, compressed: bool = True
) -> StoredScan:
    """Write the electrons of one listed file into a store.

    Raises
    ------
    SourceError
        If it cannot be used, and why.
    """
    if file.data is None:
        raise SourceError(file.problem or "the file is absent")
    detector = manifest.detector
    stored = store(
        file.data.path,
        scan_shape=manifest.scan.shape,
        flyback_columns=manifest.scan.flyback_columns,
        frame_shape=detector.shape_px,
        stated=Stated(detector.counting, detector.conversion, detector.event_clock),
        store=place,
        compressed=compressed,
    )
    stated = detector.counting
    if stated is not None and stored.camera_frames not in (None, stated.frames_per_position):
        place.unlink()
        raise SourceError(
            f"the file holds {stored.camera_frames} camera frames for a scan position, the manifest's "
            f"detector.counting.frames_per_position says {stated.frames_per_position}",
            "correct the manifest",
        )
    return stored


def _enough(scans: list[TiltScan], lost: list[LostScan], least: int, manifest: Path) -> None:
    if len(scans) < least:
        named: dict[str, list[str]] = {}
        for scan in lost:
            named.setdefault(scan.reason, []).append(scan.source)
        reasons = [f"{_names(sources)}: {reason}" for reason, sources in list(named.items())[:10]]
        raise SourceError(
            "\n".join([f"{manifest}: {len(scans)} usable scans, at least {least} are needed", *reasons]),
            "act on these reasons: complete the manifest, copy the damaged files again, or measure more tilts",
        )


def _names(sources: list[str]) -> str:
    return sources[0] if len(sources) == 1 else f"{sources[0]} and {len(sources) - 1} others"


def _electrons(scans: list[TiltScan]) -> int:
    return sum(scan.counts for scan in scans)
