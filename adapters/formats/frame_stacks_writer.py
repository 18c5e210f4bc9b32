"""Writing all frames of a crystal as one MRC or TIFF stack, each with SerialEM's list of tilts beside it (.mdoc).

Sources: MRC2014 (Cheng et al., J. Struct. Biol. 192, 146-150, 2015); SerialEM's page of file formats for .mdoc. Rows
are stored from the top, as this project and dxtbx read them; IMOD shows such a stack upside down.
"""

from collections.abc import Iterator
from pathlib import Path

import mrcfile
import numpy as np
import tifffile
from numpy.typing import NDArray

from tasks.frames import FrameSeries, each_corrected_frame
from tasks.model import SourceError

MRC_MODES: tuple[tuple[int, type[np.number], int], ...] = ((6, np.uint16, 2**16 - 1), (2, np.float32, 2**24))
"""Number of the mode, its type, and the largest whole number up to which it holds all exactly."""
TIFF_TYPES: tuple[tuple[type[np.number], int], ...] = ((np.uint16, 2**16 - 1), (np.uint32, 2**32 - 1))
"""Types of TIFF stacks, with the largest number of each."""


def write_mrc_stack(series: FrameSeries, path: Path) -> None:
    """Write the frames as ``path`` and their tilts as ``path.mdoc``, exactly; equal series give equal bytes.

    Raises
    ------
    SourceError
        If a pixel is larger than 32-bit floating point numbers hold exactly.
    """
    largest = _largest(series)
    found = next((one for one in MRC_MODES if largest <= one[2]), None)
    if found is None:
        raise SourceError(f"{series.id}: a pixel of {largest} does not fit into MRC exactly", "--to nxmx holds 32 bits")
    mode, kind, _ = found
    shape = (len(series.frames), *series.detector.shape_px)
    with mrcfile.new_mmap(path, shape=shape, mrc_mode=mode, overwrite=True) as file:
        for number, pixels in enumerate(each_corrected_frame(series.stack)):
            file.data[number] = pixels.astype(kind)
        file.set_image_stack()
        file.update_header_stats()
        file.header.nlabl = 1  # mrcfile's own label holds the time
        file.header.label[:] = b""
        file.header.label[0] = b"diffraction frames, rows from the top"
    path.with_name(f"{path.name}.mdoc").write_text(mdoc_text(series, path.name, mode=mode), encoding="utf-8")


def write_tiff_stack(series: FrameSeries, path: Path) -> None:
    """Write the frames as pages of ``path`` and their tilts as ``path.mdoc``, exactly; equal series give equal bytes.

    Raises
    ------
    SourceError
        If a pixel does not fit into 32 bits.
    """
    largest = _largest(series)
    found = next((one for one in TIFF_TYPES if largest <= one[1]), None)
    if found is None:
        raise SourceError(f"{series.id}: a pixel of {largest} does not fit into 32 bits")
    pages: Iterator[NDArray[np.number]] = (pixels.astype(found[0]) for pixels in each_corrected_frame(series.stack))
    tifffile.imwrite(
        path,
        pages,
        shape=(len(series.frames), *series.detector.shape_px),
        dtype=found[0],
        photometric="minisblack",
        metadata=None,
        software=False,
    )
    path.with_name(f"{path.name}.mdoc").write_text(mdoc_text(series, path.name, mode=6), encoding="utf-8")


def mdoc_text(series: FrameSeries, image_file: str, *, mode: int) -> str:
    """Return SerialEM's description of a stack: a section for each frame with its tilt in degrees.

    What the keys of SerialEM cannot say unmistakably (axis, camera length, pixel size, beam) is in titles.

    Parameters
    ----------
    mode
        Number of the MRC mode, SerialEM's DataMode.
    """
    rows, columns = series.detector.shape_px
    slow, fast = series.direct_beam_px
    axis = " ".join(f"{x:.9g}" for x in series.rotation_axis)
    camera = f"camera length {series.detector.camera_length_mm:.9g} mm, pixel {series.detector.pixel_size_mm:.9g} mm"
    lines = [
        f"Voltage = {series.beam.energy_kev:.9g}",
        f"ImageFile = {image_file}",
        f"ImageSize = {columns} {rows}",
        f"DataMode = {mode}",
        "",
        f"[T = diffraction of {series.id}, {camera}, gain {series.gain:.9g}, pedestal {series.pedestal:.9g}]",
        "",
        f"[T = rotation axis {axis}: x right, y up with row 0 at the top, z towards the source]",
        "",
        f"[T = direct beam at row {slow:.9g}, column {fast:.9g}, from 0. TiltAngle: middle of the exposure]",
    ]
    for number, (frame, pixels) in enumerate(zip(series.frames, each_corrected_frame(series.stack), strict=True)):
        lines += ["", f"[ZValue = {number}]", f"TiltAngle = {frame.angle_deg + frame.width_deg / 2:.12g}"]
        lines += [f"MinMaxMean = {int(pixels.min())} {int(pixels.max())} {float(pixels.mean()):.9g}"]
        lines += [f"RotationDuringExposure = {frame.width_deg:.12g}"] if frame.width_deg else []
    return "\n".join([*lines, ""])


def _largest(series: FrameSeries) -> int:
    return max(int(pixels.max()) for pixels in each_corrected_frame(series.stack))
