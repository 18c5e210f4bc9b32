"""The scans of a series that grows, each read once when it is whole, and again when its file is another."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context
from pathlib import Path
from typing import NamedTuple, Self

from pydantic import PrivateAttr

from adapters.formats.scans.scan_reader import ScanFileReader
from flows.live_source import Growth
from tasks.ingest import ScanFile, StoreScan, TiltScan, TiltSeriesManifest, ingest_scan
from tasks.model import Document, FileRef, SourceError
from tasks.report import LiveScan

SCANS = "scans"

Signature = tuple[str, ...]


class Taken(NamedTuple):
    """What came of one file: its events, or why there are none."""

    signature: Signature
    scan: TiltScan | None
    reason: str
    times: int


class OpenReader(Document):
    """The reader of scans with its process at work: to start one for each scan takes longer than to read it."""

    reader: ScanFileReader
    _store: StoreScan = PrivateAttr()

    @property
    def engine(self) -> str:
        """Name of the reader."""
        return self.reader.engine

    @contextmanager
    def storing(self, workers: int = 1) -> Iterator[StoreScan]:  # noqa: ARG002 - of the port; here it is one
        """Return the function of the process."""
        yield self._store

    @classmethod
    @contextmanager
    def at_work(cls, reader: ScanFileReader) -> Iterator[Self]:
        """Keep a process for as long as the context lasts."""
        with reader.storing() as store:
            opened = cls(reader=reader)
            opened._store = store
            yield opened


class LiveScans:
    """Event stores of the scans so far, below a folder: after a crash they are taken up where the file is the same."""

    def __init__(self, source: Path, keep: Path, reader: OpenReader) -> None:
        self._source = source
        self._keep = keep / SCANS
        self._reader = reader
        self._taken: dict[str, Taken] = {}

    def take(self, growth: Growth) -> Iterator[TiltScan]:
        """Read what is new, one scan after the other; forget what is no longer listed or no longer there.

        A file that is being replaced while it is read is left for the next look.
        """
        there = {one.listed.file for one in growth.scans if one.problem is None}
        for name in self._taken.keys() - there:
            del self._taken[name]
            shutil.rmtree(self._folder(name), ignore_errors=True)
        for one in growth.scans:
            if one.problem is None and (scan := self._read(growth.manifest, one.listed)) is not None:
                yield scan

    def _read(self, manifest: TiltSeriesManifest, listed: ScanFile) -> TiltScan | None:
        """Return a scan if it is new."""
        before, known = self._signature(manifest, listed), self._taken.get(listed.file)
        if before is None or (known is not None and known.signature == before):
            return None
        scan: TiltScan | None = None
        reason = ""
        try:
            file = FileRef.of(self._source / listed.file)
            folder = self._folder(listed.file)
            # one of hundreds, and of no result: no task of the flow run that may be around it
            scan = Context().run(ingest_scan, listed, file, manifest, self._reader, workdir=folder)
        except SourceError as error:
            reason = error.message
        except OSError as error:
            reason = str(error.strerror or error)
        if self._signature(manifest, listed) != before:
            return None
        times = 1 if known is None else known.times + 1
        self._taken[listed.file] = Taken(before, scan, reason, times)
        return scan

    def _signature(self, manifest: TiltSeriesManifest, listed: ScanFile) -> Signature | None:
        """Return what changes when a scan must be read again; None if it has vanished."""
        try:
            files = [(self._source / part.file).stat() for part in listed.every_file]
        except OSError:
            return None
        marks = [f"{one.st_size} {one.st_mtime_ns} {one.st_ctime_ns} {one.st_ino}" for one in files]
        return (*marks, listed.model_dump_json(), manifest.scan.model_dump_json(), manifest.detector.model_dump_json())

    def _folder(self, name: str) -> Path:
        return self._keep / hashlib.sha256(name.encode()).hexdigest()[:16]

    @property
    def scans(self) -> tuple[TiltScan, ...]:
        """Those that were read."""
        return tuple(one.scan for one in self._taken.values() if one.scan is not None)

    @property
    def marks(self) -> frozenset[Signature]:
        """What changes when any of them does."""
        return frozenset(one.signature for one in self._taken.values() if one.scan is not None)

    def rows(self, growth: Growth) -> tuple[LiveScan, ...]:
        """Return every listed scan and stranger with its state, by tilt."""
        rows = [self._row(one.listed, one.problem) for one in growth.scans]
        rows.sort(key=lambda row: (row.tilt_deg or 0.0, row.file))
        strangers = (
            LiveScan(file=name, tilt_deg=None, state="not listed", note="the manifest does not list it: not read")
            for name in growth.strangers
        )
        return (*rows, *strangers)

    def _row(self, listed: ScanFile, problem: str | None) -> LiveScan:
        taken = self._taken.get(listed.file)
        row = LiveScan(file=listed.file, tilt_deg=listed.tilt_deg, state="awaited", note=problem or "")
        if taken is None:
            return row
        if taken.scan is None:
            note = f"{taken.reason}; read again when it changes"
            return row.model_copy(update={"state": "damaged", "note": note})
        note = "" if taken.times == 1 else "its file was replaced: read again"
        dose = listed.dose_e_per_A2
        return row.model_copy(
            update={"state": "read", "electrons": taken.scan.counts, "dose_e_per_A2": dose, "note": note}
        )
