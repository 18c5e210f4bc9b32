"""HyperSpy's .zspy: a Zarr store, a folder or a zip archive, with the tree of .hspy in it.

Read by zarr in another process, after its own descriptions (JSON) were looked at: only numbers, only codecs that
decompress. One of numcodecs' codecs is pickle.
"""

import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.formats.frame_damage import damage_named
from adapters.formats.frame_header import FrameHeader, VendorFrames, images_for
from adapters.formats.image_shape import check_shape, check_size
from adapters.formats.vendors.apart import apart, optional
from adapters.formats.vendors.confined_hdf5 import CHUNK_MOST, EXPANSION_FREE, EXPANSION_MOST
from adapters.formats.vendors.hyperspy_tree import WANTED, Signal, signal_header
from adapters.formats.vendors.pixel_file import mapped_copy, write_blocks
from tasks.frames import FrameImages
from tasks.model import SourceError

SUFFIX = ".zspy"
CODECS = {None, "blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma"}
"""Compressors that do nothing but decompress."""
JSON_BYTES = 2**22
"""Of one description. Chosen, not measured: those in use have some kilobytes."""
FILES_MOST = 200000
"""Of a store: ten chunks for each frame that a rotation may have. Chosen, not measured."""
DATA = re.compile(r"Experiments/[^/]+/data/\.zarray")
ReadText = Callable[[str], dict[str, Any]]


def is_zspy(path: Path, begin: bytes) -> bool:
    """Tell whether a path is a store of HyperSpy: a folder or an archive of this name."""
    return path.suffix.lower() == SUFFIX and (path.is_dir() or begin.startswith(b"PK"))


def zspy_header(path: Path) -> FrameHeader:
    """Return what a store says.

    Raises
    ------
    SourceError
        If it is damaged, or holds no stack of images.
    ProgramNotFoundError
        If zarr is not installed.
    """
    return apart(zspy_answer, path)


def read_zspy(path: Path, shape: tuple[int, int]) -> FrameImages:
    """Return the images of a store, mapped from a copy without a name.

    Raises
    ------
    SourceError
        If it is damaged, holds no stack of images, or images of another shape.
    ProgramNotFoundError
        If zarr is not installed.
    """
    found = mapped_copy(lambda rooms: apart(zspy_answer, path, rooms=rooms, shape=shape))
    return images_for(path, VendorFrames(*found), shape)


def zspy_answer(path: Path, *, rooms: tuple[Path, ...] = (), shape: tuple[int, int] | None = None) -> FrameHeader:
    """Return what a store says; write its pixels into one of `rooms`, if any are given. Called in the other process.

    Raises
    ------
    SourceError
        If it is damaged, leads out of itself, or its images are not of `shape`.
    """
    zarr = optional("zarr", "stores of HyperSpy (zspy)")
    with damage_named(path):
        stored = _confined_bytes(path)
        names, text = _texts(path)
        name = next((name for name in names), None)
        if name is None:
            raise SourceError(f"{path.name}: holds no signal of HyperSpy", "save the signal of the frames")
        place = f"Experiments/{name}"
        _check(path, text(f"{place}/data/.zarray"), stored)
        header = signal_header(path, _signal(name, len(names), text), "zspy")
        if shape is not None:
            check_shape(path, header.shape[1:], shape)
        if rooms:
            store = zarr.storage.ZipStore(str(path), mode="r") if path.is_file() else str(path)
            data = zarr.open_group(store=store, mode="r")[f"{place}/data"]
            write_blocks(path, header, _blocks(data, header), rooms)
        return header


def _confined_bytes(path: Path) -> int:
    """Return the bytes of a store; refuse a folder that holds links, or more files than a store has."""
    if path.is_file():
        return path.stat().st_size
    count = stored = 0
    for folder, folders, files in os.walk(path):
        count += len(files)
        stored += sum((Path(folder) / name).lstat().st_size for name in files)
        linked = next((name for name in (*folders, *files) if (Path(folder) / name).is_symlink()), None)
        if linked is not None:
            raise SourceError(f"{path.name}: {linked} is a link", "copy the store with the files themselves")
        if count > FILES_MOST:
            raise SourceError(f"{path.name}: holds more than {FILES_MOST} files", "this is no store of frames")
    return stored


