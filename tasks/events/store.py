"""The events of one scan, in memory or in a store on disk (`tasks.events.store_file`)."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

EXPOSED_STEPS = 50
"""Of the fixed point for the mean of camera frames: each takes the error at one electron per frame to 0.6 of itself."""


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
    def largest(self) -> int:
        """Events of the largest chunk."""
        ...

    def chunk(self, number: int, out: NDArray[np.uint32] | None = None) -> NDArray[np.uint32]:
        """Return the events of one chunk, as `ScanEvents` has them, in `out` if it is given and must be written.

        Raises
        ------
        SourceError
            If its bytes are not those that were written.
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
    memory = np.empty(scan.events.largest, dtype=np.uint32)  # new memory for each chunk takes as long as to unpack it
    # an empty range at a border counts for either side of it
    number = np.maximum(np.searchsorted(firsts, begins, side="right") - 1, 0)
    cuts = np.flatnonzero(np.diff(number)) + 1
    for start, stop in zip([0, *cuts.tolist()], [*cuts.tolist(), len(begins)], strict=True):
        first = int(firsts[number[start]])
        part = slice(start, stop)
        if (ends[part] > begins[part]).any():
            events = scan.events.chunk(int(number[start]), memory)
            yield EventBlock(events, first, part, begins[part] - first, ends[part] - first)


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
