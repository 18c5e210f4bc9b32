"""One reader for scans of every format: the content of each file says which."""

from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Literal, TypedDict

from pydantic import Field

from adapters.formats.file_format import BEGIN_BYTES
from adapters.formats.scan_worker import ScanWorkers
from adapters.formats.scans.beam_offsets import offsets_beside
from adapters.formats.scans.dense_scan import Shape
from adapters.formats.scans.hdf5_safety import is_hdf5
from adapters.formats.scans.scan_formats import DAMAGE, DENSE_FORMATS, TIMEPIX3, damaged, dense_format, is_timepix3
from adapters.formats.stempy_hdf5 import StempyReader
from tasks.ingest import NOTHING_STATED, ScanData, Stated, StoredScan, StoreScan, store_data
from tasks.model import Document, SourceError

HDF5_SUFFIXES = {".h5", ".hdf5"}
"""Of names that are taken for stempy's files where damage hides what they are."""


class Shapes(TypedDict):
    """What the manifest says about the shape of a scan."""

    scan_shape: Shape
    flyback_columns: int
    frame_shape: Shape


class ScanFileReader(Document):
    """Reads stempy's HDF5, frames of counters and cameras, and lists of events."""

    engine: Literal["scan-files"] = "scan-files"
    frames_per_position_max: int = Field(default=4096, gt=0, description="camera frames per scan position, in stempy's")
    events_max: int = Field(default=4_000_000_000, gt=0, le=2**40, description="electrons in one scan")
    timeout_s: float = Field(default=60.0, gt=0, description="time to read one scan, beside 1 s for every 2 MB")

    @contextmanager
    def storing(self, workers: int = 1) -> Iterator[StoreScan]:
        """Read in processes of their own: this one outlives a hang or a crash of a library."""
        pool = ScanWorkers(self.store, timeout_s=self.timeout_s, bytes_of=bytes_of_scan, workers=workers)
        with pool:
            yield pool.store

    def store(
        self,
        path: Path,
        *,
        scan_shape: Shape,
        flyback_columns: int,
        frame_shape: Shape,
        stated: Stated = NOTHING_STATED,
        store: Path,
        compressed: bool = True,
    ) -> StoredScan:
        """Write every electron of one scan, flyback dropped, into a store; stempy's a part at a time.

        Raises
        ------
        SourceError
            As `read`.
        OSError
            If the store cannot be written.
        """
        shapes = Shapes(scan_shape=scan_shape, flyback_columns=flyback_columns, frame_shape=frame_shape)
        if self._is_stempy(path):
            stored = self._stempy().store(path, **shapes, stated=stated, store=store, compressed=compressed)
        else:
            pixels = frame_shape[0] * frame_shape[1]
            stored = store_data(self._electrons(path, shapes, stated), store, compressed=compressed, pixels=pixels)
        offsets = offsets_beside(path, scan_shape, flyback_columns)
        beside = stored.beside if offsets.path is None else (*stored.beside, offsets.path)
        notes = stored.notes if offsets.note is None else (*stored.notes, offsets.note)
        return stored._replace(beam_px=offsets.beam_px, beside=beside, notes=notes)

    def read(
        self,
        path: Path,
        *,
        scan_shape: Shape,
        flyback_columns: int,
        frame_shape: Shape,
        stated: Stated = NOTHING_STATED,
    ) -> ScanData:
        """Return every electron of one scan, flyback dropped.

        Raises
        ------
        SourceError
            If the file is damaged, hostile, empty, contradicts the manifest, or is not counted and the manifest does
            not say how to.
        """
        shapes = Shapes(scan_shape=scan_shape, flyback_columns=flyback_columns, frame_shape=frame_shape)
        data = self._electrons(path, shapes, stated)
        offsets = offsets_beside(path, scan_shape, flyback_columns)
        beside = data.beside if offsets.path is None else (*data.beside, offsets.path)
        notes = data.notes if offsets.note is None else (*data.notes, offsets.note)
        return data._replace(beam_px=offsets.beam_px, beside=beside, notes=notes)

    def _electrons(self, path: Path, shapes: Shapes, stated: Stated) -> ScanData:
        """Return every electron of one scan of whichever format."""
        from adapters.formats.scans.electron_events import scan_data  # numba, which the command line does without

        with path.open("rb") as stream:
            begin = stream.read(BEGIN_BYTES)
        if is_timepix3(path, begin):
            from adapters.formats.scans.timepix3_scan import read_timepix3

            return read_timepix3(path, **shapes, stated=stated, events_max=self.events_max)
        known = dense_format(path, begin)
        if known is None and _may_be_stempy(path, begin):
            return self._stempy().read(path, **shapes, stated=stated)
        if known is None:
            names = ", ".join((*(one.name for one in DENSE_FORMATS), TIMEPIX3))
            raise SourceError(f"this is no scan of a format that is known: stempy HDF5, {names}")
        try:
            with known.open(path) as scan:
                return scan_data(scan, **shapes, stated=stated, events_max=self.events_max)
        except DAMAGE as error:
            raise damaged(known.name, error) from error

    def _is_stempy(self, path: Path) -> bool:
        with path.open("rb") as stream:
            begin = stream.read(BEGIN_BYTES)
        return not is_timepix3(path, begin) and dense_format(path, begin) is None and _may_be_stempy(path, begin)

    def _stempy(self) -> StempyReader:
        return StempyReader(
            frames_per_position_max=self.frames_per_position_max, events_max=self.events_max, timeout_s=self.timeout_s
        )


def _may_be_stempy(path: Path, begin: bytes) -> bool:
    return is_hdf5(begin) or path.suffix.lower() in HDF5_SUFFIXES


def bytes_of_scan(path: Path) -> int:
    """Return the bytes of a scan's file and of those beside it that may hold its frames: by them it may take longer.

    These are files whose names begin alike, and every .raw beside an .xml, which names one of them.
    """
    begin = path.stem.removesuffix("_master")
    patterns = ([f"{escape(begin)}*"] if begin else []) + (["*.raw"] if path.suffix.lower() == ".xml" else [])
    beside = {other for pattern in patterns for other in path.parent.glob(pattern) if other.is_file()} | {path}
    return sum(other.stat().st_size for other in beside)
