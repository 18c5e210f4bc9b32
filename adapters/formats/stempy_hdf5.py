"""stempy's HDF5 files of electron-counted 4D-STEM scans: the one place that knows their quirks.

Source: stempy 3.6 (``stempy.io.sparse_array``, ``stempy.io.compatibility``); tasks/ingest/README.md has the layout.
On ``frames`` the attributes are Nx = rows, Ny = columns; on ``scan_positions`` Nx = columns, Ny = rows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import h5py
import hdf5plugin  # noqa: F401 - registers the compression filters
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from adapters.formats.file_format import Inspection
from adapters.formats.hdf5_summary import summarise
from adapters.formats.scan_worker import ScanWorker
from adapters.formats.stempy_writer import ENTRIES_PER_BLOCK, write_scan
from tasks.ingest import NOTHING_STATED, ReadScan, ScanData, Stated
from tasks.model import Document, SourceError

__all__ = ["StempyReader", "write_scan"]

ENTRIES_PER_BYTE = 64
"""A file that claims more entries than this per byte of its size claims what was never written."""
METADATA_PLACES = ("metadata", "user", "stem/images")

Shape = tuple[int, int]


class StempyReader(Document):
    """Reads stempy's layout, versions 1, 2 and 3."""

    engine: Literal["stempy-hdf5"] = "stempy-hdf5"
    frames_per_position_max: int = Field(default=4096, gt=0, description="camera frames per scan position")
    events_max: int = Field(default=4_000_000_000, gt=0, le=2**40, description="electrons in one scan")
    timeout_s: float = Field(default=60.0, gt=0, description="time to read one scan, beside 1 s for every 2 MB")

    @contextmanager
    def reading(self) -> Iterator[ReadScan]:
        """Read in a process of its own: this one outlives a hang or a crash of the HDF5 library."""
        with ScanWorker(self.read, timeout_s=self.timeout_s) as worker:
            yield worker.read

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
        if stated.conversion is not None:
            raise SourceError(
                "detector.conversion is stated, but the file holds counted electrons", "leave detector.conversion out"
            )
        full_shape = (scan_shape[0], scan_shape[1] + flyback_columns)
        try:
            with h5py.File(path, "r") as file:
                frames, scan_positions = _datasets(file)
                _check_shapes(frames, scan_positions, full_shape, frame_shape)
                version = _version(file)
                position = _entry_positions(version, frames, scan_positions, full_shape, self.frames_per_position_max)
                offsets, events, flyback, bounds = self._events(
                    frames, position, scan_shape, frame_shape, full_shape[1]
                )
                metadata = summarise(file, METADATA_PLACES)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            # h5py reports damage as any of these, depending on the byte that is wrong
            raise SourceError(f"not a readable stempy file: {_first_line(error)}", "copy the file again") from error
        if not len(events):
            raise SourceError("the scan is empty: it holds no electron outside the flyback")
        most = int(np.bincount(position).max())
        return ScanData(
            offsets,
            events,
            flyback,
            len(position) / (full_shape[0] * full_shape[1]),
            metadata,
            frame_offsets=bounds if most > 1 else None,
            camera_frames=None if version == 1 else most,
        )

    def _events(
        self, frames: h5py.Dataset, position: NDArray[np.int64], scan_shape: Shape, frame_shape: Shape, columns: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint32], int, NDArray[np.uint64]]:
        """Return offsets, events, the number of electrons in the flyback, and the bounds of entries that hold any.

        `columns` includes the flyback.
        """
        row, column = np.divmod(position, columns)
        kept = column < scan_shape[1]
        entries = np.empty(len(position), dtype=object)
        lengths = np.empty(len(position), dtype=np.int64)
        total = 0
        for begin in range(0, len(position), ENTRIES_PER_BLOCK):
            block = frames[begin : begin + ENTRIES_PER_BLOCK]
            entries[begin : begin + len(block)] = block
            lengths[begin : begin + len(block)] = np.fromiter(map(len, block), np.int64, len(block))
            total += _checked_count(block, frame_shape)
            if total > self.events_max:
                raise SourceError(
                    f"more than {self.events_max} electrons in one scan", "raise events_max if it is true"
                )
        target = row * scan_shape[1] + column
        order = np.flatnonzero(kept)
        order = order[np.argsort(target[order], kind="stable")]
        flyback = total - int(lengths[order].sum())
        events = np.concatenate([np.empty(0, dtype=np.uint32), *entries[order]], dtype=np.uint32, casting="unsafe")
        ends = np.concatenate([[0], np.cumsum(lengths[order])])
        bounds = np.searchsorted(target[order], np.arange(scan_shape[0] * scan_shape[1] + 1))
        return ends[bounds].astype(np.uint64), events, flyback, np.unique(ends).astype(np.uint64)


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


def _checked_count(block: NDArray[np.object_], frame_shape: Shape) -> int:
    """Return how many events a block of entries holds; every one must lie on the detector."""
    events = np.concatenate(block)
    pixels = frame_shape[0] * frame_shape[1]
    if len(events) and not 0 <= int(events.min()) <= int(events.max()) < pixels:
        worst = int(events.max()) if int(events.max()) >= pixels else int(events.min())
        raise SourceError(f"event index {worst} is out of range: a frame has {pixels} pixels")
    return len(events)


def _integer(value: object, what: str) -> int:
    number = np.asarray(value)
    if number.size != 1 or number.dtype.kind not in "uif" or float(number.reshape(-1)[0]) % 1:
        raise SourceError(f"{what} is not a whole number")
    return int(number.reshape(-1)[0])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
