"""Reading the event store (`tasks.events.store_file` has its layout): some chunks at a time, each looked at."""

import json
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.events.store import EventRun, ScanEvents
from tasks.events.store_codec import checksum_of, undo_differences, unpack
from tasks.events.store_file import INDEX, MADE_AGAIN, MAGIC, VERSION, WORD
from tasks.model import DamagedStoreError

MAPPED_CHUNKS = 16
"""Of a plain store so many that follow each other are given at once, 4 MiB. Chosen: what the interpreter does between
two of them is shared, and a thread's share of a scan is still several."""


class ChunkedEvents:
    """The events of a store (`StoredEvents`)."""

    def __init__(self, path: Path, footer: dict[str, Any], index: NDArray[Any], bounds: NDArray[np.uint64]) -> None:
        self._path, self._bounds = path, np.asarray(bounds)
        self._compressed = footer["codec"] != "none"
        self._sum: tuple[int, int, int, int] = footer["sum"]
        self.size: int = footer["events"]
        self.first_events: NDArray[np.int64] = index["event"].astype(np.int64)
        self._firsts = [*self.first_events.tolist(), self.size]
        self._index = list(zip(*(index[name].tolist() for name in ("byte", "bytes", "checksum")), strict=True))

    def __len__(self) -> int:
        return self.size

    def runs(self, numbers: Sequence[int]) -> Iterator[EventRun]:
        """Go through some chunks, ascending: events of one run are those of chunks that follow each other.

        The memory of a run is used for the next.

        Raises
        ------
        DamagedStoreError
            If the bytes of a chunk are not those that were written.
        """
        mapped = self.mapped
        if mapped is None:
            yield from self._unpacked(numbers)
            return
        begin = 0
        while begin < len(numbers):
            end = begin + 1
            while end < len(numbers) and end - begin < MAPPED_CHUNKS and numbers[end] == numbers[end - 1] + 1:
                end += 1
            yield EventRun(begin, end, self._in_place(mapped, numbers[begin], numbers[end - 1]))
            begin = end

    def _unpacked(self, numbers: Sequence[int]) -> Iterator[EventRun]:
        """Read and unpack chunk after chunk: new memory for each takes as long as to unpack it."""
        events = np.empty(max((self._firsts[one + 1] - self._firsts[one] for one in numbers), default=0), np.uint32)
        packed = memoryview(bytearray(max((self._index[one][1] for one in numbers), default=0)))
        with self._path.open("rb", buffering=0) as stream:
            for begin, number in enumerate(numbers):
                byte, size, checksum = self._index[number]
                data = packed[:size]
                if os.preadv(stream.fileno(), [data], byte) != size or checksum_of(data) != checksum:
                    raise self._damaged(number)
                first, end = self._firsts[number : number + 2]
                found = events[: end - first]
                unpack(data, found)
                undo_differences(found, self._bounds, first)
                yield EventRun(begin, begin + 1, found)

    @cached_property
    def mapped(self) -> NDArray[np.uint32] | None:
        """(n,), all of them as they lie in the file, which `runs` looks at; None if they must be unpacked."""
        if self._compressed:
            return None
        if not self.size:
            return np.zeros(0, dtype=np.uint32)
        begin = self._index[0][0]
        return np.asarray(np.memmap(self._path, mode="r", dtype=np.uint32, offset=begin, shape=(self.size,)))

    def _in_place(self, mapped: NDArray[np.uint32], first: int, last: int) -> NDArray[np.uint32]:
        for number in range(first, last + 1):
            if checksum_of(mapped[self._firsts[number] : self._firsts[number + 1]]) != self._index[number][2]:
                raise self._damaged(number)
        return mapped[self._firsts[first] : self._firsts[last + 1]]

    def _damaged(self, number: int) -> DamagedStoreError:
        byte, size, _ = self._index[number]
        return DamagedStoreError(
            f"{self._path}: chunk {number} (bytes {byte} to {byte + size}) is not what was written", MADE_AGAIN
        )

    def sum(self) -> NDArray[np.uint32] | None:
        """Return the electrons of every pixel, (slow * fast,), over the whole scan; None if the store does not say.

        Raises
        ------
        DamagedStoreError
            If its bytes are not those that were written.
        """
        begin, size, checksum, pixels = self._sum
        if not pixels:
            return None
        with self._path.open("rb", buffering=0) as stream:
            data = os.pread(stream.fileno(), size, begin)
        if checksum_of(data) != checksum:
            raise DamagedStoreError(f"{self._path}: its sum is not what was written", MADE_AGAIN)
        total = np.empty(pixels, dtype=np.uint32)
        unpack(data, total)
        return total

    def __getitem__(self, part: slice) -> NDArray[np.uint32]:
        begin, end, step = part.indices(self.size)
        if step != 1 or end <= begin:
            return np.zeros(0, dtype=np.uint32)
        first, last = (np.searchsorted(self.first_events, (begin, end - 1), side="right") - 1).tolist()
        every = np.empty(end - begin, dtype=np.uint32)
        for run in self.runs(range(first, last + 1)):
            place = self._firsts[first + run.begin] - begin
            inside = run.events[max(-place, 0) : end - begin - place]
            every[max(place, 0) : max(place, 0) + len(inside)] = inside
        return every


def open_store(path: Path) -> ScanEvents:
    """Open a store: offsets are mapped, events read when they are asked for.

    Raises
    ------
    DamagedStoreError
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
        raise DamagedStoreError(f"{path}: not a whole event store: {error}", MADE_AGAIN) from error
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
