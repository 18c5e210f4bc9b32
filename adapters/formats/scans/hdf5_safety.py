"""HDF5 files of unknown origin: only what lies in the file itself is touched, and sizes are known before memory is."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the compression filters
import numpy as np
from numpy.typing import NDArray

from adapters.formats.scans.dense_scan import BLOCK_BYTES, TILE_BYTES_MAX, Block, stream_blocks
from tasks.model import SourceError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""The first eight bytes of an HDF5 file without a user block."""
GROUPS_MOST = 100
"""Groups of one level that are looked through for the scan. Chosen, not measured: files hold one or a few."""


def is_hdf5(begin: bytes) -> bool:
    """Tell an HDF5 file by its first bytes."""
    return begin.startswith(SIGNATURE)


def own(place: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """Return what `name` is below a group, if every part of the way is a hard link; None if it is not there."""
    at: h5py.Group | h5py.Dataset = place
    for part in name.strip("/").split("/"):
        if not isinstance(at, h5py.Group) or not isinstance(at.get(part, getlink=True), h5py.HardLink):
            return None
        at = at[part]
    return at


def own_groups(place: h5py.Group) -> Iterator[tuple[str, h5py.Group]]:
    """Yield the groups directly below a group that lie in the file itself, at most 100."""
    for name in list(place)[:GROUPS_MOST]:
        item = own(place, name)
        if isinstance(item, h5py.Group):
            yield name, item


def own_numbers(place: h5py.Group, name: str, dimensions: int) -> h5py.Dataset | None:
    """Return a dataset of numbers with so many dimensions; None if there is none of this name.

    Raises
    ------
    SourceError
        If it lies in other files, or its chunks would take too much memory.
    """
    item = own(place, name)
    if not isinstance(item, h5py.Dataset) or item.ndim != dimensions or item.dtype.kind not in "uif":
        return None
    if item.is_virtual or item.external:
        raise SourceError(f"{item.name} lies in other files", "write it as a dataset of this file")
    if item.chunks is not None and np.prod(item.chunks, dtype=float) * item.dtype.itemsize > TILE_BYTES_MAX:
        raise SourceError(f"{item.name} has chunks of {item.chunks}, more than memory should hold", "write it again")
    return item


def cube_blocks(dataset: h5py.Dataset) -> Iterator[Block]:
    """Read a scan, (rows, columns, slow, fast), in tiles of positions that follow its chunks.

    Raises
    ------
    SourceError
        If the smallest tile takes too much memory.
    """
    rows, columns, slow, fast = dataset.shape
    place = dataset.id.get_offset()
    if dataset.chunks is None and place is not None:  # bytes in a row, which the library reads slower
        with Path(dataset.file.filename).open("rb") as stream:
            frame = slow * fast * dataset.dtype.itemsize
            yield from (
                block for block, _ in stream_blocks(stream, offset=place, positions=rows * columns, record=frame)
            )
        return
    frame_bytes = slow * fast * dataset.dtype.itemsize
    tile = (1, 1) if dataset.chunks is None else dataset.chunks[:2]
    if tile[0] * tile[1] * frame_bytes > TILE_BYTES_MAX:
        raise SourceError(f"{dataset.name}: {tile[0]} x {tile[1]} frames must be read at once", "write smaller chunks")
    wide = _at_least(tile[1], columns, BLOCK_BYTES // max(1, tile[0] * frame_bytes))
    high = _at_least(tile[0], rows, BLOCK_BYTES // max(1, wide * frame_bytes)) if wide == columns else tile[0]
    memory = np.empty(high * wide * slow * fast, dtype=dataset.dtype)
    for top in range(0, rows, high):
        for left in range(0, columns, wide):
            tall, broad = min(high, rows - top), min(wide, columns - left)
            frames = memory[: tall * broad * slow * fast].reshape(tall, broad, slow, fast)
            dataset.read_direct(frames, np.s_[top : top + tall, left : left + broad])
            row, column = np.indices((tall, broad))
            position = (row + top) * columns + column + left
            yield Block(position.ravel(), as_records(frames.reshape(-1, slow, fast)))


def as_records(frames: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return contiguous frames, (n, slow, fast), as bytes."""
    return np.ascontiguousarray(frames).reshape(len(frames), -1).view(np.uint8)


def _at_least(step: int, extent: int, wanted: int) -> int:
    """Return the multiple of `step` that comes nearest to `wanted` from below, within the extent, at least one."""
    return min(extent, max(1, wanted // step) * step)


def whole_number(attributes: h5py.AttributeManager, name: str) -> int | None:
    """Return an attribute that is a whole number; None if there is none of this name."""
    if name not in attributes:
        return None
    value: NDArray[np.generic] = np.asarray(attributes[name])
    if value.size != 1 or value.dtype.kind not in "uif" or float(value.reshape(-1)[0]) % 1:
        return None
    return int(value.reshape(-1)[0])
