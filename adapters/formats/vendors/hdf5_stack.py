"""The frames of an HDF5 file before they are read: its header, and the datasets that hold them one after the other."""

from collections.abc import Iterator
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from adapters.formats.frame_header import FrameHeader

BLOCK_BYTES = 2**22
"""Read at once where frames lie in chunks of their own: what a processor's cache holds until it is written on."""


class Hdf5Stack(NamedTuple):
    """Datasets of (..., slow, fast), or (slow, fast, n) where `frames_last`."""

    header: FrameHeader
    parts: tuple[h5py.Dataset, ...]
    frames_last: bool = False

    def blocks(self) -> Iterator[NDArray[np.number]]:
        """Yield (k, slow, fast), in order; each is to be used before the next is asked for: they share memory."""
        slow, fast = self.header.shape[1:]
        frame = slow * fast * self.header.dtype.itemsize
        for part in self.parts:
            extent, inner, chunk = self._extent(part)
            step = max(chunk, BLOCK_BYTES // (frame * inner) // chunk * chunk, 1)
            room = np.empty((min(step, extent) * inner, slow, fast), dtype=self.header.dtype)
            for begin in range(0, extent, step):
                end = min(begin + step, extent)
                block = room[: (end - begin) * inner]
                if self.frames_last and part.ndim > 2:
                    block[...] = np.moveaxis(part[..., begin:end], -1, 0)
                elif part.ndim > 2:
                    part.read_direct(block.reshape(end - begin, *part.shape[1:]), np.s_[begin:end])
                else:
                    part.read_direct(block[0])
                yield block

    def _extent(self, part: h5py.Dataset) -> tuple[int, int, int]:
        """Return the length of the axis that is read along, the frames at each place of it, and its chunks."""
        if part.ndim == 2:
            return 1, 1, 1
        axis = part.ndim - 1 if self.frames_last else 0
        chunk = part.chunks[axis] if part.chunks is not None else 1
        return part.shape[axis], part.shape[1] if part.ndim == 4 else 1, chunk
