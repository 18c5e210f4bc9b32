"""Pixels on their way from the process that decodes them: a file without a name, written there and mapped here."""

import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adapters.formats.frame_header import FrameHeader
from tasks.model import SourceError


def mapped_copy(write: Callable[[Path], FrameHeader]) -> tuple[FrameHeader, NDArray[np.number]]:
    """Return what `write` returns, and the pixels that it wrote into the file it was given, mapped.

    The file has lost its name when this returns, and is gone with the array.
    """
    with tempfile.TemporaryDirectory(prefix="apertura-") as folder:
        into = Path(folder) / "frames"
        header = write(into)
        return header, np.memmap(into, dtype=header.dtype, mode="r", shape=header.shape)


def write_blocks(path: Path, header: FrameHeader, blocks: Iterable[tuple[int, NDArray[np.number]]], into: Path) -> None:
    """Write blocks of frames, each with the place of its first frame, to the file `into`.

    Raises
    ------
    SourceError
        If they do not fit on the disk.
    """
    size = int(np.prod(header.shape, dtype=object)) * header.dtype.itemsize
    if size > shutil.disk_usage(into.parent).free:
        raise SourceError(
            f"{path.name}: its {size} bytes of pixels do not fit into {into.parent.parent}",
            "set TMPDIR to a folder with more space",
        )
    images = np.memmap(into, dtype=header.dtype, mode="w+", shape=header.shape)
    for place, block in blocks:
        images[place : place + len(block)] = block
