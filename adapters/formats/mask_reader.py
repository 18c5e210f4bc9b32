"""Reading a detector's mask: .npy without pickles, a dataset of an HDF5 file, a TIFF of 1 or 8 bits."""

from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import tifffile
from numpy.typing import NDArray

from tasks.model import Document, SourceError

KINDS = "buif"
"""Kinds of numpy's types that can be a mask: truth values, whole numbers, and fractions of which none is NaN."""
TIFF_BITS = (1, 8)
"""Bits of a pixel, by the contract (tasks/ingest/README.md)."""


class MaskFileReader(Document):
    """Reads .npy, HDF5 and TIFF."""

    engine: Literal["mask-files"] = "mask-files"

    def read(self, path: Path, *, dataset: str | None, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the pixels that are not to be used, (slow, fast).

        Parameters
        ----------
        dataset
            Path within an HDF5 file; None for the other formats.

        Raises
        ------
        SourceError
            If the file is damaged, holds pickles, no such dataset, no numbers, or has another shape.
        """
        try:
            if dataset is not None:
                return _from_hdf5(path, dataset, shape)
            return _from_npy(path, shape) if path.suffix.lower() == ".npy" else _from_tiff(path, shape)
        except (OSError, ValueError, EOFError, KeyError, IndexError, TypeError, tifffile.TiffFileError) as error:
            text = (str(error).splitlines() or [""])[0][:200]
            raise SourceError(
                f"detector.mask {path.name}: cannot be read: {text}", "write the mask again: pickles are not read"
            ) from error


def _from_npy(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    with path.open("rb") as file:
        magic = file.read(len(np.lib.format.MAGIC_PREFIX))
    if magic != np.lib.format.MAGIC_PREFIX:
        raise SourceError(
            f"detector.mask {path.name}: is no .npy file (an archive or a pickle?)", "write it by numpy.save"
        )
    stored = np.load(path, mmap_mode="r", allow_pickle=False)  # its claims are checked before memory is taken
    return _masked(path, stored, shape)


def _from_hdf5(path: Path, dataset: str, shape: tuple[int, int]) -> NDArray[np.bool_]:
    with h5py.File(path, "r") as file:
        _refuse_links_out(path, file, dataset)
        item = file.get(dataset)
        if not isinstance(item, h5py.Dataset):
            raise SourceError(f"detector.mask {path.name}: has no dataset {dataset}", "correct detector.mask")
        if item.is_virtual or item.external or Path(item.file.filename) != path:
            raise SourceError(
                f"detector.mask {path.name}: {dataset} keeps its values in other files", "store them in the file itself"
            )
        return _masked(path, item, shape)


def _refuse_links_out(path: Path, file: h5py.File, dataset: str) -> None:
    """Refuse a path that leads into another file."""
    group: h5py.Group = file
    for part in dataset.strip("/").split("/"):
        link = group.get(part, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise SourceError(
                f"detector.mask {path.name}: {dataset} leads to another file", "store the mask in the file itself"
            )
        below = group.get(part)
        if not isinstance(below, h5py.Group):
            return
        group = below


def _from_tiff(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    with tifffile.TiffFile(path) as file:
        if len(file.pages) != 1:
            raise SourceError(f"detector.mask {path.name}: holds {len(file.pages)} images", "keep the one of the mask")
        page = file.pages.first
        if page.bitspersample not in TIFF_BITS:
            raise SourceError(
                f"detector.mask {path.name}: has {page.bitspersample} bits per pixel", "write it with 1 or 8 bits"
            )
        if tuple(page.shape) != tuple(shape):
            raise _other_shape(path, tuple(page.shape), shape)
        return np.asarray(page.asarray() != 0)


def _masked(path: Path, stored: NDArray[np.generic] | h5py.Dataset, shape: tuple[int, int]) -> NDArray[np.bool_]:
    if stored.dtype.kind not in KINDS:
        raise SourceError(f"detector.mask {path.name}: holds {stored.dtype} instead of numbers", "write zeros and ones")
    if tuple(stored.shape) != tuple(shape):
        raise _other_shape(path, tuple(stored.shape), shape)
    values = np.asarray(stored[()])
    if stored.dtype.kind == "f" and not np.isfinite(values).all():
        raise SourceError(f"detector.mask {path.name}: holds values that are no numbers", "write zeros and ones")
    return np.asarray(values != 0)


def _other_shape(path: Path, got: tuple[int, ...], expected: tuple[int, int]) -> SourceError:
    return SourceError(
        f"detector.mask {path.name}: has the shape {got}, detector.shape_px says {tuple(expected)}",
        "write the mask as (slow, fast)",
    )
