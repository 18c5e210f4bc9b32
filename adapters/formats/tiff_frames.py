"""Frames in TIFF: one or many pages, ImageJ stacks in one page, any compression that imagecodecs knows."""

from pathlib import Path

import numpy as np
import tifffile

from adapters.formats.image_shape import check_shape, check_size
from tasks.frames import FrameImages
from tasks.model import SourceError

GREY_AXES = "YX"
"""The last axes of a stack of grey images in tifffile's notation; colours add S behind or before them."""


def read_tiff(path: Path, shape: tuple[int, int]) -> FrameImages:
    """Return the images of a TIFF file that have the shape of the detector; thumbnails beside them are skipped.

    Raises
    ------
    SourceError
        If there is none, or the images are in colour.
    """
    with tifffile.TiffFile(path) as file:
        fitting = [series for series in file.series if _is_grey(series) and series.shape[-2:] == shape]
        if not fitting:
            _explain(path, file, shape)
        check_size(path, sum(series.nbytes for series in fitting))
        images = np.concatenate([series.asarray().reshape(-1, *shape) for series in fitting])
        skipped = sum(len(series.pages) for series in file.series) - sum(len(series.pages) for series in fitting)
        notes = (f"{skipped} pages of another size, such as thumbnails, were skipped",) if skipped else ()
        return FrameImages(images, notes)


def _is_grey(series: tifffile.TiffPageSeries) -> bool:
    return bool(series.axes.endswith(GREY_AXES)) and "S" not in series.axes


def _explain(path: Path, file: tifffile.TiffFile, shape: tuple[int, int]) -> None:
    """Raise the error for a file without a grey image of the shape."""
    colour = next((series for series in file.series if "S" in series.axes), None)
    if colour is not None:
        raise SourceError(
            f"{path.name}: holds colour images ({colour.axes}, {colour.shape}), which are pictures and not counts",
            "export the frames as grey values of 16 or 32 bits from the camera's own program",
        )
    first = file.series[0] if file.series else None
    check_shape(path, () if first is None else first.shape[-2:], shape)
    raise SourceError(f"{path.name}: holds no image of {shape} pixels")
