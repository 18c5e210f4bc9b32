"""The event store: one file for a scan, its events in chunks of some 2^16 that begin and end with a position.

Layout, version 1, all numbers little-endian::

    8 bytes            b"APEVENTS"
    chunk 0, 1, ...    compressed (below), or the uint32 events as they are
    sum                the electrons of every pixel over the scan, uint32, a Blosc2 chunk; may be absent
    to a multiple of 8
    offsets            uint64 (positions + 1,): number of each position's first event, and of all events
    frames             uint64 (k + 1,): bounds of the camera frames that hold any event; may be absent, k + 1 = 0
    index              one record for each chunk: first event, first byte, bytes, checksum (CRC-32), uint64 each
    footer             JSON: version, codec, positions, events, frames, chunks, the byte at which offsets begin, the
                       checksum of offsets, frames and index, and of the sum: byte, bytes, checksum, pixels
    8 bytes            uint64: checksum of the footer
    8 bytes            uint64: bytes of the footer
    8 bytes            b"APEVENTS"

A compressed chunk is a Blosc2 chunk (https://github.com/Blosc/c-blosc2) of uint32: of every camera frame (where they
are not told apart: of every position) the first event, then the differences, which are small as events ascend within
a frame. Offsets are mapped, events are read when a kernel asks for them, and a chunk's checksum is looked at each time.
"""

import contextlib
import errno
import json
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from tasks.events.store import ScanEvents
from tasks.events.store_codec import checksum_of, pack
from tasks.model import SourceError

