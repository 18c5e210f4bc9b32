"""The arithmetic of the event store: differences of events that ascend, and back; their order and their sum."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

BYTE_COUNTS = 256
"""Of a byte: an array of bytes stays in the cache of a core, and adding takes two thirds of the time there."""


@njit(cache=True, nogil=True)
def _add_one(event: int, low: NDArray[np.uint8], total: NDArray[np.uint32]) -> None:  # pragma: no cover
    """Add an event to the low bytes of a sum, (pixels,): the total takes what overflows."""
    count = np.uint8(low[event] + np.uint8(1))
    low[event] = count
    if count == 0:
        total[event] += np.uint32(BYTE_COUNTS)


@njit(cache=True, nogil=True)
def differences_of(
    events: NDArray[np.uint32],
    bounds: NDArray[np.int64],
    out: NDArray[np.uint32],
    low: NDArray[np.uint8],
    total: NDArray[np.uint32],
) -> bool:  # pragma: no cover
    """Write what each event adds to the one before, anew from every bound on; tell whether all ascend in between.

    Every event that lies on the detector is added to the low bytes of the sum, (pixels,): the total takes what
    overflows.
    """
    ascending = True
    begin = 0
    for k in range(len(bounds) + 1):
        end = bounds[k] if k < len(bounds) else len(events)
        last = np.uint32(0)
        for index in range(begin, end):
            event = events[index]
            out[index] = event - last
            ascending &= event >= last
            last = event
            if event < len(low):
                _add_one(event, low, total)
        begin = end
    return ascending


@njit(cache=True, nogil=True)
def add_ranges(
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    events: NDArray[np.uint32],
    low: NDArray[np.uint8],
    total: NDArray[np.uint32],
) -> None:  # pragma: no cover
    """Add ranges of events to the low bytes of a sum, (pixels,): the total takes what overflows."""
    for k in range(len(begins)):
        for index in range(begins[k], ends[k]):
            _add_one(events[index], low, total)


@njit(cache=True, nogil=True)
def take_up(low: NDArray[np.uint8], total: NDArray[np.uint32]) -> None:  # pragma: no cover
    """Add the low bytes to the sum."""
    for pixel in range(len(low)):
        total[pixel] += np.uint32(low[pixel])


@njit(cache=True, nogil=True)
def sum_up(events: NDArray[np.uint32], bounds: NDArray[np.int64]) -> None:  # pragma: no cover
    """Sum up in place, anew from every bound on."""
    begin = 0
    for k in range(len(bounds) + 1):
        end = bounds[k] if k < len(bounds) else len(events)
        running = np.uint32(0)
        for index in range(begin, end):
            running += events[index]
            events[index] = running
        begin = end


@njit(cache=True, nogil=True)
def sort_frames(events: NDArray[np.uint32], bounds: NDArray[np.int64]) -> None:  # pragma: no cover
    """Let the events between two bounds ascend, in place."""
    for k in range(len(bounds) - 1):
        events[bounds[k] : bounds[k + 1]] = np.sort(events[bounds[k] : bounds[k + 1]])
