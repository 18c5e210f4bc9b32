"""Frames in SMV (ADSC) files of any pixel type and byte order; fabio reads unsigned shorts only."""

import math
import re
from pathlib import Path

import numpy as np

from adapters.formats.frame_header import FrameHeader, checked_shape, statements
from adapters.formats.image_shape import check_shape, check_size
from tasks.frames import FrameImages
from tasks.model import SourceError
from tasks.model.experiment import energy_of_wavelength_kev

TYPES = {
    "unsigned_short": "u2", "unsigned_short_int": "u2", "signed_short": "i2", "short": "i2",
    "signed_short_int": "i2", "unsigned_int": "u4", "unsigned_long": "u4", "unsigned_long_int": "u4",
    "signed_int": "i4", "int": "i4", "long": "i4", "signed_long": "i4", "long_integer": "i4", "signed_long_int": "i4",
    "unsigned_char": "u1", "signed_char": "i1", "float": "f4", "double": "f8",
}  # fmt: skip
"""Spellings of TYPE as d*TREK, ADSC, ADXV, DIALS and the cameras' programs write them."""
ORDERS = {"little_endian": "<", "big_endian": ">"}
LARGEST_HEADER = 2**20
"""Bytes; headers have 512 or a few thousand. Chosen, not measured: what claims more is damaged."""
STATED = {
    "IMAGE_PEDESTAL": "detector.pedestal", "PIXEL_SIZE": "detector.pixel_size_mm",
    "DISTANCE": "detector.camera_length_mm", "CCD_IMAGE_SATURATION": "detector.saturation",
    "OSC_RANGE": "oscillation.width_deg",
}  # fmt: skip
"""Header words that say what a field of the manifest says. The beam's centre is not among them: programs disagree on
which of its numbers is along which edge, and from which corner it counts."""
FIRST_WORDS = 512
"""Bytes in which HEADER_BYTES must come: the smallest header; it is the first word in all that were seen."""
POSITIVE = ("detector.pixel_size_mm", "detector.camera_length_mm", "detector.saturation", "oscillation.width_deg")
"""Of which zero means that nobody filled it in."""


def is_smv(_: Path, begin: bytes) -> bool:
    """Tell whether a file begins as SMV does."""
    return begin.startswith(b"{") and b"HEADER_BYTES" in begin[:FIRST_WORDS]


def read_smv(path: Path, shape: tuple[int, int]) -> FrameImages:
    """Return the image of an SMV file, and what its header says of the geometry.

    Raises
    ------
    SourceError
        Naming the word of the header that is missing or wrong, or if the file ends early.
    """
    header, begin = _parsed(path)
    check_shape(path, header.shape[1:], shape)
    stored, count = header.dtype, shape[0] * shape[1]
    check_size(path, stored.itemsize * count)
    pixels = np.fromfile(path, dtype=stored, count=count, offset=begin)
    if len(pixels) < count:
        raise SourceError(f"{path.name}: holds {len(pixels)} of {count} pixels", "copy the file again")
    image = pixels.astype(stored.newbyteorder("="), copy=False).reshape(1, *shape)
    return FrameImages(image, header.notes, header.stated, header.angles_deg)


def smv_header(path: Path) -> FrameHeader:
    """Return what an SMV file says.

    Raises
    ------
    SourceError
        Naming the word of the header that is missing or wrong.
    """
    return _parsed(path)[0]


def _parsed(path: Path) -> tuple[FrameHeader, int]:
    words, size = _header(path)
    try:
        stored = np.dtype(ORDERS[words.get("BYTE_ORDER", "little_endian").lower()] + TYPES[words["TYPE"].lower()])
        got = (int(words["SIZE2"]), int(words["SIZE1"]))
    except (KeyError, ValueError) as error:
        raise SourceError(f"{path.name}: the SMV header lacks or misspells {error}", "copy the file again") from error
    stated = {
        field: value
        for word, field in STATED.items()
        if (value := _number(words, word)) is not None and (field not in POSITIVE or value > 0)
    }
    wavelength = _number(words, "WAVELENGTH")
    if wavelength is not None and wavelength > 0:
        stated |= statements(energy_kev=energy_of_wavelength_kev(wavelength))
    angle = _number(words, "OSC_START")
    shape = checked_shape(path, 1, *got)
    angles = () if angle is None or "oscillation.width_deg" not in stated else (angle,)
    return FrameHeader("SMV (ADSC)", shape, stored, stated, angles), size


def _header(path: Path) -> tuple[dict[str, str], int]:
    """Return the words of the header, and its length in bytes."""
    with path.open("rb") as stream:
        begin = stream.read(LARGEST_HEADER).decode("latin-1")
    found = re.search(r"HEADER_BYTES\s*=\s*(\d+)\s*;", begin)
    size = int(found.group(1)) if found else 0
    if not 0 < size <= LARGEST_HEADER:
        raise SourceError(f"{path.name}: HEADER_BYTES is missing or wrong in the SMV header", "copy the file again")
    pairs = re.findall(r"([A-Za-z0-9_]+)\s*=\s*([^;]*);", begin[:size])
    return {name.upper(): value.strip() for name, value in pairs}, size


def _number(words: dict[str, str], name: str) -> float | None:
    try:
        value = float(words[name])
    except (KeyError, ValueError):
        return None
    return value if math.isfinite(value) else None
