"""stempy's HDF5 files of electron-counted 4D-STEM scans: the one place that knows their quirks.

Source: stempy 3.6 (``stempy.io.sparse_array``, ``stempy.io.compatibility``); tasks/ingest/README.md has the layout.
On ``frames`` the attributes are Nx = rows, Ny = columns; on ``scan_positions`` Nx = columns, Ny = rows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import h5py
import hdf5plugin  # noqa: F401 - registers the compression filters
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from adapters.formats.file_format import Inspection
from adapters.formats.hdf5_summary import summarise
from adapters.formats.scan_worker import ScanWorkers
from adapters.formats.stempy_writer import ENTRIES_PER_BLOCK, write_scan
from tasks.events.store_file import FULL, StoreWriter
from tasks.ingest import NOTHING_STATED, ScanData, Stated, StoredScan, StoreScan
from tasks.model import Document, FileRef, SourceError

__all__ = ["StempyReader", "write_scan"]

ENTRIES_PER_BYTE = 64
"""A file that claims more entries than this per byte of its size claims what was never written."""
FIRST_ENTRIES = 1 << 12
"""Entries read first, when it is not known how much they hold, and at least: `ENTRIES_PER_BLOCK` has what they cost."""
EVENTS_PER_BLOCK = 1 << 23
"""Read at once: 32 MiB, four times that with what they are made from. Chosen, not measured, below the 2 GiB that a
reader may take."""
METADATA_PLACES = ("metadata", "user", "stem/images")

Shape = tuple[int, int]


class StempyReader(Document):
    """Reads stempy's layout, versions 1, 2 and 3."""

    engine: Literal["stempy-hdf5"] = "stempy-hdf5"
    frames_per_position_max: int = Field(default=4096, gt=0, description="camera frames per scan position")
    events_max: int = Field(default=4_000_000_000, gt=0, le=2**40, description="electrons in one scan")
    timeout_s: float = Field(default=60.0, gt=0, description="time to read one scan, beside 1 s for every 2 MB")

    @contextmanager
    def storing(self, workers: int = 1) -> Iterator[StoreScan]:
        """Read in processes of their own: this one outlives a hang or a crash of the HDF5 library."""
        with ScanWorkers(self.store, timeout_s=self.timeout_s, workers=workers) as pool:
            yield pool.store

    def read(
        self,
        path: Path,
        *,
        scan_shape: Shape,
        flyback_columns: int,
        frame_shape: Shape,
        stated: Stated = NOTHING_STATED,
    ) -> ScanData:
        """Return every electron of one scan, flyback dropped; repeated values are several electrons.

        Raises
        ------
        SourceError
            If the file is damaged, hostile, empty, contradicts the shapes of the manifest, or the manifest would turn
            its electrons into electrons once more.
        """
        kept = InMemory()
        read = self._stream(
            path, kept, (scan_shape[0], scan_shape[1] + flyback_columns), scan_shape[1], frame_shape, stated
        )
        offsets = np.concatenate([[0], np.cumsum(np.concatenate(kept.lengths))]).astype(np.uint64)
        bounds = None
        if read.told:
            bounds = np.unique(np.concatenate([[0], np.cumsum(np.concatenate(kept.frames))])).astype(np.uint64)
        return ScanData(
            offsets,
            np.concatenate(kept.events),
            read.flyback,
            read.frames_per_position,
            read.metadata,
            frame_offsets=bounds,
            camera_frames=read.camera_frames,
        )

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
        """Write every electron of one scan, flyback dropped, into a store, some of them in memory at a time.

        Raises
        ------
        SourceError
            As `read`.
        OSError
            If the store cannot be written.
        """
        full = (scan_shape[0], scan_shape[1] + flyback_columns)
        pixels = frame_shape[0] * frame_shape[1]
        with StoreWriter(store, compressed=compressed, pixels=pixels) as writer:
            read = self._stream(path, writer, full, scan_shape[1], frame_shape, stated)
            writer.finish()
        return StoredScan(
            FileRef.of(store),
            writer.events,
            read.told,
            read.flyback,
            read.frames_per_position,
            read.metadata,
            camera_frames=read.camera_frames,
        )

    def _stream(
        self, path: Path, sink: "EventSink", full_shape: Shape, columns: int, frame_shape: Shape, stated: Stated
    ) -> "ReadEntries":
        """Hand the positions of a scan on, one after the other; `columns` are those of the scan without flyback."""
        if stated.conversion is not None:
            raise SourceError(
                "detector.conversion is stated, but the file holds counted electrons", "leave detector.conversion out"
            )
        try:
            with h5py.File(path, "r") as file:
                frames, scan_positions = _datasets(file)
                _check_shapes(frames, scan_positions, full_shape, frame_shape)
                version = _version(file)
                position = _entry_positions(version, frames, scan_positions, full_shape, self.frames_per_position_max)
                most = int(np.bincount(position).max(initial=0))
                entries = Entries(frames, position, full_shape, columns, frame_shape, told=most > 1)
                flyback, total = entries.hand_on(sink, self.events_max)
                metadata = summarise(file, METADATA_PLACES)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            # h5py reports damage as any of these, depending on the byte that is wrong
            raise SourceError(f"not a readable stempy file: {_first_line(error)}", "copy the file again") from error
        if total == flyback:
            raise SourceError("the scan is empty: it holds no electron outside the flyback")
        every = full_shape[0] * full_shape[1]
        return ReadEntries(flyback, len(position) / every, most > 1, None if version == 1 else most, metadata)


