"""The frames of an HDF5 file before they are read: its header, and the datasets that hold them one after the other."""

from collections.abc import Iterator
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from adapters.formats.frame_header import FrameHeader

BLOCK_BYTES = 2**26
"""Read at once where frames lie in chunks of their own: large enough to cost nothing, small beside the memory."""


class Hdf5Stack(NamedTuple):
    """Datasets of (..., slow, fast), or (slow, fast, n) where `frames_last`."""

    header: FrameHeader
    parts: tuple[h5py.Dataset, ...]
    frames_last: bool = False

    def blocks(self) -> Iterator[tuple[int, NDArray[np.number]]]:
        """Yield the place of the first frame and (k, slow, fast), in order."""
        place = 0
        slow, fast = self.header.shape[1:]
        for part in self.parts:
            frame = slow * fast * part.dtype.itemsize
            extent = part.shape[-1] if self.frames_last else part.shape[0] if part.ndim > 2 else 1
            inner = part.shape[1] if part.ndim == 4 else 1
            chunk = part.chunks[-1 if self.frames_last else 0] if part.chunks is not None and part.ndim > 2 else 1
            step = max(chunk, BLOCK_BYTES // (frame * inner) // chunk * chunk, 1)
            for begin in range(0, extent, step):
                if self.frames_last and part.ndim > 2:
                    block = np.moveaxis(part[..., begin : begin + step], -1, 0)
                elif part.ndim > 2:
                    block = part[begin : begin + step].reshape(-1, slow, fast)
                else:
                    block = part[()].reshape(1, slow, fast)
                yield place, block
                place += len(block)
