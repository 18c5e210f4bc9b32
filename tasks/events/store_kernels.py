"""The arithmetic of the event store: differences of events that ascend, and back; their order and their sum."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def differences_of(
    events: NDArray[np.uint32], bounds: NDArray[np.int64], out: NDArray[np.uint32]
) -> bool:  # pragma: no cover
    """Write what each event adds to the one before, anew from every bound on; tell whether all ascend in between."""
    ascending = True
    begin = 0
    for k in range(len(bounds) + 1):
        end = bounds[k] if k < len(bounds) else len(events)
        last = np.uint32(0)
        for index in range(begin, end):
            out[index] = events[index] - last
            ascending &= events[index] >= last
            last = events[index]
        begin = end
    return ascending


@njit(cache=True, nogil=True)
def undo_differences(events: NDArray[np.uint32], bounds: NDArray[np.int64]) -> None:  # pragma: no cover
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
def add_events(events: NDArray[np.uint32], total: NDArray[np.uint32]) -> None:  # pragma: no cover
    """Add every event that lies on the detector to the sum, (pixels,)."""
    for index in range(len(events)):
        if events[index] < len(total):
            total[events[index]] += np.uint32(1)


@njit(cache=True, nogil=True)
def sort_frames(events: NDArray[np.uint32], bounds: NDArray[np.int64]) -> None:  # pragma: no cover
    """Let the events between two bounds ascend, in place."""
    for k in range(len(bounds) - 1):
        events[bounds[k] : bounds[k + 1]] = np.sort(events[bounds[k] : bounds[k + 1]])
