"""Frames in TIFF: one or many pages, ImageJ stacks in one page, any compression that imagecodecs knows."""

import math
from pathlib import Path

import numpy as np
import tifffile

from adapters.formats.frame_header import FrameHeader, checked_shape, statements
from adapters.formats.image_shape import check_shape, check_size
from tasks.frames import FrameImages
from tasks.model import SourceError

GREY_AXES = "YX"
"""The last axes of a stack of grey images in tifffile's notation; colours add S behind or before them."""

TVIPS_VERSION = 2
"""Of TVIPS' tag 37706 in which the fields are named by their units: volts, nanometres, degrees."""
TVIPS_TILT = 3
"""Place of the alpha tilt in the stage's position: x, y, z, alpha, beta."""


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
        stacks = [series.asarray().reshape(-1, *shape) for series in fitting]
        images = stacks[0] if len(stacks) == 1 else np.concatenate(stacks)
        skipped = sum(len(series.pages) for series in file.series) - sum(len(series.pages) for series in fitting)
        notes = (f"{skipped} pages of another size, such as thumbnails, were skipped",) if skipped else ()
        stated, angles = _tvips(file)
        return FrameImages(images, notes, stated, angles if len(images) == 1 else ())


def tiff_header(path: Path) -> FrameHeader:
    """Return what a TIFF file says of its largest grey images; the others are thumbnails, or pictures.

    Raises
    ------
    SourceError
        If it holds none.
    """
    with tifffile.TiffFile(path) as file:
        grey = [series for series in file.series if _is_grey(series)]
        if not grey:
            _explain(path, file, (0, 0))
        rows, columns = max((series.shape[-2:] for series in grey), key=lambda shape: shape[0] * shape[1])
        images = [series for series in grey if series.shape[-2:] == (rows, columns)]
        stated, angles = _tvips(file)
        kinds = (("ImageJ", file.is_imagej), ("TVIPS", file.is_tvips), ("BigTIFF", file.is_bigtiff))
        return FrameHeader(
            format=", ".join(["TIFF", *(name for name, held in kinds if held)]),
            shape=checked_shape(path, sum(series.size // (rows * columns) for series in images), rows, columns),
            dtype=images[0].dtype,
            stated=stated,
            angles_deg=angles,
            words={"compression": tifffile.COMPRESSION(images[0].keyframe.compression).name.lower()},
        )


def _tvips(file: tifffile.TiffFile) -> tuple[dict[str, float], tuple[float, ...]]:
    """Return what TVIPS' tags state, and the tilt of the stage; the magnification is no camera length there."""
    words = file.tvips_metadata if file.is_tvips else None
    if not words or words.get("Version") != TVIPS_VERSION:
        return {}, ()
    chip, binning = float(words["PhysicalPixelSizeX"]) * 1e-6, int(words["BinningX"])
    stated = statements(energy_kev=float(words["TemHighTension"]) / 1e3, pixel_size_mm=chip * max(binning, 1))
    tilt = float(words["TemStagePosition"][TVIPS_TILT])
    return stated, (float(f"{tilt:.7g}"),) if math.isfinite(tilt) else ()


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
