"""Frames in SMV (ADSC) files of any pixel type and byte order; fabio reads unsigned shorts only."""

import re
from pathlib import Path

import numpy as np

from adapters.formats.image_shape import check_shape, check_size
from tasks.frames import FrameImages
from tasks.model import SourceError

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
STATED = {"IMAGE_PEDESTAL": "pedestal", "PIXEL_SIZE": "pixel_size_mm", "DISTANCE": "camera_length_mm"}
"""Header words that say what a field of the manifest's detector says."""


def is_smv(path: Path) -> bool:
    """Tell whether a file begins as SMV does."""
    with path.open("rb") as stream:
        begin = stream.read(512)
    return begin.startswith(b"{") and b"HEADER_BYTES" in begin


def read_smv(path: Path, shape: tuple[int, int]) -> FrameImages:
    """Return the image of an SMV file, and what its header says of pedestal, pixel size and distance.

    Raises
    ------
    SourceError
        Naming the word of the header that is missing or wrong, or if the file ends early.
    """
    words, size = _header(path)
    try:
        stored = np.dtype(ORDERS[words.get("BYTE_ORDER", "little_endian").lower()] + TYPES[words["TYPE"].lower()])
        got = (int(words["SIZE2"]), int(words["SIZE1"]))
    except (KeyError, ValueError) as error:
        raise SourceError(f"{path.name}: the SMV header lacks or misspells {error}", "copy the file again") from error
    check_shape(path, got, shape)
    check_size(path, stored.itemsize * got[0] * got[1])
    pixels = np.fromfile(path, dtype=stored, count=got[0] * got[1], offset=size)
    if len(pixels) < got[0] * got[1]:
        raise SourceError(f"{path.name}: holds {len(pixels)} of {got[0] * got[1]} pixels", "copy the file again")
    image = pixels.astype(stored.newbyteorder("="), copy=False).reshape(1, *shape)
    return FrameImages(
        image, stated={field: value for word, field in STATED.items() if (value := _number(words, word))}
    )


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
        return float(words[name])
    except (KeyError, ValueError):
        return None