MAGIC = b"APEVENTS"
VERSION = 1
"""Of the layout above: a file of another one is refused."""
WORD = 8
"""Bytes of the numbers after the chunks, at a multiple of which they begin, so that they can be mapped."""
CHUNK_EVENTS = 1 << 16
"""From so many on a chunk ends with its position. Chosen, not measured: 256 KiB stay in a core's second cache while
they are unpacked and summed."""
INDEX = np.dtype([("event", "<u8"), ("byte", "<u8"), ("bytes", "<u8"), ("checksum", "<u8")])
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What the system calls a disk, a quota or a file that is full."""
MADE_AGAIN = "the event store is damaged: delete the run folder's ingest and run again, it is made from the source"


class StoreWriter:
    """Writes one scan's store position by position; the file has its name when it is whole.

    Events of a camera frame that do not ascend are put in order. Of a detector whose `pixels` are told the sum over
    the scan is written too: many ask for it.
    """

    def __init__(self, path: Path, *, compressed: bool = True, pixels: int = 0) -> None:
        self._sum, self._low = np.zeros(pixels, dtype=np.uint32), np.zeros(pixels, dtype=np.uint8)
        self._path, self._partial, self._compressed = path, path.with_name(f".{path.name}.partial"), compressed
        self._stream: IO[bytes] = self._partial.open("wb")
        self._stream.write(MAGIC)
        self._held: list[NDArray[np.uint32]] = []
        self._held_bounds: list[NDArray[np.int64]] = []
        self._waiting = 0
        self._written = 0
        self._lengths: list[NDArray[np.int64]] = []
        self._frames: list[NDArray[np.int64]] = []
        self._index: list[tuple[int, int, int, int]] = []

    @property
    def events(self) -> int:
        """How many came so far."""
        return self._written + self._waiting

    def append(
        self,
        lengths: NDArray[np.int64],
        events: NDArray[np.uint32],
        frame_lengths: NDArray[np.int64] | None = None,
    ) -> None:
        """Add the next positions: their electrons (m,), the events, and how many came in each of their camera frames.

        Either all calls tell of camera frames or none does.
        """
        frames = lengths if frame_lengths is None else frame_lengths
        bounds = np.concatenate([[0], np.cumsum(frames)])
        events = np.ascontiguousarray(events, dtype=np.uint32)
        self._lengths.append(np.asarray(lengths, dtype=np.int64))
        if frame_lengths is not None:
            self._frames.append(np.asarray(frame_lengths, dtype=np.int64))
        ends = np.cumsum(lengths)
        start, begin = 0, 0
        while start < len(ends):
            room = max(CHUNK_EVENTS - self._waiting, 1)
            stop = int(np.searchsorted(ends, begin + room, side="left")) + 1
            end = int(ends[min(stop, len(ends)) - 1])
            inside = bounds[slice(*np.searchsorted(bounds, (begin, end)))]
            self._held.append(events[begin:end])
            self._held_bounds.append(inside - begin + self._waiting)
            self._waiting += end - begin
            if self._waiting >= CHUNK_EVENTS:
                self._flush()
            start, begin = stop, end

    def _flush(self) -> None:
        from tasks.events.store_kernels import differences_of, sort_frames

        if not self._waiting:
            return
        chunk = np.concatenate(self._held) if len(self._held) > 1 else self._held[0]
        bounds, differences = np.concatenate(self._held_bounds), np.empty_like(chunk)
        if not differences_of(chunk, bounds, differences, self._low, self._sum):
            chunk = chunk.copy()
            sort_frames(chunk, np.append(bounds, len(chunk)))
            differences_of(chunk, bounds, differences, self._low[:0], self._sum)
        data = pack(differences) if self._compressed else np.ascontiguousarray(chunk).data
        place = self._stream.tell()
        self._stream.write(data)
        size = self._stream.tell() - place
        self._index.append((self._written, place, size, checksum_of(data)))
        self._written += self._waiting
        self._held, self._held_bounds, self._waiting = [], [], 0

    def finish(self) -> Path:
        """Write what is left and give the file its name.

        Raises
        ------
        SourceError
            If the disk holds less than was written.
        """
        self._flush()
        self._sum += self._low
        stream = self._stream
        total = pack(self._sum) if len(self._sum) else b""
        sum_at = stream.tell()
        stream.write(total)
        stream.write(b"\0" * (-stream.tell() % WORD))
        place = stream.tell()
        lengths = np.concatenate([np.zeros(0, dtype=np.int64), *self._lengths])
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype("<u8")
        frames = np.zeros(0, dtype="<u8")
        if self._frames:
            frames = np.unique(np.concatenate([[0], np.cumsum(np.concatenate(self._frames))])).astype("<u8")
        numbers = b"".join(part.tobytes() for part in (offsets, frames, np.array(self._index, dtype=INDEX)))
        footer = {
            "version": VERSION,
            "codec": "delta shuffle lz4" if self._compressed else "none",
            "positions": len(lengths),
            "events": self._written,
            "frames": len(frames),
            "chunks": len(self._index),
            "offsets_at": place,
            "checksum": checksum_of(numbers),
            "sum": [sum_at, len(total), checksum_of(total), len(self._sum)],
        }
        text = json.dumps(footer).encode()
        stream.write(numbers + text + _word(checksum_of(text)) + _word(len(text)) + MAGIC)
        size = stream.tell()
        stream.flush()
        stream.close()
        if self._partial.stat().st_size != size:
            raise SourceError(f"{self._path}: holds less than was written", "is the disk full?")
        self._partial.rename(self._path)
        return self._path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove what is not whole."""
        with contextlib.suppress(OSError):  # a full disk: the error that is on its way says so
            self._stream.close()
        self._partial.unlink(missing_ok=True)


def write_store(path: Path, scan: ScanEvents, *, compressed: bool = True, pixels: int = 0) -> Path:
    """Write a scan that lies in memory."""
    with StoreWriter(path, compressed=compressed, pixels=pixels) as writer:
        frames = None
        if scan.frames is not None:
            edges = np.asarray(scan.frames).astype(np.int64)
            frames = edges[1:] - edges[:-1]
        writer.append(np.diff(scan.bounds), np.asarray(scan.events[:], dtype=np.uint32), frames)
        return writer.finish()


def _word(number: int) -> bytes:
    return number.to_bytes(WORD, "little")
