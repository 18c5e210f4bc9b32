"""HDF5 of unknown origin: links, virtual datasets and claims of size are looked at before the library acts on them.

Only files of the same folder are opened, and each by us: the library never follows a link into another file itself.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import h5py
import hdf5plugin  # noqa: F401 - registers bitshuffle, LZ4, Blosc and Zstandard with the library
import numpy as np

from adapters.formats.image_shape import check_size
from adapters.formats.vendors.neighbours import neighbour
from tasks.model import SourceError

Item: TypeAlias = h5py.Group | h5py.Dataset
MAGIC = b"\x89HDF\r\n\x1a\n"
LINKS_MOST = 8
"""Links one behind the other, and virtual datasets of virtual datasets. Chosen, not measured: one or two are in use,
and a circle must end."""
EXPANSION_MOST = 4096
"""Times that pixels may be larger than what is stored of them: LZ4 reaches 255, deflate 1032 by its definition, and
Zstandard of empty frames some thousands. Chosen, not measured."""
EXPANSION_FREE = 2**28
"""Bytes of pixels that are taken whatever is stored: empty frames take nothing. Chosen, not measured."""
CHUNK_MOST = 2**30
"""Bytes of one chunk, which must be in memory at once. Chosen, not measured: a frame of 8192 x 8192 in 32 bits has a
quarter of it."""


def open_hdf5(path: Path, opened: ExitStack) -> h5py.File:
    """Return an HDF5 file that is closed with `opened`, without waiting for locks of who writes it."""
    return opened.enter_context(h5py.File(path, "r", locking=False))


def follow(file: h5py.File, name: str, opened: ExitStack, *, links: int = 0) -> Item | None:
    """Return what lies at `name`, through links within the file and to files of the same folder; None if nothing does.

    Raises
    ------
    SourceError
        If a link leads out of the folder, to a file that is missing, or to no end.
    """
    path = Path(file.filename)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    at: Item = file
    for index, part in enumerate(parts):
        link = at.get(part, getlink=True) if isinstance(at, h5py.Group) else None
        if link is None:
            return None
        if isinstance(link, h5py.HardLink):
            at = at[part]
            continue
        if links >= LINKS_MOST:
            raise SourceError(f"{path.name}: {name}: more than {LINKS_MOST} links one behind the other")
        rest = "/".join(parts[index + 1 :])
        if isinstance(link, h5py.ExternalLink):
            other = open_hdf5(present(path, [link.filename])[0], opened)
            return follow(other, f"{link.path}/{rest}", opened, links=links + 1)
        begin = "" if link.path.startswith("/") else at.name
        return follow(file, f"{begin}/{link.path}/{rest}", opened, links=links + 1)
    return at


def present(path: Path, names: list[str]) -> list[Path]:
    """Return the files of these names beside `path`.

    Raises
    ------
    SourceError
        Naming those that are missing, or one that lies outside the folder.
    """
    found = [(name, neighbour(path, name)) for name in dict.fromkeys(names)]
    missing = [name for name, file in found if file is None]
    if missing:
        shown = f"{', '.join(missing[:3])}{f' and {len(missing) - 3} more' if len(missing) > 3 else ''}"
        raise SourceError(
            f"{path.name}: names data files that are missing: {shown}",
            "copy them into the same folder",
        )
    return [file for _, file in found if file is not None]


def stack_dataset(item: Item | None, opened: ExitStack, *, links: int = 0) -> h5py.Dataset | None:
    """Return a dataset of numbers that may be read; None if it is none.

    Raises
    ------
    SourceError
        If it keeps its values outside the folder, or in files that are missing, or claims more than it can hold.
    """
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "uif" or item.ndim not in range(2, 5):
        return None
    path = Path(item.file.filename)
    if item.external:
        raise SourceError(f"{path.name}: {item.name} keeps its values in files without a format", "store them in HDF5")
    size = int(np.prod(item.shape, dtype=object)) * item.dtype.itemsize
    check_size(path, size)
    if item.chunks is not None and int(np.prod(item.chunks, dtype=object)) * item.dtype.itemsize > CHUNK_MOST:
        raise SourceError(f"{path.name}: {item.name} claims chunks of {item.chunks} values", "the file is damaged")
    if item.is_virtual:
        _check_sources(item, path, opened, links)
    elif size > EXPANSION_FREE + EXPANSION_MOST * item.id.get_storage_size():
        raise SourceError(
            f"{path.name}: {item.name} claims {size} bytes of pixels, of which {item.id.get_storage_size()} are stored",
            "copy the file again",
        )
    return item


def _check_sources(item: h5py.Dataset, path: Path, opened: ExitStack, links: int) -> None:
    """Look at every source of a virtual dataset: it must lie in the folder, and must not lead on out of it."""
    if links >= LINKS_MOST:
        raise SourceError(f"{path.name}: {item.name}: more than {LINKS_MOST} virtual datasets one behind the other")
    sources = {(source.file_name, source.dset_name) for source in item.virtual_sources()}
    if any("%" in name for names in sources for name in names):
        raise SourceError(f"{path.name}: {item.name} names its sources by a pattern", "name each file")
    others = [name for name, _ in sources if name != "."]
    files = dict(zip(dict.fromkeys(others), present(path, others), strict=True))
    for name, place in sources:
        file = item.file if name == "." else open_hdf5(files[name], opened)
        source = file.get(place) if _is_own(file, place) else None
        if stack_dataset(source, opened, links=links + 1) is None:
            raise SourceError(f"{path.name}: {item.name}: {name} holds no images at {place}", "copy the files again")


def _is_own(file: h5py.File, place: str) -> bool:
    """Tell whether a place is reached by hard links alone: what else the library would follow by itself."""
    at: Item = file
    for part in place.strip("/").split("/"):
        if not isinstance(at, h5py.Group) or not isinstance(at.get(part, getlink=True), h5py.HardLink):
            return False
        at = at[part]
    return True