def _texts(path: Path) -> tuple[list[str], ReadText]:
    """Return the names of the signals, and a function that reads one description of the store."""
    if path.is_file():
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        too_large = next((member.filename for member in members if member.file_size > CHUNK_MOST), None)
        if too_large is not None or len(members) > FILES_MOST:
            raise SourceError(f"{path.name}: claims {too_large or f'{len(members)} files'}", "the archive is damaged")
        sizes = {member.filename: member.file_size for member in members}
        names = sorted({place.split("/")[1] for place in sizes if DATA.fullmatch(place)})
        return names, lambda place: _parsed(_member(path, place) if 0 < sizes.get(place, 0) <= JSON_BYTES else b"{}")
    found = sorted(item.parent.parent.name for item in (path / "Experiments").glob("*/data/.zarray"))
    return found, lambda place: _parsed(_content(path / place))


def _member(path: Path, place: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(place)


def _content(path: Path) -> bytes:
    if not path.is_file() or path.stat().st_size > JSON_BYTES:
        return b"{}"
    return path.read_bytes()


def _parsed(content: bytes) -> dict[str, Any]:
    found = json.loads(content)
    return found if isinstance(found, dict) else {}


def _check(path: Path, array: dict[str, Any], stored: int) -> None:
    """Refuse what is no plain array of numbers."""
    compressor, chunks = array.get("compressor"), array.get("chunks")
    codec = compressor.get("id", "") if isinstance(compressor, dict) else compressor
    if codec not in CODECS or array.get("filters"):
        raise SourceError(f"{path.name}: its data are stored by {codec!r}, {array.get('filters')}", "save it again")
    dtype = np.dtype(str(array.get("dtype")))
    if dtype.kind not in "uif" or not isinstance(chunks, list):
        raise SourceError(f"{path.name}: its data are {dtype} instead of numbers", "save the signal of the frames")
    size = int(np.prod([int(extent) for extent in array["shape"]], dtype=object)) * dtype.itemsize
    check_size(path, size)
    if size > EXPANSION_FREE + EXPANSION_MOST * stored:
        raise SourceError(f"{path.name}: claims {size} bytes of pixels, stores {stored} in all", "copy it again")
    if int(np.prod([int(extent) for extent in chunks], dtype=object)) * dtype.itemsize > CHUNK_MOST:
        raise SourceError(f"{path.name}: claims chunks of {chunks} values", "the store is damaged")


def _signal(name: str, count: int, text: ReadText) -> Signal:
    place = f"Experiments/{name}"
    array = text(f"{place}/data/.zarray")
    shape = tuple(int(extent) for extent in array["shape"])
    said = [text(f"{place}/axis-{index}/.zattrs").get("navigate") for index in range(len(shape))]
    navigate = [index < len(shape) - 2 if flag is None else bool(flag) for index, flag in enumerate(said)]
    numbers: dict[str, float | None] = {}
    for wanted in WANTED:
        group, _, word = wanted.rpartition("/")
        value = text(f"{place}/metadata/Acquisition_instrument/{group}/.zattrs").get(word)
        numbers[wanted] = float(value) if isinstance(value, int | float) else None
    return Signal(name, shape, np.dtype(str(array["dtype"])), navigate, numbers, count - 1)


def _blocks(data: Any, header: FrameHeader) -> Iterator[NDArray[np.number]]:
    """Yield (k, slow, fast), by the chunks of the first axis."""
    slow, fast = header.shape[1:]
    step = data.chunks[0] if data.ndim > 2 else 1
    for begin in range(0, data.shape[0] if data.ndim > 2 else 1, step):
        block = data[begin : begin + step] if data.ndim > 2 else data[...]
        yield np.asarray(block).reshape(-1, slow, fast)
