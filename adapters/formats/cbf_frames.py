"""Frames in miniCBF files, and in what else fabio reads: the pixels are fabio's, the comments of the header ours."""

import re
from pathlib import Path

import fabio
import numpy as np

from adapters.formats.file_format import BEGIN_BYTES
from adapters.formats.frame_header import FrameHeader, checked_shape, statements
from adapters.formats.image_shape import check_shape, check_size
from tasks.frames import FrameImages
from tasks.model import SourceError
from tasks.model.experiment import energy_of_wavelength_kev

MAGIC = b"###CBF"
BINARY = b"\x0c\x1a\x04\xd5"
"""What the pixels begin with."""
NUMBER = r"\s*[:=]?\s*\(?\s*([-+]?\d[\d.eE+-]*)"
DTYPES = {
    "signed 8": "<i1", "signed 16": "<i2", "signed 32": "<i4", "signed 64": "<i8",
    "unsigned 8": "<u1", "unsigned 16": "<u2", "unsigned 32": "<u4", "unsigned 64": "<u8",
}  # fmt: skip
OTHERS = (b"RAXIS", b"R-AXIS", b"FORMAT :        86", b"FORMAT :100")
"""How files of R-AXIS and Bruker cameras begin, which are left to fabio altogether, as EDF is."""
EDF_WORDS = (b"HeaderID", b"EDF_")
"""One of them is among the first words of EDF; a brace alone is JSON's, and SMV's, too."""
EDF_BEGIN = 512
"""Bytes of the smallest header of EDF."""


def is_cbf(_: Path, begin: bytes) -> bool:
    """Tell whether a file begins as CBF does."""
    return begin.startswith(MAGIC)


def cbf_header(path: Path) -> FrameHeader:
    """Return what a CBF file says: the shape by its binary section, the geometry by the comments of miniCBF.

    Raises
    ------
    SourceError
        If the binary section does not say what it holds.
    """
    with path.open("rb") as stream:
        text = stream.read(BEGIN_BYTES).partition(BINARY)[0].decode("latin-1")
    columns, rows = (_word(text, rf"X-Binary-Size-{name}-Dimension") for name in ("Fastest", "Second"))
    kind = re.search(r'X-Binary-Element-Type:\s*"?((?:un)?signed \d+)-bit', text)
    if columns is None or rows is None or kind is None or kind.group(1) not in DTYPES:
        raise SourceError(f"{path.name}: the header of its binary section is damaged", "copy the file again")
    shape = checked_shape(path, 1, int(rows), int(columns))
    wavelength, pixel, distance = (
        _word(text, rf"# {name}") for name in ("Wavelength", "Pixel_size", "Detector_distance")
    )
    stated = statements(
        energy_kev=None if not wavelength or wavelength <= 0 else energy_of_wavelength_kev(wavelength),
        pixel_size_mm=None if pixel is None else pixel * 1e3,
        camera_length_mm=None if distance is None else distance * 1e3,
        saturation=_word(text, "# Count_cutoff"),
    )
    beam = re.search(rf"# Beam_xy{NUMBER}\s*,{NUMBER}\s*\)?\s*pixels", text)
    if beam is not None:
        stated |= {f"detector.direct_beam_px[{axis}]": float(beam.group(2 - axis)) for axis in (0, 1)}
    width, angle = _word(text, "# Angle_increment"), _word(text, "# Start_angle")
    if width:
        stated["oscillation.width_deg"] = width
    return FrameHeader(
        "CBF", shape, np.dtype(DTYPES[kind.group(1)]), stated, () if angle is None or not width else (angle,)
    )


def read_cbf(path: Path, shape: tuple[int, int]) -> FrameImages:
    """Return the image of a CBF file.

    Raises
    ------
    SourceError
        If the header is damaged, or the image has another shape.
    """
    header = cbf_header(path)
    check_shape(path, header.shape[1:], shape)
    check_size(path, shape[0] * shape[1] * header.dtype.itemsize)
    return read_others(path, shape)._replace(stated=header.stated, angles_deg=header.angles_deg)


def is_other(_: Path, begin: bytes) -> bool:
    """Tell whether a file begins as one of the formats that are left to fabio."""
    is_edf = begin.startswith(b"{") and any(word in begin[:EDF_BEGIN] for word in EDF_WORDS)
    return is_edf or begin.startswith(OTHERS)


def read_others(path: Path, shape: tuple[int, int]) -> FrameImages:
    """Return all images of a file that fabio reads.

    Raises
    ------
    SourceError
        If they have another shape. Other errors are fabio's.
    """
    with fabio.open(path) as image:
        check_shape(path, image.shape, shape)
        check_size(
            path, image.nframes * shape[0] * shape[1]
        )  # in bytes at the least: its type is known once it is read
        if image.nframes == 1:
            return FrameImages(np.asarray(image.data).reshape(1, *shape))
        return FrameImages(np.stack([np.asarray(image.get_frame(index).data) for index in range(image.nframes)]))


def other_header(path: Path) -> FrameHeader:
    """Return what fabio says of a file of one of its formats."""
    with fabio.open(path) as image:
        shape = checked_shape(path, image.nframes, *image.shape)
        kind = type(image).__name__.lower().removesuffix("image")
        return FrameHeader(f"fabio's image ({kind})", shape, np.dtype(image.dtype))


def _word(text: str, name: str) -> float | None:
    found = re.search(name + r"\b:?" + NUMBER, text)
    try:
        return None if found is None else float(found.group(1))
    except ValueError:
        return None
