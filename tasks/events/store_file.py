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
import os
import sys
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from tasks.events.store import ScanEvents
from tasks.model import SourceError

MAGIC = b"APEVENTS"
VERSION = 1
"""Of the layout above: a file of another one is refused."""
WORD = 8
"""Bytes of the numbers after the chunks, at a multiple of which they begin, so that they can be mapped."""
CHUNK_EVENTS = 1 << 16
"""From so many on a chunk ends with its position. Chosen, not measured: 256 KiB stay in a core's second cache while
they are unpacked and summed."""
CODEC_LEVEL = 5
"""Of LZ4 after a bit shuffle of the differences. Of 170 and 400 electrons in a position 0.406 and 0.341 of uint32 at
940 and 820 million events/s unpacked; level 1 takes 0.420 and 0.352, zstd 0.342 and 0.295 at 320 and 330
(measured once, by the library's own binding, on `tests.benchmarks.scale.random_scan`)."""
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
        self._sum = np.zeros(pixels, dtype=np.uint32)
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
        from tasks.events.store_kernels import add_events, differences_of, sort_frames

        if not self._waiting:
            return
        chunk = np.concatenate(self._held) if len(self._held) > 1 else self._held[0]
        bounds, differences = np.concatenate(self._held_bounds), np.empty_like(chunk)
        if not differences_of(chunk, bounds, differences):
            chunk = chunk.copy()
            sort_frames(chunk, np.append(bounds, len(chunk)))
            differences_of(chunk, bounds, differences)
        data = pack(differences) if self._compressed else np.ascontiguousarray(chunk).data
        if len(self._sum):
            add_events(chunk, self._sum)
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
            "codec": "delta bitshuffle lz4" if self._compressed else "none",
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


class ChunkedEvents:
    """The events of a store (`StoredEvents`)."""

    def __init__(self, path: Path, footer: dict[str, Any], index: NDArray[Any], bounds: NDArray[np.uint64]) -> None:
        self._path, self._index, self._bounds = path, index, bounds
        self._compressed = footer["codec"] != "none"
        self._sum: tuple[int, int, int, int] = footer["sum"]
        self.size: int = footer["events"]
        self.first_events: NDArray[np.int64] = index["event"].astype(np.int64)
        self._ends = np.append(self.first_events[1:], self.size)
        self.largest = int((self._ends - self.first_events).max(initial=0))

    def __len__(self) -> int:
        return self.size

    @cached_property
    def _mapped(self) -> NDArray[np.uint8]:
        return np.memmap(self._path, mode="r", dtype=np.uint8)

    def chunk(self, number: int, out: NDArray[np.uint32] | None = None) -> NDArray[np.uint32]:
        """Return the events of one chunk, in `out` where they must be unpacked.

        Raises
        ------
        SourceError
            If its bytes are not those that were written.
        """
        row = self._index[number]
        begin, size = int(row["byte"]), int(row["bytes"])
        data: Any = self._read(begin, size) if self._compressed else self._mapped[begin : begin + size]
        if checksum_of(data) != int(row["checksum"]):
            raise SourceError(
                f"{self._path}: chunk {number} (bytes {begin} to {begin + size}) is not what was written", MADE_AGAIN
            )
        if not self._compressed:
            return np.asarray(data).view(np.uint32)
        first, end = int(self.first_events[number]), int(self._ends[number])
        resets = self._bounds[slice(*np.searchsorted(self._bounds, np.array([first, end], dtype=np.uint64)))]
        events = np.empty(end - first, dtype=np.uint32) if out is None else out[: end - first]
        unpack(data, events, np.asarray(resets).astype(np.int64) - first)
        return events

    def sum(self) -> NDArray[np.uint32] | None:
        """Return the electrons of every pixel, (slow * fast,), over the whole scan; None if the store does not say.

        Raises
        ------
        SourceError
            If its bytes are not those that were written.
        """
        import imagecodecs

        begin, size, checksum, pixels = self._sum
        if not pixels:
            return None
        data = self._read(begin, size)
        if checksum_of(data) != checksum:
            raise SourceError(f"{self._path}: its sum is not what was written", MADE_AGAIN)
        decode: Any = imagecodecs.blosc2_decode
        total = np.empty(pixels, dtype=np.uint32)
        decode(data, numthreads=1, out=total.view(np.uint8))
        return total

    def _read(self, begin: int, size: int) -> bytes:
        with self._path.open("rb", buffering=0) as stream:
            return os.pread(stream.fileno(), size, begin)

    def __getitem__(self, part: slice) -> NDArray[np.uint32]:
        begin, end, step = part.indices(self.size)
        if step != 1 or end <= begin:
            return np.zeros(0, dtype=np.uint32)
        first, last = np.searchsorted(self.first_events, (begin, end - 1), side="right") - 1
        found = [self.chunk(number) for number in range(first, last + 1)]
        every = np.concatenate(found) if len(found) > 1 else found[0]
        start = int(self.first_events[first])
        return every[begin - start : end - start]


