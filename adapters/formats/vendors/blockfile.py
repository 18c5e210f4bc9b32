"""Block files (.blo) of NanoMegas' ASTAR: a scan of square patterns of 8 bits, each behind six bytes of its own.

The layout is that of RosettaSciIO's reader, which fills up a file that ends early with zeros; here those are lost.
"""

from pathlib import Path

import numpy as np

from adapters.formats.frame_header import FrameHeader, VendorFrames, checked_shape, statements
from tasks.model import SourceError

MAGIC = b"IMGBLO"
HEADER = np.dtype([
    ("id", "S6"), ("magic", "<u2"), ("offset_images", "<u4"), ("offset_patterns", "<u4"), ("flags", "<u4"),
    ("pattern_px", "<u2"), ("pattern_rotation", "<u2"), ("columns", "<u2"), ("rows", "<u2"), ("scan_rotation", "<u2"),
    ("step_x", "<f8"), ("step_y", "<f8"), ("energy", "<u4"), ("px_per_cm", "<u2"), ("camera_length", "<u4"),
])  # fmt: skip
PREFIX_BYTES = 6
"""AA 55 and the number of the pattern."""


def is_blockfile(_: Path, begin: bytes) -> bool:
    """Tell whether a file begins as a block file does."""
    return begin.startswith(MAGIC)


def read_blockfile(path: Path) -> VendorFrames:
    """Return the patterns of a block file in the order of the scan, mapped from the file.

    Raises
    ------
    SourceError
        If the header is damaged, or no pattern is whole.
    """
    with path.open("rb") as stream:
        begin = stream.read(HEADER.itemsize)
    if len(begin) < HEADER.itemsize:
        raise SourceError(f"{path.name}: ends within its header", "copy the file again")
    header = np.frombuffer(begin, dtype=HEADER, count=1)[0]
    rows, columns, edge, place = (int(header[name]) for name in ("rows", "columns", "pattern_px", "offset_patterns"))
    checked_shape(path, 1, edge, edge)
    record = np.dtype([("prefix", f"V{PREFIX_BYTES}"), ("image", "u1", (edge, edge))])
    whole = min(rows * columns, (path.stat().st_size - place) // record.itemsize)
    shape = checked_shape(path, whole, edge, edge)
    short = f"the file ends early: {whole} of {rows * columns} patterns are whole, the others are lost"
    found = FrameHeader(
        format="NanoMegas block file",
        shape=shape,
        dtype=np.dtype(np.uint8),
        stated=statements(
            energy_kev=float(header["energy"]) / 1e3, camera_length_mm=float(header["camera_length"]) / 10.0
        ),
        scan=(rows, columns) if whole == rows * columns and min(rows, columns) > 1 else None,
        words={
            "step_nm": float(header["step_x"]),
            "rotation_deg": float(header["scan_rotation"]) / 100.0,
            "pixels_per_cm": int(header["px_per_cm"]) / 100.0,
        },
        notes=() if whole == rows * columns else (short,),
    )
    return VendorFrames(found, np.memmap(path, dtype=record, mode="r", offset=place, shape=(whole,))["image"])


def blockfile_header(path: Path) -> FrameHeader:
    """Return what a block file says; its pixels are mapped, not read.

    Raises
    ------
    SourceError
        If the header is damaged, or no pattern is whole.
    """
    return read_blockfile(path).header
