"""TVIPS streams (EM-TOOLS, Recorder): a general header, then records of a frame's header and pixels, in several parts.

The layout is that of versions 1 and 2 as RosettaSciIO reads it. RosettaSciIO holds all parts in memory and goes by
dask; here one part is mapped, and several are joined.
"""

import re
from pathlib import Path

import numpy as np

from adapters.formats.frame_header import FrameHeader, VendorFrames, checked_shape, statements
from adapters.formats.image_shape import check_size
from adapters.formats.vendors.neighbours import neighbour
from tasks.model import SourceError

GENERAL = np.dtype([
    ("size", "<u4"), ("version", "<u4"), ("dimx", "<u4"), ("dimy", "<u4"), ("bitsperpixel", "<u4"), ("offsetx", "<u4"),
    ("offsety", "<u4"), ("binx", "<u4"), ("biny", "<u4"), ("pixelsize", "<u4"), ("ht", "<u4"), ("magtotal", "<u4"),
    ("frameheaderbytes", "<u4"),
])  # fmt: skip
RECORD = [
    ("num", "<u4"), ("timestamp", "<u4"), ("ms", "<u4"), ("lut", "<u4"), ("current", "<f4"), ("mag", "<u4"),
    ("mode", "<u4"), ("stagex", "<f4"), ("stagey", "<f4"), ("stagez", "<f4"), ("stagea", "<f4"), ("stageb", "<f4"),
    ("rotidx", "<u4"), ("temperature", "<f4"), ("objective", "<f4"),
]  # fmt: skip
FIRST_VERSION_BYTES = 12
"""A frame's header of version 1 has number, seconds and milliseconds only."""
LARGEST_HEADER = 2**16
"""Bytes of either header; 256 and 60 to 116 in use. Chosen, not measured: what claims more is damaged."""
VOLT_FROM = 2000
"""`ht` is in kV; programs that fill it in volts write more than any microscope has kilovolts."""
PARTS_MOST = 1000
"""Parts are numbered by three digits."""


def is_tvips(path: Path, begin: bytes) -> bool:
    """Tell whether a file is the first part of a stream."""
    if path.suffix.lower() != ".tvips" or len(begin) < GENERAL.itemsize:
        return False
    version, bits = np.frombuffer(begin, dtype=GENERAL, count=1)[0][["version", "bitsperpixel"]].item()
    return version in (1, 2) and bits in (8, 16, 32)


def read_tvips(path: Path) -> VendorFrames:
    """Return the images of a stream whose first part is `path`: mapped, or joined in memory where it has several.

    Raises
    ------
    SourceError
        If a header is damaged, or no image is whole.
    """
    header, parts = _opened(path)
    if len(parts) == 1:
        return VendorFrames(header, parts[0]["image"])
    check_size(path, sum(part["image"].nbytes for part in parts))
    return VendorFrames(header, np.concatenate([part["image"] for part in parts]))


def tvips_header(path: Path) -> FrameHeader:
    """Return what a stream says.

    Raises
    ------
    SourceError
        If a header is damaged, or no image is whole.
    """
    return _opened(path)[0]


def _opened(path: Path) -> tuple[FrameHeader, list[np.memmap]]:
    """Return the header, and the records of each part, mapped."""
    general, record = _layout(path)
    begins = (int(general["size"]), *(0 for _ in range(PARTS_MOST)))
    parts = [_mapped(part, record, begin=begin) for part, begin in zip(_parts(path), begins, strict=False)]
    angles: tuple[float, ...] = ()
    if "stagea" in (record.names or ()):
        measured = np.concatenate([np.asarray(part["stagea"]) for part in parts])
        angles = tuple(float(f"{angle:.7g}") for angle in measured.tolist()) if np.isfinite(measured).all() else ()
    rows, columns = record["image"].shape
    header = FrameHeader(
        format="TVIPS stream",
        shape=checked_shape(path, sum(len(part) for part in parts), rows, columns),
        dtype=record["image"].base,
        stated=_stated(general),
        angles_deg=angles,
        words={"binning": [int(general["binx"]), int(general["biny"])], "magtotal": int(general["magtotal"])},
    )
    return header, parts


def _layout(path: Path) -> tuple[np.void, np.dtype[np.void]]:
    with path.open("rb") as stream:
        begin = stream.read(GENERAL.itemsize)
    if len(begin) < GENERAL.itemsize:
        raise SourceError(f"{path.name}: ends within its header", "copy the file again")
    general = np.frombuffer(begin, dtype=GENERAL, count=1)[0]
    version, bits = int(general["version"]), int(general["bitsperpixel"])
    _, rows, columns = checked_shape(path, 1, int(general["dimy"]), int(general["dimx"]))
    size = FIRST_VERSION_BYTES if version == 1 else int(general["frameheaderbytes"])
    fields = RECORD[:3] if version == 1 else RECORD
    rest = size - np.dtype(fields).itemsize
    sane = version in (1, 2) and bits in (8, 16, 32) and 0 <= rest <= LARGEST_HEADER
    if not (sane and GENERAL.itemsize <= int(general["size"]) <= LARGEST_HEADER):
        raise SourceError(f"{path.name}: the header of the TVIPS stream is damaged", "copy the file again")
    return general, np.dtype([*fields, ("rest", f"V{rest}"), ("image", f"<u{bits // 8}", (rows, columns))])


def _parts(path: Path) -> list[Path]:
    """Return the first part and those that follow it in the folder."""
    found, name = [path], re.fullmatch(r"(.+_)000(\.tvips)", path.name, flags=re.IGNORECASE)
    if name:
        for number in range(1, PARTS_MOST):
            part = neighbour(path, f"{name.group(1)}{number:03d}{name.group(2)}")
            if part is None:
                break
            found.append(part)
    return found


def _mapped(part: Path, record: np.dtype[np.void], *, begin: int) -> np.memmap:
    count = (part.stat().st_size - begin) // record.itemsize
    if count < 1:
        raise SourceError(f"{part.name}: ends before its first image is whole", "copy the file again")
    return np.memmap(part, dtype=record, mode="r", offset=begin, shape=(count,))


def _stated(general: np.void) -> dict[str, float]:
    """Return what the general header states; the pixel's size is that of the chip, and taken where it is not binned."""
    tension = float(general["ht"])
    chip = float(general["pixelsize"]) * 1e-6 if int(general["binx"]) == int(general["biny"]) == 1 else None
    return statements(energy_kev=tension / 1e3 if tension > VOLT_FROM else tension, pixel_size_mm=chip)
