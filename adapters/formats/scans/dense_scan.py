"""A scan whose file holds whole frames: what every such format is opened to, and how it is read block by block."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.model import SourceError

Shape = tuple[int, int]
Nature = Literal["counts", "analogue", "unknown"]
"""What pixel values are by the nature of the file: counts of a counter, values of a camera, or not told."""
BLOCK_BYTES = 4 * 2**20
"""Of frames read at once: they are gone through twice, and still lie in the cache the second time. 256 x 256 frames of
512 x 512 are never in memory together. Chosen, not measured: less means more calls, more means more memory."""
TILE_BYTES_MAX = 2**31
"""Of the smallest part that a chunked file lets itself be read in: 32 x 32 positions of 512 x 512 pixels of 16 bits are
0.5 GB. Chosen, not measured: more would not fit the memory of small machines beside the events."""


class Block(NamedTuple):
    """Some frames of a scan."""

    position: NDArray[np.int64]
    """(n,) flat positions in the file's scan, flyback included."""
    frames: NDArray[np.generic]
    """(n, slow, fast), any integers or floats, any byte order."""


class DenseScan(NamedTuple):
    """An open scan of whole frames."""

    positions: int
    """Frames in the file."""
    frame_shape: Shape
    """(slow, fast)."""
    dtype: np.dtype[np.generic]
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
    masked: NDArray[np.bool_] | None = None
    """(slow, fast): pixels that the file itself says were never measured; None = it says nothing."""


def frames_per_block(frame_bytes: int) -> int:
    """Return how many frames are read at once."""
    return max(1, BLOCK_BYTES // max(1, frame_bytes))


def blocks_in_order(
    positions: int, frame_bytes: int, read: Callable[[int, int], NDArray[np.generic]]
) -> Iterator[Block]:
    """Read frames in the order of their positions; `read` takes the first and the one after the last."""
    step = frames_per_block(frame_bytes)
    for begin in range(0, positions, step):
        end = min(begin + step, positions)
        yield Block(np.arange(begin, end), read(begin, end))


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
