"""What the extended headers of MRC files state of each image: those of SerialEM, of FEI's EPU (FEI1, FEI2), of old FEI.

Sources: the MRC2014 page of CCP-EM; IMOD's page of the format for SerialEM's short integers and their flags, and for
the 32 numbers of the older FEI headers; mrcfile's types for FEI1 and FEI2.
"""

from pathlib import Path

import mrcfile
import numpy as np
from numpy.typing import NDArray

from adapters.formats.frame_header import statements

HEADER_BYTES = 1024
"""Of MRC, before the extended header."""
NINT_AT = 128 - 112
"""Place of two short integers in mrcfile's field `extra2`: bytes and flags of SerialEM, or numbers of integers and
reals."""
TILT_FLAG = 1
"""The first of SerialEM's flags: the tilt, in hundredths of a degree, comes first."""
FLAG_BYTES = {1: 2, 2: 6, 4: 4, 8: 2, 16: 2, 32: 4}
"""Of tilt, piece, stage, magnification, intensity, dose; an image's bytes are their sum, or the flags are others'."""
OLD_FEI_REALS = 32
"""Real numbers for each image in headers of FEI before FEI1: tilts first, the tension as the fourteenth, in volts."""
OLD_FEI_TENSION = 13
"""Place of the tension, counted from 0."""
FEI_TYPES = (b"FEI1", b"FEI2")
TILTS_DEG = 180.0
"""A tilt of a stage is less: numbers beyond it are others' bytes."""
SAME_IMAGE = 1e-9
"""Of the size, by which the statements of images must agree to count for the file: they are copies of one number."""


def extended_statements(path: Path, header: np.ndarray, count: int) -> tuple[dict[str, float], tuple[float, ...]]:
    """Return what an extended header states by the manifest's names, and the tilt of each of `count` images."""
    size = int(header["nsymbt"])
    if size <= 0 or size > path.stat().st_size - HEADER_BYTES:
        return {}, ()
    with path.open("rb") as stream:
        stream.seek(HEADER_BYTES)
        content = stream.read(size)
    order = header.dtype["nx"].byteorder
    if bytes(header["exttyp"]) in FEI_TYPES:
        return _fei(content, bytes(header["exttyp"]), order, count)
    each, flags = np.frombuffer(header["extra2"].tobytes()[NINT_AT : NINT_AT + 4], dtype=f"{order}i2").tolist()
    if each == 0 and flags == OLD_FEI_REALS:
        return _old_fei(content, order, count)
    if flags & TILT_FLAG and each == sum(number for flag, number in FLAG_BYTES.items() if flags & flag):
        return {}, _serialem_tilts(content, order, each, count)
    return {}, ()


def _serialem_tilts(content: bytes, order: str, each: int, count: int) -> tuple[float, ...]:
    if len(content) < each * count:
        return ()
    words = np.frombuffer(content, dtype=np.uint8, count=each * count).reshape(count, each)[:, :2]
    return _tilts(np.ascontiguousarray(words).view(f"{order}i2")[:, 0] / 100.0)


def _old_fei(content: bytes, order: str, count: int) -> tuple[dict[str, float], tuple[float, ...]]:
    if len(content) < 4 * OLD_FEI_REALS * count:
        return {}, ()
    reals = np.frombuffer(content, dtype=f"{order}f4", count=OLD_FEI_REALS * count).reshape(count, OLD_FEI_REALS)
    tension = _common(reals[:, OLD_FEI_TENSION].astype(np.float64))
    return statements(energy_kev=None if tension is None else tension / 1e3), _tilts(reals[:, 0].astype(np.float64))


def _fei(content: bytes, kind: bytes, order: str, count: int) -> tuple[dict[str, float], tuple[float, ...]]:
    dtype = mrcfile.dtypes.get_ext_header_dtype(kind, order)
    each = int(np.frombuffer(content, dtype=f"{order}i4", count=1)[0]) if len(content) >= 4 else 0
    if each < dtype.itemsize or len(content) < each * count:
        return {}, ()
    records = np.ndarray((count,), dtype, content, strides=(each,))
    tension, length = (_common(records[name].astype(np.float64)) for name in ("HT", "Camera length"))
    stated = statements(
        energy_kev=None if tension is None else tension / 1e3, camera_length_mm=None if length is None else length * 1e3
    )
    return stated, _tilts(records["Alpha tilt"].astype(np.float64))


def _common(values: NDArray[np.float64]) -> float | None:
    """Return the number that all images state, None if they differ."""
    first = float(values[0])
    same = np.isfinite(first) and bool((np.abs(values - first) <= SAME_IMAGE * abs(first)).all())
    return float(f"{first:.7g}") if same and first > 0 else None


def _tilts(angles: NDArray[np.float64]) -> tuple[float, ...]:
    if not (np.isfinite(angles) & (np.abs(angles) <= TILTS_DEG)).all():
        return ()
    return tuple(float(f"{angle:.7g}") for angle in angles.tolist())
