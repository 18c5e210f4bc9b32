"""Reading detector images: TIFF by tifffile, MRC by mrcfile, SMV, CBF and the rest by fabio."""

import warnings
from pathlib import Path
from typing import Literal

import fabio
import mrcfile
import numpy as np
import tifffile
from numpy.typing import NDArray

from tasks.model import Document, SourceError

TIFF = {".tif", ".tiff"}
MRC = {".mrc", ".mrcs", ".st", ".map"}
LARGEST_BYTES = 64 * 2**30
"""Of one file: 1024 images of 4096 x 4096 px in 32 bits. Chosen, not measured: a file that claims more is damaged or no
frame file, and is refused before it fills the memory."""


class FrameFileReader(Document):
    """Reads TIFF, MRC, SMV, CBF and what else fabio knows."""

    engine: Literal["image-files"] = "image-files"

    def read(self, path: Path, *, shape: tuple[int, int]) -> NDArray[np.number]:
        """Return all images of a file, (n, slow, fast), in the type in which they are stored.

        Raises
        ------
        SourceError
            If the file is damaged, of an unknown format, or its images are not of this shape.
        """
        if path.stat().st_size > LARGEST_BYTES:
            raise SourceError(f"{path.name}: larger than {LARGEST_BYTES} bytes")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # header oddities of old writers; the pixels are checked here
                images = _read(path, shape)
        except SourceError:
            raise
        except Exception as error:  # three libraries, each with errors of its own, and no common base
            text = (str(error).splitlines() or [""])[0][:200]
            raise SourceError(
                f"{path.name}: cannot be read: {type(error).__name__}: {text}", "copy the file again"
            ) from error
        if images.dtype.kind not in "uif":
            raise SourceError(f"{path.name}: holds {images.dtype} instead of numbers")
        return images


def _read(path: Path, shape: tuple[int, int]) -> NDArray[np.number]:
    if path.suffix.lower() in TIFF:
        return _read_tiff(path, shape)
    if path.suffix.lower() in MRC:
        return _read_mrc(path, shape)
    with fabio.open(path) as image:
        _check(path, image.shape, shape)
        return np.stack([np.asarray(image.get_frame(index).data) for index in range(image.nframes)])


def _read_tiff(path: Path, shape: tuple[int, int]) -> NDArray[np.number]:
    with tifffile.TiffFile(path) as file:
        for page in file.pages:
            _check(path, page.shape, shape)
        return np.stack([page.asarray() for page in file.pages])


def _read_mrc(path: Path, shape: tuple[int, int]) -> NDArray[np.number]:
    with mrcfile.open(path, permissive=False) as file:
        data = file.data
        _check(path, data.shape[-2:], shape)
        # rows in the order in which they are stored, as dxtbx takes them; the manifest's beam and axis refer to that
        return np.array(data).reshape(-1, *shape)


def _check(path: Path, got: tuple[int, ...], expected: tuple[int, int]) -> None:
    if tuple(got) != tuple(expected):
        raise SourceError(
            f"{path.name}: an image of {tuple(got)} pixels, the manifest's detector.shape_px says {tuple(expected)}",
            "correct detector.shape_px (slow, fast), or remove the file",
        )