class ReadEntries(NamedTuple):
    """What is said of a scan beside its events; `told`: which camera frame of a position an electron came in."""

    flyback: int
    frames_per_position: float
    told: bool
    camera_frames: int | None
    metadata: dict[str, str]


class EventSink(Protocol):
    """Takes the positions of a scan, one after the other; see `StoreWriter.append`."""

    def append(
        self, lengths: NDArray[np.int64], events: NDArray[np.uint32], frame_lengths: NDArray[np.int64] | None = None
    ) -> None: ...


class InMemory:
    """Keeps what comes."""

    def __init__(self) -> None:
        self.lengths: list[NDArray[np.int64]] = []
        self.events: list[NDArray[np.uint32]] = []
        self.frames: list[NDArray[np.int64]] = []

    def append(
        self, lengths: NDArray[np.int64], events: NDArray[np.uint32], frame_lengths: NDArray[np.int64] | None = None
    ) -> None:
        """Keep some positions."""
        self.lengths.append(lengths)
        self.events.append(events)
        if frame_lengths is not None:
            self.frames.append(frame_lengths)


class Entries(NamedTuple):
    """The entries of ``frames``, each of a position (flat, flyback included) of the scan."""

    frames: h5py.Dataset
    position: NDArray[np.int64]
    full_shape: Shape
    columns: int
    frame_shape: Shape
    told: bool

    def hand_on(self, sink: EventSink, events_max: int) -> tuple[int, int]:
        """Hand all positions on in their order; return the electrons of the flyback, and all electrons."""
        if len(self.position) and bool((np.diff(self.position) < 0).any()):
            entries, lengths, total = self._all(events_max)
            order = np.argsort(self.position, kind="stable")
            self._append(sink, self.position[order], lengths[order], np.concatenate(entries[order]), 0, self._positions)
            return total - self._kept(lengths), total
        begin, upto, total, kept, step = 0, 0, 0, 0, FIRST_ENTRIES
        while begin < len(self.position):
            end = self._end_of_position(min(begin + step, len(self.position)))
            block = self.frames[begin:end]
            lengths = np.fromiter(map(len, block), np.int64, len(block))
            events = np.concatenate(block)
            total += self._checked(events, total, events_max)
            last = self._positions if end == len(self.position) else self._before(int(self.position[end]))
            kept += self._append(sink, self.position[begin:end], lengths, events, upto, last)
            step = min(max(EVENTS_PER_BLOCK * len(block) // max(len(events), 1), FIRST_ENTRIES), ENTRIES_PER_BLOCK)
            begin, upto = end, last
        return total - kept, total

    @property
    def _positions(self) -> int:
        return self.full_shape[0] * self.columns

    def _before(self, position: int) -> int:
        """Return how many positions outside the flyback come before one."""
        row, column = divmod(position, self.full_shape[1])
        return row * self.columns + min(column, self.columns)

    def _end_of_position(self, end: int) -> int:
        """Return the first entry from `end` on that begins a position."""
        if end == len(self.position):
            return end
        return int(np.searchsorted(self.position, self.position[end - 1], side="right"))

    def _all(self, events_max: int) -> tuple[NDArray[np.object_], NDArray[np.int64], int]:
        """Return all entries, where positions come in any order, their lengths and all electrons."""
        entries = np.empty(len(self.position), dtype=object)
        total = 0
        for begin in range(0, len(entries), ENTRIES_PER_BLOCK):
            block = self.frames[begin : begin + ENTRIES_PER_BLOCK]
            entries[begin : begin + len(block)] = block
            total += self._checked(np.concatenate(block), total, events_max)
        return entries, np.fromiter(map(len, entries), np.int64, len(entries)), total

    def _kept(self, lengths: NDArray[np.int64]) -> int:
        return int(lengths[self.position % self.full_shape[1] < self.columns].sum())

    def _append(
        self,
        sink: EventSink,
        position: NDArray[np.int64],
        lengths: NDArray[np.int64],
        events: NDArray[np.integer],
        first: int,
        last: int,
    ) -> int:
        """Hand on the entries of the positions from `first` to `last` outside the flyback; return their electrons."""
        row, column = np.divmod(position, self.full_shape[1])
        kept = column < self.columns
        if not kept.all():
            events = events[np.repeat(kept, lengths)]
        target, mine = row[kept] * self.columns + column[kept] - first, lengths[kept]
        of_positions = np.bincount(target, weights=mine, minlength=last - first).astype(np.int64)
        sink.append(of_positions, events.astype(np.uint32, copy=False), mine if self.told else None)
        return len(events)

    def _checked(self, events: NDArray[np.integer], before: int, events_max: int) -> int:
        """Return how many events there are; every one must lie on the detector."""
        pixels = self.frame_shape[0] * self.frame_shape[1]
        least = int(events.min()) if len(events) and events.dtype.kind == "i" else 0
        most = int(events.max()) if len(events) else 0
        if not 0 <= least <= most < pixels:
            worst = most if most >= pixels else least
            raise SourceError(f"event index {worst} is out of range: a frame has {pixels} pixels")
        if before + len(events) > events_max:
            raise SourceError(f"more than {events_max} electrons in one scan", "raise events_max if it is true")
        return len(events)


def describe_stempy(path: Path, *, lacks: tuple[str, ...]) -> Inspection:
    """Return what a file of stempy is; `lacks` are the fields of the manifest that no scan's file states.

    Raises
    ------
    SourceError
        If it is damaged.
    """
    try:
        with h5py.File(path, "r") as file:
            frames, scan_positions = _datasets(file)
            shapes = [
                tuple(_integer(dataset.attrs[key], f"attribute {key}") for key in keys)
                for dataset, keys in ((scan_positions, ("Ny", "Nx")), (frames, ("Nx", "Ny")))
            ]
            return Inspection(
                file=path.name,
                format="stempy HDF5",
                kind="scan",
                shape=(*shapes[0], *shapes[1]),
                dtype=str(h5py.check_vlen_dtype(frames.dtype)),
                metadata={
                    "values": "counts",
                    "version": _version(file),
                    "entries": int(frames.shape[0]),
                    **summarise(file, METADATA_PLACES),
                },
                lacks=(*lacks, "scan.flyback_columns"),
            )
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise SourceError(f"not a readable stempy file: {_first_line(error)}", "copy the file again") from error


def _datasets(file: h5py.File) -> tuple[h5py.Dataset, h5py.Dataset]:
    """Return frames and scan_positions; only what lies in the file itself is read."""
    found = []
    for name in ("electron_events/frames", "electron_events/scan_positions"):
        for part in ("electron_events", name):
            if not isinstance(file.get(part, getlink=True), h5py.HardLink):
                raise SourceError(f"/{part} is missing", "this is no electron-counted file of stempy")
        dataset = file[name]
        if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
            raise SourceError(f"/{name} is not a dataset of this file")
        found.append(dataset)
    frames, scan_positions = found
    if frames.ndim != 1:
        raise SourceError(f"/electron_events/frames has {frames.ndim} dimensions instead of 1")
    base = h5py.check_vlen_dtype(frames.dtype)
    if base is None or base.kind not in "ui":
        raise SourceError(f"/electron_events/frames holds {frames.dtype} instead of variable-length integers")
    return frames, scan_positions


def _version(file: h5py.File) -> int:
    """Return the layout's version: on the root, or on /electron_events, or 1."""
    found = {
        _integer(place.attrs["version"], "attribute version")
        for place in (file, file["electron_events"])
        if "version" in place.attrs
    }
    if len(found) > 1:
        raise SourceError(f"two versions are given: {sorted(found)}", "the file contradicts itself")
    version = found.pop() if found else 1
    if version not in {1, 2, 3}:
        raise SourceError(f"version {version} is not known", "versions 1, 2 and 3 are read")
    return version


def _check_shapes(frames: h5py.Dataset, scan_positions: h5py.Dataset, full_shape: Shape, frame_shape: Shape) -> None:
    rows_columns = (("frames", frames, ("Nx", "Ny"), frame_shape, "detector.shape_px"),)
    scan = (("scan_positions", scan_positions, ("Ny", "Nx"), full_shape, "scan.shape and flyback_columns"),)
    for name, dataset, keys, expected, field in (*rows_columns, *scan):
        missing = [key for key in keys if key not in dataset.attrs]
        if missing:
            raise SourceError(f"/electron_events/{name} lacks its attribute {missing[0]}")
        got = tuple(_integer(dataset.attrs[key], f"attribute {key} of {name}") for key in keys)
        if got != expected:
            raise SourceError(f"{name}: the file has {got} rows and columns, the manifest's {field} {expected}")


def _entry_positions(
    version: int, frames: h5py.Dataset, scan_positions: h5py.Dataset, full_shape: Shape, per_position_max: int
) -> NDArray[np.int64]:
    """Return the flat position in the scan (flyback included) of every entry of `frames`."""
    positions = full_shape[0] * full_shape[1]
    entries = frames.shape[0]
    if entries > min(positions * per_position_max, ENTRIES_PER_BYTE * frames.file.id.get_filesize()):
        raise SourceError(f"frames has {entries} entries for {positions} scan positions")
    if version == 1 and entries != positions:
        raise SourceError(f"frames has {entries} entries, version 1 needs one for each of {positions} scan positions")
    if version == 3 and (entries == 0 or entries % positions):
        raise SourceError(f"frames has {entries} entries, not a multiple of {positions} scan positions")
    if version != 2:
        return np.arange(entries, dtype=np.int64) // max(1, entries // positions)
    if scan_positions.shape != (entries,) or scan_positions.dtype.kind not in "ui":
        raise SourceError(f"scan_positions has the shape {scan_positions.shape} for {entries} entries of frames")
    position = np.asarray(scan_positions[()])
    if entries and not 0 <= int(position.min()) <= int(position.max()) < positions:
        raise SourceError(f"a scan position {int(position.max())} lies outside a scan of {positions} positions")
    return position.astype(np.int64)


def _integer(value: object, what: str) -> int:
    number = np.asarray(value)
    if number.size != 1 or number.dtype.kind not in "uif" or float(number.reshape(-1)[0]) % 1:
        raise SourceError(f"{what} is not a whole number")
    return int(number.reshape(-1)[0])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
