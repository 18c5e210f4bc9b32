"""Reading the frame stack that a FrameSeries names."""

from collections.abc import Iterator

import h5py
import numpy as np
from numpy.typing import NDArray

from tasks.frames.models import FrameSeries


def read_frames(series: FrameSeries) -> NDArray[np.unsignedinteger]:
    """Return all frames, (n, slow, fast) unsigned integers as stored."""
    return _read(series, "frames")


def each_frame(series: FrameSeries) -> Iterator[NDArray[np.unsignedinteger]]:
    """Yield the frames one by one, (slow, fast): for series that do not fit into memory."""
    with h5py.File(series.stack.path, "r") as file:
        frames = file["frames"]
        for index in range(len(frames)):
            yield np.asarray(frames[index])


def read_half(series: FrameSeries) -> NDArray[np.unsignedinteger] | None:
    """Return the first half of the events, (n, slow, fast); None where events were not split."""
    with h5py.File(series.stack.path, "r") as file:
        present = "half" in file
    return _read(series, "half") if present else None


def read_mask(series: FrameSeries) -> NDArray[np.bool_]:
    """Return (slow, fast), True where a pixel is valid."""
    return _read(series, "mask").astype(bool)


def _read(series: FrameSeries, name: str) -> NDArray[np.unsignedinteger]:
    with h5py.File(series.stack.path, "r") as file:
        return np.asarray(file[name])
