"""A scan whose file holds whole frames: what every such format is opened to, and how it is read block by block."""

import os
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.model import SourceError

Shape = tuple[int, int]
Nature = Literal["counts", "analogue", "unknown"]
"""What pixel values are by the nature of the file: counts of a counter, values of a camera, or not told."""
BLOCK_BYTES = 4 * 2**20
"""Of frames read at once, into memory that is used again: 256 x 256 frames of 512 x 512 are never in memory together.
404 MB of 16-bit frames of Merlin take 0.42 CPU s with 1/4 MiB, 0.31 with 1, 0.25 with 4, 0.26 with 16
(`tests.benchmarks.scan_formats`)."""
PARTS_MOST = 1024
"""Parts of memory that one call of the system fills (IOV_MAX of Linux and macOS)."""
TILE_BYTES_MAX = 2**31
"""Of the smallest part that a chunked file lets itself be read in: 32 x 32 positions of 512 x 512 pixels of 16 bits are
0.5 GB. Chosen, not measured: more would not fit the memory of small machines beside the events."""


class Block(NamedTuple):
    """Some frames of a scan, as they are stored; the memory is used again for the next block."""

    position: NDArray[np.int64]
    """(n,) flat positions in the file's scan, flyback included."""
    records: NDArray[np.uint8]
    """(n, bytes of a frame), contiguous."""


class DenseScan(NamedTuple):
    """An open scan of whole frames."""

    positions: int
    """Frames in the file."""
    frame_shape: Shape
    """(slow, fast)."""
    dtype: np.dtype[np.generic]
    """Integers or floats of any byte order."""
    nature: Nature
    blocks: Callable[[], Iterator[Block]]
    """Reads all frames, each once."""
    scan_shape: Shape | None = None
    """Rows and columns, flyback included, where the file states them."""
    metadata: dict[str, str] = {}
    beside: tuple[Path, ...] = ()
    """Other files that were read."""
    flagged: int | None = None
    """A pixel value that marks what the detector could not count; None = there is none."""
    limit: int | None = None
    """The largest value that a counter holds, at which it stays; None = it is not reached, or not known."""
    masked: NDArray[np.bool_] | None = None
    """(slow, fast): pixels that the file itself says were never measured; None = it says nothing."""

    def frames(self, block: Block) -> NDArray[np.generic]:
        """Return the frames of a block, (n, slow, fast), in its memory."""
        return block.records.view(self.dtype).reshape(len(block.records), *self.frame_shape)


def stream_blocks(
    stream: BufferedReader, *, offset: int, positions: int, record: int, start: int = 0, pixels: int | None = None
) -> Iterator[tuple[Block, NDArray[np.uint8]]]:
    """Read records of equal size that follow each other in a file, in the order of the positions.

    Yields frames as a block, and what stands before their pixels in the records, (n, `start`). The bytes of the pixels
    lie together in memory, so that they can be looked at by words: the system puts each part where it belongs.

    Parameters
    ----------
    start, pixels
        Bytes of a record before its pixels, and of these; all of the record if not given. What follows is dropped.

    Raises
    ------
    SourceError
        If the file ends early.
    """
    size = record - start if pixels is None else pixels
    step = min(positions, PARTS_MOST // 3, max(1, BLOCK_BYTES // record))
    memory, before = np.empty((step, size), dtype=np.uint8), np.empty((step, start), dtype=np.uint8)
    rest = np.empty(record - start - size, dtype=np.uint8)
    for begin in range(0, positions, step):
        count = min(step, positions - begin)
        parts = [part.data for at in range(count) for part in (before[at], memory[at], rest) if part.size]
        _fill(stream.fileno(), parts, offset + begin * record)
        yield Block(np.arange(begin, begin + count), memory[:count]), before[:count]


def _fill(descriptor: int, parts: list[memoryview], offset: int) -> None:
    """Read into parts of memory one after the other; a file system may give less than is asked for."""
    done = os.preadv(descriptor, parts, offset)
    for part in parts:
        skipped = min(done, len(part))
        done -= skipped
        offset += skipped
        while skipped < len(part):
            got = os.preadv(descriptor, [part[skipped:]], offset)
            if not got:
                raise SourceError("the file became shorter while it was read", "is it still being copied?")
            skipped, offset = skipped + got, offset + got


def check_shapes(scan: DenseScan, full_shape: Shape, frame_shape: Shape) -> None:
    """Compare what the file holds with the manifest.

    Raises
    ------
    SourceError
        If they differ; both are named.
    """
    if scan.frame_shape != frame_shape:
        raise SourceError(
            f"frames: the file has {scan.frame_shape} rows and columns, the manifest's detector.shape_px {frame_shape}"
        )
    if scan.scan_shape is not None and scan.scan_shape != full_shape:
        raise SourceError(
            f"scan: the file has {scan.scan_shape} rows and columns, the manifest's scan.shape and flyback_columns "
            f"{full_shape}"
        )
    if scan.positions != full_shape[0] * full_shape[1]:
        raise SourceError(
            f"scan: the file has {scan.positions} frames, the manifest's scan.shape and flyback_columns "
            f"{full_shape[0]} x {full_shape[1]} = {full_shape[0] * full_shape[1]} positions",
            "correct the manifest, or copy the file again if it is incomplete",
        )
