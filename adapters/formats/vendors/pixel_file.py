"""Pixels on their way from the process that decodes them: a file without a name, written there and mapped here."""

import contextlib
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adapters.formats.frame_header import FrameHeader
from tasks.model import SourceError

MEMORY = Path("/dev/shm")  # noqa: S108 # nosec B108 - tempfile makes folders in it, for their owner alone
"""Where Linux keeps files in memory: as fast as the array that a library would fill."""
MEMORY_MOST = 2**30
"""Bytes that are kept there: 2000 frames of 512 x 512 in 16 bits. Chosen, not measured: more goes to the disk, whose
pages the system may take back."""
NAME = "frames"

Write = Callable[[tuple[Path, ...]], FrameHeader]


def mapped_copy(write: Write) -> tuple[FrameHeader, NDArray[np.number]]:
    """Return what `write` returns, and the pixels that it wrote into one of the folders it was given, mapped.

    Their file has lost its name when this returns, and is gone with the array.
    """
    with contextlib.ExitStack() as made:
        kept = [str(MEMORY)] if os.access(MEMORY, os.W_OK) else []
        names = [made.enter_context(tempfile.TemporaryDirectory(prefix="apertura-", dir=at)) for at in (*kept, None)]
        rooms = tuple(Path(name) for name in names)
        header = write(rooms)
        pixels = next(room / NAME for room in rooms if (room / NAME).exists())
        return header, _mapped(pixels, header)


def _mapped(pixels: Path, header: FrameHeader) -> NDArray[np.number]:
    """Return the pixels of a file; those in memory are made known to this process at once, not page by page."""
    flags = mmap.MAP_SHARED | (getattr(mmap, "MAP_POPULATE", 0) if MEMORY in pixels.parents else 0)
    with pixels.open("rb") as stream:
        content = mmap.mmap(stream.fileno(), 0, flags=flags, prot=mmap.PROT_READ)
    return np.frombuffer(content, dtype=header.dtype).reshape(header.shape)


def write_blocks(
    path: Path, header: FrameHeader, blocks: Iterable[NDArray[np.number]], rooms: tuple[Path, ...]
) -> None:
    """Write blocks of frames, one after the other, to a file in the first of the folders that has room for them.

    Raises
    ------
    SourceError
        If they fit into none, or are fewer than the header says.
    """
    size = int(np.prod(header.shape, dtype=object)) * header.dtype.itemsize
    room = next((room for room in rooms if _fits(room, size)), None)
    if room is None:
        raise SourceError(
            f"{path.name}: its {size} bytes of pixels do not fit into {rooms[-1].parent}",
            "set TMPDIR to a folder with more space",
        )
    written = 0
    with (room / NAME).open("wb", buffering=0) as stream:
        for block in blocks:
            written += stream.write(np.ascontiguousarray(block, dtype=header.dtype).data.cast("B"))
    if written != size:
        raise SourceError(f"{path.name}: gave {written} of {size} bytes of pixels", "copy the file again")


def _fits(room: Path, size: int) -> bool:
    in_memory = MEMORY in room.parents
    return not (in_memory and size > MEMORY_MOST) and shutil.disk_usage(room).free > 2 * size * in_memory + size
