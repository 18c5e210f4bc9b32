"""DECTRIS Arina (and other Eiger) masters: an HDF5 file that names the files with the frames.

Source: NXmx as DECTRIS writes it (SIMPLON API manual), RosettaSciIO 0.15 (``rsciio.arina``), and a real file. The
master's links are not followed by the HDF5 library: each must name a file of the same folder, which is opened alone.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePath

import h5py
import numpy as np

from adapters.formats.hdf5_summary import summarise
from adapters.formats.scans.dense_scan import BLOCK_BYTES, Block, DenseScan
from adapters.formats.scans.hdf5_safety import as_records, is_hdf5, own, own_numbers, whole_number
from tasks.model import SourceError

PART = re.compile(r"data_(\d{6,9})")
"""Name of the link to one file with frames, numbered from 1."""
PARTS_MOST = 10000
"""Files with frames. Chosen, not measured: 65536 frames come in files of 1000 and more."""
DETECTOR = "entry/instrument/detector"
MASK = f"{DETECTOR}/detectorSpecific/pixel_mask"
VIRTUAL_PIXEL = 1 << 31
"""Bit of the pixel mask, by the NXmx definition, for a pixel between chips whose counts are shared out: it counts."""
DEPTHS = (8, 16, 32)
"""Bits of an image, as DECTRIS writes them; its largest value marks what was not counted."""
NAMED = 5
"""Missing files that are named, the others counted."""


def is_arina(path: Path, begin: bytes) -> bool:
    """Tell a master of DECTRIS by its links to files with frames."""
    if not is_hdf5(begin):
        return False
    try:
        with h5py.File(path, "r") as file:
            data = own(file, "entry/data")
            return isinstance(data, h5py.Group) and any(PART.fullmatch(name) for name in data)
    except (OSError, RuntimeError, KeyError, ValueError):
        return False


@contextmanager
def open_arina(path: Path) -> Iterator[DenseScan]:
    """Open a master and the files with frames that it names.

    Raises
    ------
    SourceError
        If a file with frames is missing (it is named), lies elsewhere, or does not fit the others.
    """
    with ExitStack() as opened:
        file = opened.enter_context(h5py.File(path, "r"))
        parts, beside = _parts(file, path, opened)
        first = parts[0]
        for part in parts:
            if part.shape[1:] != first.shape[1:] or part.dtype != first.dtype:
                raise SourceError(
                    f"{Path(part.file.filename).name}: frames of {part.shape[1:]} {part.dtype}, others of "
                    f"{first.shape[1:]} {first.dtype}"
                )
        mask = own_numbers(file, MASK, 2)
        usable = mask is not None and mask.shape == first.shape[1:] and mask.dtype.kind in "ui"
        masked = (mask[()].astype(np.int64) & ~VIRTUAL_PIXEL) != 0 if mask is not None and usable else None
        yield DenseScan(
            sum(len(part) for part in parts),
            (first.shape[1], first.shape[2]),
            first.dtype,
            "counts" if first.dtype.kind in "ui" else "unknown",
            lambda: _blocks(parts),
            metadata=summarise(file, (DETECTOR, "entry/sample")),
            beside=beside,
            flagged=_flagged(file, first.dtype),
            masked=masked,
        )


def _flagged(file: h5py.File, dtype: np.dtype[np.generic]) -> int | None:
    """Return the value of a pixel that was not counted: all bits of an image set."""
    if dtype.kind not in "ui":
        return None
    depth = own_numbers(file, f"{DETECTOR}/bit_depth_image", 0)
    bits = 8 * dtype.itemsize
    stated = int(depth[()]) if depth is not None else bits
    return 2 ** (stated if stated in DEPTHS and stated <= bits else bits) - 1


def _parts(file: h5py.File, path: Path, opened: ExitStack) -> tuple[list[h5py.Dataset], tuple[Path, ...]]:
    """Return the datasets with frames in their order, and the files that they lie in."""
    data = own(file, "entry/data")
    names = sorted(name for name in data if PART.fullmatch(name)) if isinstance(data, h5py.Group) else []
    numbers = [int(name.removeprefix("data_")) for name in names]
    if not names or len(names) > PARTS_MOST or numbers != list(range(1, len(names) + 1)):
        raise SourceError(f"/entry/data has the parts {', '.join(names[:NAMED]) or 'none'}, not 1, 2, 3, ...")
    places = [_place(data, name, path) for name in names]
    missing = [other.name for other, _ in places if not other.is_file()]
    if missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise SourceError(
            f"{len(missing)} of {len(places)} files with frames are missing: {', '.join(missing[:NAMED])}{more}",
            "copy them beside the master",
        )
    found, begin = [], 0
    for other, dataset in places:
        holder = file if other == path else opened.enter_context(h5py.File(other, "r"))
        part = own_numbers(holder, dataset, 3)
        if part is None:
            raise SourceError(f"{other.name}: {dataset} is no stack of frames")
        low = whole_number(part.attrs, "image_nr_low")
        if low is not None and low != begin + 1:
            raise SourceError(f"{other.name} begins with frame {low} where {begin + 1} is due", "copy the files again")
        begin += len(part)
        found.append(part)
    return found, tuple(dict.fromkeys(other for other, _ in places if other != path))


def _place(data: h5py.Group, name: str, path: Path) -> tuple[Path, str]:
    """Return the file and the dataset of one part; the file lies in the folder of the master."""
    link = data.get(name, getlink=True)
    if isinstance(link, h5py.HardLink):
        return path, f"entry/data/{name}"
    if not isinstance(link, h5py.ExternalLink):
        raise SourceError(f"/entry/data/{name} names no file", "this is no master of DECTRIS")
    other = path.parent / link.filename
    inside = link.filename and PurePath(link.filename).name == link.filename and "\\" not in link.filename
    if not inside or other.resolve().parent != path.parent.resolve():
        raise SourceError(f"/entry/data/{name} names {link.filename[:100]!r}, which is no file of the master's folder")
    return other, link.path


def _blocks(parts: list[h5py.Dataset]) -> Iterator[Block]:
    begin = 0
    for part in parts:
        step = max(1, BLOCK_BYTES // (part.shape[1] * part.shape[2] * part.dtype.itemsize))
        step = max(step, part.chunks[0]) if part.chunks else step
        for at in range(0, len(part), step):
            frames = part[at : at + step]
            yield Block(np.arange(begin + at, begin + at + len(frames)), as_records(frames))
        begin += len(part)
