"""Reading detector images: TIFF by tifffile, MRC with mrcfile's headers, SMV, and CBF and the rest by fabio."""

import warnings
from pathlib import Path
from typing import Literal

import fabio
import numpy as np

from adapters.formats.image_shape import LARGEST_BYTES, check_shape
from adapters.formats.mrc_frames import read_mrc
from adapters.formats.smv_frames import is_smv, read_smv
from adapters.formats.tiff_frames import read_tiff
from tasks.frames import FrameImages
from tasks.model import Document, SourceError

TIFF = {".tif", ".tiff"}
MRC = {".mrc", ".mrcs", ".st", ".map", ".ali", ".rec"}


class FrameFileReader(Document):
    """Reads TIFF, MRC, SMV, CBF and what else fabio knows."""

    engine: Literal["image-files"] = "image-files"

    def read(self, path: Path, *, shape: tuple[int, int]) -> FrameImages:
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
                found = _read(path, shape)
        except SourceError:
            raise
        except Exception as error:  # three libraries, each with errors of its own, and no common base
            text = (str(error).splitlines() or [""])[0][:200]
            raise SourceError(
                f"{path.name}: cannot be read: {type(error).__name__}: {text}", "copy the file again"
            ) from error
        if found.images.dtype.kind not in "uif":
            raise SourceError(f"{path.name}: holds {found.images.dtype} instead of numbers")
        return found


def _read(path: Path, shape: tuple[int, int]) -> FrameImages:
    if path.suffix.lower() in TIFF:
        return read_tiff(path, shape)
    if path.suffix.lower() in MRC:
        return read_mrc(path, shape)
    if is_smv(path):
        return read_smv(path, shape)
    with fabio.open(path) as image:
        check_shape(path, image.shape, shape)
        return FrameImages(np.stack([np.asarray(image.get_frame(index).data) for index in range(image.nframes)]))
