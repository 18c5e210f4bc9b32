"""The unit of work: the scans of a source become a tilt series with its events on disk."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.ingest.contracts import CountingDetector, ScanFile, ScanManifest, TiltSeriesManifest
from tasks.ingest.electrons import Stated
from tasks.ingest.mask import stated_mask
from tasks.ingest.metadata import common_texts, note_texts
from tasks.ingest.models import LostScan, ScanGrid, TiltScan, TiltSeries
from tasks.ingest.ports import MaskReader, ReadScan, ScanData, ScanReader
from tasks.ingest.settings import IngestSettings
from tasks.ingest.source import SourceDocument, SourceFile
from tasks.ingest.validity import find_validity
from tasks.model import FileRef, InputError, SourceError, plain
from tasks.model.provenance import Provenance
from tasks.stage import code_version, stage

log = logging.getLogger("apertura.ingest")

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
    scans, lost, said = _read_all(source, manifest, reader, workdir)
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
    source: SourceDocument, manifest: TiltSeriesManifest, reader: ScanReader, workdir: Path
) -> tuple[list[TiltScan], list[LostScan], Said]:
    """Return the scans that were stored, those that are lost, and what the files say."""
    scans: list[TiltScan] = []
    lost: list[LostScan] = []
    said = Said([], {}, [])
    with reader.reading() as read:
        for index, (listed, file) in enumerate(zip(manifest.scans, source.files, strict=True)):
            try:
                data = read_scan(file, manifest.scan, manifest.detector, read)
                scans.append(store_scan(data, listed, workdir, name=f"scan-{index:05d}"))
            except SourceError as error:
                lost.append(LostScan(source=listed.file, tilt_deg=listed.tilt_deg, reason=error.message))
                log.warning("%s (tilt %g deg) is lost: %s", listed.file, listed.tilt_deg, error.message)
                continue
            said.texts.append(data.metadata)
            said.beside.update({f"{listed.file}: {path.name}": FileRef.of(path).sha256 for path in data.beside})
            said.notes.extend(data.notes)
    return scans, lost, said


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


def store_scan(data: ScanData, listed: ScanFile, folder: Path, *, name: str) -> TiltScan:
    """Write one scan into the event store and check what is on disk against what was read."""
    offsets, events = folder / f"{name}.offsets.npy", folder / f"{name}.events.npy"
    np.save(offsets, data.offsets, allow_pickle=False)
    np.save(events, data.events, allow_pickle=False)
    stored = np.load(events, mmap_mode="r", allow_pickle=False)
    bounds = np.load(offsets, mmap_mode="r", allow_pickle=False)
    if not len(stored) == len(data.events) == int(bounds[-1]) or int(bounds[0]) != 0:
        raise SourceError(f"the event store holds {len(stored)} of {len(data.events)} electrons", "is the disk full?")
    return TiltScan(
        tilt_deg=listed.tilt_deg,
        source=listed.file,
        offsets=FileRef.of(offsets),
        events=FileRef.of(events),
        counts=len(data.events),
        frames_per_position=data.frames_per_position,
        frames=_store_frames(data, folder / f"{name}.frames.npy"),
        entries_are_frames=data.camera_frames is not None,
        flyback_counts=data.flyback_events,
        order=listed.order,
        dose_e_per_A2=listed.dose_e_per_A2,
        repeat=listed.repeat,
        beam_px=_store_beam(data, folder / f"{name}.beam.npy"),
    )


def _store_beam(data: ScanData, path: Path) -> FileRef | None:
    if data.beam_px is None:
        return None
    np.save(path, data.beam_px, allow_pickle=False)
    return FileRef.of(path)


def _store_frames(data: ScanData, path: Path) -> FileRef | None:
    if data.frame_offsets is None:
        return None
    np.save(path, data.frame_offsets, allow_pickle=False)
    return FileRef.of(path)


def read_scan(file: SourceFile, scan: ScanManifest, detector: CountingDetector, read: ReadScan) -> ScanData:
    """Return the electrons of one listed file.

    Raises
    ------
    SourceError
        If it cannot be used, and why.
    """
    if file.data is None:
        raise SourceError(file.problem or "the file is absent")
    data = read(
        file.data.path,
        scan_shape=scan.shape,
        flyback_columns=scan.flyback_columns,
        frame_shape=detector.shape_px,
        stated=Stated(detector.counting, detector.conversion, detector.event_clock),
    )
    stated = detector.counting
    if stated is not None and data.camera_frames not in (None, stated.frames_per_position):
        raise SourceError(
            f"the file holds {data.camera_frames} camera frames for a scan position, the manifest's "
            f"detector.counting.frames_per_position says {stated.frames_per_position}",
            "correct the manifest",
        )
    return data


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
