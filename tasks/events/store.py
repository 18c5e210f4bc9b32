"""The events of one scan, in memory or in a store on disk (`tasks.events.store_file`)."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

EXPOSED_STEPS = 50
"""Of the fixed point for the mean of camera frames: each takes the error at one electron per frame to 0.6 of itself."""


class EventRun(NamedTuple):
    """Events of some chunks of a store that follow each other."""

    begin: int
    """Of the chunks that were asked for, which are these: ``numbers[begin:end]``."""
    end: int
    events: NDArray[np.uint32]


class StoredEvents(Protocol):
    """The events of a store, read chunk by chunk: a chunk begins and ends with a position."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    @property
    def first_events(self) -> NDArray[np.int64]:
        """(chunks,): number of the first event of every chunk, ascending."""
        ...

    @property
    def mapped(self) -> NDArray[np.uint32] | None:
        """(n,), all of them as they lie in the file, which `runs` looks at; None if they must be unpacked."""
        ...

    def runs(self, numbers: Sequence[int]) -> Iterator[EventRun]:
        """Go through some chunks, ascending; the memory of a run is used for the next.

        Raises
        ------
        DamagedStoreError
            If the bytes of a chunk are not those that were written.
        """
        ...

    def sum(self) -> NDArray[np.uint32] | None:
        """Return the electrons of every pixel, (slow * fast,), over the whole scan; None if the store does not say."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice) -> NDArray[np.uint32]: ...


class ScanEvents(NamedTuple):
    """Electrons of one scan, position by position.

    Those of position p are ``events[offsets[p]:offsets[p + 1]]``, each a flat detector pixel,
    slow * columns + fast. `blocks` goes through them in bounded memory. Where positions have several camera frames,
    and the source tells which electron came in which, ``frames`` (k + 1,) bounds the events of every camera frame
    that holds any.
    """

    offsets: NDArray[np.uint64]
    events: NDArray[np.uint32] | StoredEvents
    frames: NDArray[np.uint64] | None = None

    @property
    def positions(self) -> int:
        """How many there are."""
        return self.offsets.size - 1

    @property
    def bounds(self) -> NDArray[np.int64]:
        """``offsets`` as signed numbers, (positions + 1,)."""
        return np.asarray(self.offsets).astype(np.int64)


class EventBlock(NamedTuple):
    """Events that lie in memory together, until the next block is asked for, and which of the ranges they hold."""

    events: NDArray[np.uint32]
    first: int
    """Number of the first of them in the scan."""
    ranges: slice
    begins: NDArray[np.int64]
    """Of those ranges, (k,), where they begin and end in `events`."""
    ends: NDArray[np.int64]


def blocks(scan: ScanEvents, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> Iterator[EventBlock]:
    """Go through ranges of events that lie within a position each and ascend, (n,), a chunk of the store at a time.

    Every range comes once, and in its order; chunks without any are not read.
    """
    if isinstance(scan.events, np.ndarray):
        yield EventBlock(scan.events, 0, slice(0, len(begins)), begins, ends)
        return
    if not len(begins) or not len(scan.events):
        return
    firsts = scan.events.first_events
    # an empty range at a border counts for the chunk behind it
    edges = np.concatenate([[0], np.searchsorted(begins, firsts[1:]), [len(begins)]])
    held = np.concatenate([[0], np.cumsum(ends - begins)])
    numbers = np.flatnonzero(np.diff(held[edges])).tolist()
    starts, stops, chunk_firsts = (some.tolist() for some in (edges[:-1], edges[1:], firsts))
    for run in scan.events.runs(numbers):
        first = chunk_firsts[numbers[run.begin]]
        part = slice(starts[numbers[run.begin]], stops[numbers[run.end - 1]])
        yield EventBlock(run.events, first, part, begins[part] - first, ends[part] - first)


def position_blocks(scan: ScanEvents, positions: NDArray[np.int64] | None = None) -> Iterator[EventBlock]:
    """Go through the events of some positions, (n,) ascending; None = of all."""
    bounds = scan.bounds
    if positions is None:
        return blocks(scan, bounds[:-1], bounds[1:])
    return blocks(scan, bounds[positions], bounds[positions + 1])


def camera_frames(scan: ScanEvents, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the events of the camera frames that hold any begin and end, (k,), of some positions.

    A position is one camera frame where the source tells of no others.
    """
    bounds = scan.bounds
    begins, ends = bounds[positions], bounds[positions + 1]
    if scan.frames is not None:
        edges = np.asarray(scan.frames).astype(np.int64)
        inside = [edges[slice(*np.searchsorted(edges, pair))] for pair in zip(begins, ends, strict=True)]
        begins = np.concatenate([np.zeros(0, dtype=np.int64), *inside])
        ends = edges[np.searchsorted(edges, begins, side="right")] if len(begins) else begins
    filled = ends > begins
    return begins[filled], ends[filled]


def exposed_frames(begins: NDArray[np.int64], ends: NDArray[np.int64], every: float) -> float:
    """Return how many of `every` camera frames were exposed, from the bounds of those that hold electrons.

    The others were lost, but for those that chance left empty: n frames of m electrons leave n exp(-m) empty, and
    those that are not hold m / (1 - exp(-m)) on average.
    """
    if not len(begins):
        return every
    held = float((ends - begins).mean())
    mean = held
    for _ in range(EXPOSED_STEPS):
        mean = held * -np.expm1(-mean)
    return float(min(every, len(begins) / max(-np.expm1(-mean), len(begins) / every)))
