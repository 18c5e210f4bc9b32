"""Series of images of FEI's TIA: .ser with the pixels, .emi beside it with the microscope's state.

Sources: the description of the series data format in TIA's help (file tags, calibration, element offsets), as
RosettaSciIO reads it. RosettaSciIO makes room for as many elements as a header claims, and parses the .emi as XML;
here the pixels are mapped within the bounds of the file, and the few values are cut out of the text. The row at the
bottom is stored first: images are turned as TIA shows them, and RosettaSciIO too.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adapters.formats.frame_header import FrameHeader, VendorFrames, checked_shape, statements
from adapters.formats.image_shape import check_size
from adapters.formats.vendors.neighbours import neighbour
from tasks.model import SourceError

MAGIC = b"II\x97\x01"
IMAGES = 0x4122
"""DataTypeID of series of images; 0x4120 are spectra."""
LONG_OFFSETS = 0x220
"""SeriesVersion from which offsets have eight bytes."""
ELEMENT = np.dtype([
    ("x", "<f8"), ("dx", "<f8"), ("ix", "<i4"), ("y", "<f8"), ("dy", "<f8"), ("iy", "<i4"),
    ("type", "<u2"), ("columns", "<u4"), ("rows", "<u4"),
])  # fmt: skip
STORED = {1: "<u1", 2: "<u2", 3: "<u4", 4: "<i1", 5: "<i2", 6: "<i4", 7: "<f4", 8: "<f8"}
"""By the element's DataType; 9 and 10 are complex."""
HEADER_BYTES = 2**20
"""In which a header with its dimensions must lie. Chosen, not measured: it has a hundred bytes."""
EMI_BYTES = 64 * 2**20
"""Read of an .emi: it holds a preview beside the text. Chosen, not measured."""
UNITS = {"kV": 1.0, "V": 1e-3, "m": 1e3, "mm": 1.0, "cm": 10.0, "deg": 1.0}
"""Into keV, mm and degrees."""


def is_ser(_: Path, begin: bytes) -> bool:
    """Tell whether a file begins as a series of TIA does."""
    return begin.startswith(MAGIC)


def read_ser(path: Path) -> VendorFrames:
    """Return the images of a series, mapped from the file.

    Raises
    ------
    SourceError
        If the header is damaged, it holds spectra, or no image is whole.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        begin = stream.read(HEADER_BYTES)
    try:
        offsets, dimensions = _places(path, begin, size)
        first = np.frombuffer(_at(path, int(offsets[0]), ELEMENT.itemsize), dtype=ELEMENT, count=1)[0]
        dtype = np.dtype(STORED[int(first["type"])])
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise SourceError(
            f"{path.name}: the header of the series is damaged: {error}", "copy the file again"
        ) from error
    _, rows, columns = checked_shape(path, 1, int(first["rows"]), int(first["columns"]))
    within = offsets + (ELEMENT.itemsize + rows * columns * dtype.itemsize) <= size
    count = len(offsets) if within.all() else int(np.argmin(within))
    shape = checked_shape(path, count, rows, columns)
    notes = () if count == len(offsets) else (
        f"the file ends early: {count} of {len(offsets)} images are whole, the others are lost",
    )  # fmt: skip
    words, angles = emi_words(path)
    scan = (dimensions[1], dimensions[0]) if len(dimensions) == 2 and min(dimensions) > 1 else None
    header = FrameHeader(
        format="FEI TIA series (SER)",
        shape=shape,
        dtype=dtype,
        stated=words,
        angles_deg=angles,
        scan=scan if scan is not None and scan[0] * scan[1] == count else None,
        notes=notes,
    )
    return VendorFrames(header, _mapped(path, offsets[:count].astype(np.int64), shape, dtype))


def ser_header(path: Path) -> FrameHeader:
    """Return what a series says; its pixels are mapped, not read.

    Raises
    ------
    SourceError
        If the header is damaged, it holds spectra, or no image is whole.
    """
    return read_ser(path).header


def _places(path: Path, begin: bytes, size: int) -> tuple[NDArray[np.uint64], list[int]]:
    """Return where the elements begin, and the sizes of the series' dimensions."""
    version, data_type = (
        int(np.frombuffer(begin, dtype=kind, count=1, offset=at)[0]) for kind, at in (("<u2", 4), ("<u4", 6))
    )
    if data_type != IMAGES:
        raise SourceError(f"{path.name}: holds a series of spectra, not of images", "name the files of the frames")
    valid = int(np.frombuffer(begin, dtype="<u4", count=1, offset=18)[0])
    kind = np.dtype("<u8" if version >= LONG_OFFSETS else "<u4")
    table = int(np.frombuffer(begin, dtype=kind, count=1, offset=22)[0])
    place = 22 + kind.itemsize
    number = int(np.frombuffer(begin, dtype="<u4", count=1, offset=place)[0])
    place += 4
    dimensions = []
    for _ in range(min(number, 4)):
        dimensions.append(int(np.frombuffer(begin, dtype="<u4", count=1, offset=place)[0]))
        place += 24
        for _ in ("description", "units"):
            place += 4 + int(np.frombuffer(begin, dtype="<u4", count=1, offset=place)[0])
    if valid < 1 or table + valid * kind.itemsize > size:
        raise SourceError(f"{path.name}: claims {valid} images, for which it is too short", "copy the file again")
    return np.frombuffer(_at(path, table, valid * kind.itemsize), dtype=kind).astype(np.uint64), dimensions


def _at(path: Path, place: int, count: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(place)
        return stream.read(count)


def _mapped(
    path: Path, offsets: NDArray[np.int64], shape: tuple[int, int, int], dtype: np.dtype[np.generic]
) -> NDArray[np.number]:
    """Return the images as one array: mapped where they are equally far apart, as they are in use."""
    steps = np.diff(offsets)
    frame = shape[1] * shape[2] * dtype.itemsize
    if len(steps) == 0 or ((steps == steps[0]).all() and steps[0] >= frame):
        step = int(steps[0]) if len(steps) else frame
        content = np.memmap(path, dtype=np.uint8, mode="r")
        strides = (step, shape[2] * dtype.itemsize, dtype.itemsize)
        return np.ndarray(shape, dtype, content, int(offsets[0]) + ELEMENT.itemsize, strides)[:, ::-1]
    check_size(path, frame * shape[0])
    count, places = shape[1] * shape[2], (offsets + ELEMENT.itemsize).tolist()
    images = [np.fromfile(path, dtype=dtype, count=count, offset=place).reshape(shape[1:]) for place in places]
    return np.stack(images)[:, ::-1]


def emi_words(path: Path) -> tuple[dict[str, float], tuple[float, ...]]:
    """Return what the .emi beside a series states, and the stage's tilt in degrees; `x_1.ser` belongs to `x.emi`."""
    beside = neighbour(path, re.sub(r"_\d+$", "", path.stem) + ".emi")
    if beside is None:
        return {}, ()
    with beside.open("rb") as stream:
        text = stream.read(EMI_BYTES).decode("latin-1")
    tilt = _labelled(text, "Stage A")
    stated = statements(energy_kev=_labelled(text, "High tension"), camera_length_mm=_labelled(text, "Camera length"))
    return stated, () if tilt is None else (tilt + 0.0,)


def _labelled(text: str, label: str) -> float | None:
    found = re.search(rf"<Label>{label}</Label><Value>\s*([-+.\deE]{{1,30}})\s*</Value><Unit>(\w{{1,5}})</Unit>", text)
    try:
        return None if found is None else float(f"{float(found.group(1)) * UNITS[found.group(2)]:.9g}")
    except (ValueError, KeyError):
        return None
