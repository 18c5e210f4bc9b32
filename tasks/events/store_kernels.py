"""The arithmetic of the event store: differences of events that ascend, and back; their order and their sum."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

LOW_BYTES = 256
"""Counts of one byte: their array stays in a core's cache, and 1.1e7 electrons are added in two thirds of the time."""


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
                count = np.uint8(low[event] + np.uint8(1))
                low[event] = count
                if count == 0:
                    total[event] += np.uint32(LOW_BYTES)
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
            event = events[index]
            count = np.uint8(low[event] + np.uint8(1))
            low[event] = count
            if count == 0:
                total[event] += np.uint32(LOW_BYTES)


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