def open_store(path: Path) -> ScanEvents:
    """Open a store: offsets are mapped, events read when they are asked for.

    Raises
    ------
    SourceError
        If it is none, is of another version, or was cut off.
    """
    try:
        footer, place, end = _footer(path)
        numbers = np.memmap(path, mode="r", dtype="<u8", offset=place, shape=((end - place) // WORD,))
        if checksum_of(numbers) != footer["checksum"]:
            raise ValueError("its offsets are not what was written")  # noqa: TRY301
        offsets, bounds, index = _parts(numbers, footer)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path}: not a whole event store: {error}", MADE_AGAIN) from error
    told = bounds if len(bounds) else None
    return ScanEvents(offsets, ChunkedEvents(path, footer, index, offsets if told is None else told), told)


def _footer(path: Path) -> tuple[dict[str, Any], int, int]:
    """Return the footer, and where the numbers before it begin and end, bytes."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(WORD) != MAGIC or size < 4 * WORD:
            raise ValueError("it does not begin as one")
        stream.seek(size - 3 * WORD)
        checksum, length = (int.from_bytes(stream.read(WORD), "little") for _ in range(2))
        if stream.read(WORD) != MAGIC or length > size - 4 * WORD:
            raise ValueError("it was cut off")
        end = size - 3 * WORD - length
        stream.seek(end)
        text = stream.read(length)
    if checksum_of(text) != checksum:
        raise ValueError("its footer is not what was written")
    footer = json.loads(text)
    if footer["version"] != VERSION:
        raise ValueError(f"version {footer['version']} of its layout is not known")
    return footer, footer["offsets_at"], end


def _word(number: int) -> bytes:
    return number.to_bytes(WORD, "little")


def _parts(
    numbers: NDArray[np.uint64], footer: dict[str, Any]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[Any]]:
    """Return offsets, bounds of camera frames, and the index."""
    positions, frames, chunks = footer["positions"] + 1, footer["frames"], footer["chunks"]
    if len(numbers) != positions + frames + chunks * INDEX.itemsize // WORD:
        raise ValueError("its parts do not fit each other")
    offsets, bounds = numbers[:positions], numbers[positions : positions + frames]
    index = np.array(numbers[positions + frames :]).view(INDEX)
    if int(offsets[-1]) != footer["events"] or (frames and int(bounds[-1]) != footer["events"]):
        raise ValueError(f"it holds {footer['events']} electrons, its offsets say {int(offsets[-1])}")
    return offsets, bounds, index


def checksum_of(data: Any) -> int:
    """Return the CRC-32 of some bytes: 12 GB/s, so that it is looked at each time that they are read."""
    import imagecodecs

    return int(imagecodecs.deflate_crc32(data))


def pack(differences: NDArray[np.uint32]) -> bytes:
    """Return the compressed chunk."""
    import imagecodecs

    encode: Any = imagecodecs.blosc2_encode  # of anything with a buffer, whatever its stubs say
    packed = encode(differences, level=CODEC_LEVEL, compressor="lz4", shuffle="bitshuffle", typesize=4, numthreads=1)
    return bytes(packed)


def unpack(data: bytes, events: NDArray[np.uint32], bounds: NDArray[np.int64]) -> None:
    """Write the events (n,) of a packed chunk."""
    import imagecodecs

    decode: Any = imagecodecs.blosc2_decode
    decode(data, numthreads=1, out=events.view(np.uint8))
    if "numba" in sys.modules:
        from tasks.events.store_kernels import undo_differences

        undo_differences(events, bounds)
    else:
        _undo_plainly(events, bounds)


def _undo_plainly(events: NDArray[np.uint32], bounds: NDArray[np.int64]) -> None:
    """As `undo_differences`, where a compiler is not at work yet: who reads a few chunks need not wait 0.2 s for it."""
    total = np.cumsum(events, dtype=np.uint32)
    edges = np.unique(np.concatenate([[0], bounds[(bounds > 0) & (bounds < len(events))]])).astype(np.int64)
    before = np.where(edges > 0, total[edges - 1], np.uint32(0))
    events[:] = total - np.repeat(before, np.diff(np.append(edges, len(events))))
