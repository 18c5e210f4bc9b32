"""Frames in HDF5: NXmx, HyperSpy, Velox. The file is opened by another process, with a limit, and only there.

That process writes the pixels into a file without a name, which is mapped here: nothing is copied twice, and a file
that hangs the library or crashes it costs no more than itself.
"""

import functools
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, NamedTuple

from adapters.formats.frame_damage import damage_named
from adapters.formats.frame_header import FrameHeader, VendorFrames, images_for
from adapters.formats.image_shape import check_shape
from adapters.formats.vendors.apart import apart
from adapters.formats.vendors.confined_hdf5 import MAGIC, open_hdf5
from adapters.formats.vendors.hyperspy_hdf5 import hyperspy_stack, is_hyperspy
from adapters.formats.vendors.nexus_master import is_nexus, nexus_stack
from adapters.formats.vendors.pixel_file import mapped_copy, write_blocks
from adapters.formats.vendors.velox_emd import is_velox, velox_stack
from tasks.frames import FrameImages
from tasks.model import SourceError

Kind = Literal["nexus", "hyperspy", "velox"]
KINDS_KEPT = 256
"""Files of which is remembered what they are, so that a table of formats asks once. Chosen, not measured."""


class Answer(NamedTuple):
    """What the other process says of a file; nothing if it holds no frames that are known."""

    kind: Kind | None
    header: FrameHeader | None


def hdf5_answer(path: Path, *, rooms: tuple[Path, ...] = (), shape: tuple[int, int] | None = None) -> Answer:
    """Return what a file holds; write its pixels into one of the folders `rooms`, if any are given.

    Called in the other process.

    Raises
    ------
    SourceError
        If the file is damaged, leads out of its folder, or its images are not of `shape`.
    """
    with damage_named(path), ExitStack() as opened:
        file = open_hdf5(path, opened)
        if is_nexus(file, opened):
            kind: Kind = "nexus"
            stack = nexus_stack(file, opened)
        elif is_hyperspy(file, opened):
            kind, stack = "hyperspy", hyperspy_stack(file, opened)
        elif is_velox(file, opened):
            kind, stack = "velox", velox_stack(file, opened)
        else:
            return Answer(None, None)
        if shape is not None:
            check_shape(path, stack.header.shape[1:], shape)
        if rooms:
            write_blocks(path, stack.header, stack.blocks(), rooms)
        return Answer(kind, stack.header)


def is_hdf5(begin: bytes) -> bool:
    """Tell whether a file begins as HDF5 does."""
    return begin.startswith(MAGIC)


def hdf5_kind(path: Path) -> Kind | None:
    """Return what an HDF5 file holds, None if it is none of these or cannot be read."""
    status = path.stat()
    return _kind(path.resolve(), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=KINDS_KEPT)
def _kind(path: Path, _size: int, _modified: int) -> Kind | None:
    try:
        return _asked(path, (), None).kind
    except SourceError:
        return _damaged_kind(path)


def _damaged_kind(path: Path) -> Kind | None:
    """Return what a file that cannot be read claims to be by its name: the error is then told by who reads it."""
    by_suffix: dict[str, Kind] = {".hspy": "hyperspy", ".emd": "velox", ".nxs": "nexus"}
    if path.suffix.lower() in by_suffix:
        return by_suffix[path.suffix.lower()]
    return "nexus" if path.stem.endswith("_master") else None


def hdf5_header(path: Path) -> FrameHeader:
    """Return what an HDF5 file of frames says.

    Raises
    ------
    SourceError
        If it is damaged, or holds no frames.
    """
    return _known(path, _asked(path, (), None))


def read_hdf5(path: Path, shape: tuple[int, int]) -> FrameImages:
    """Return the images of an HDF5 file, mapped from a copy without a name.

    Raises
    ------
    SourceError
        If it is damaged, holds no frames, or frames of another shape; or the copy does not fit on the disk.
    """
    found = mapped_copy(lambda rooms: _known(path, _asked(path, rooms, shape)))
    return images_for(path, VendorFrames(*found), shape)


def _asked(path: Path, rooms: tuple[Path, ...], shape: tuple[int, int] | None) -> Answer:
    beside = sum(file.stat().st_size for file in path.parent.glob("*.h5") if file.is_file())
    return apart(hdf5_answer, path, beside_bytes=beside, rooms=rooms, shape=shape)


def _known(path: Path, answer: Answer) -> FrameHeader:
    if answer.header is None:
        raise SourceError(f"{path.name}: holds no frames that are known", "name the files of the frames")
    return answer.header
