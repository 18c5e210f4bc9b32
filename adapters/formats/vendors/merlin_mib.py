"""Merlin MIB of Quantum Detectors: integers of 8 to 64 bits, and raw counters of 1, 6, 12 and 24 bits.

Sources: Merlin's manual (Quantum Detectors), the headers of real files, and the layout of raw data that LiberTEM
describes: the counters of a row leave the chip in groups, the last pixel of each group first; a raw quad has its four
chips side by side in a row, the lower two turned by half a turn.

The row at the bottom is stored first: images are turned as Merlin shows them, and RosettaSciIO too.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.formats.frame_header import FrameHeader, VendorFrames, checked_shape
from adapters.formats.image_shape import check_size
from adapters.formats.vendors.neighbours import neighbour
from tasks.model import SourceError

MAGIC = b"MQ1,"
HEADER_BYTES = range(128, 65536)
"""A header has 384 bytes for one chip and 768 for four. Chosen, not measured: what claims more is damaged."""
STORED = {"U01": ">u1", "U08": ">u1", "U16": ">u2", "U32": ">u4", "U64": ">u8"}
RAW = "R64"
GROUP = {1: 64, 6: 8, 12: 4, 24: 4}
"""Pixels in a word of 64 bits, by counter depth in bits: within a word the last pixel comes first."""
RAW_TYPE = {1: "u1", 6: "u1", 12: "u2", 24: "u4"}
DEPTH_FIELD = re.compile(r"ns,(\d+)")
HDR_BYTES = 65536
"""Read of the .hdr beside the frames, which has 2 kB."""


class MibLayout(NamedTuple):
    """How the images lie in the file: `stored` is the shape in which a raw image leaves the chips."""

    header_bytes: int
    frame_bytes: int
    stored: tuple[int, int]
    shape: tuple[int, int]
    dtype: np.dtype[np.unsignedinteger]
    raw_depth: int | None
    images: int


def is_mib(_: Path, begin: bytes) -> bool:
    """Tell whether a file begins as MIB does."""
    return begin.startswith(MAGIC)


def mib_layout(path: Path) -> MibLayout:
    """Return how the images lie in a MIB file.

    Raises
    ------
    SourceError
        If the header is damaged, or no image is whole.
    """
    with path.open("rb") as stream:
        text = stream.read(HEADER_BYTES.stop).decode("latin-1")
    words = text.split(",")
    try:
        size, chips, columns, rows = (int(word) for word in words[2:6])
        kind, layout = words[6:8]
    except (ValueError, IndexError) as error:
        raise SourceError(
            f"{path.name}: the MIB header is damaged: its first fields are not sizes, shape and type of pixels",
            "copy the file again",
        ) from error
    if size not in HEADER_BYTES or not (kind in STORED or kind == RAW):
        raise SourceError(f"{path.name}: a MIB header of {size} bytes, pixels {kind!r}", "copy the file again")
    checked_shape(path, 1, rows, columns)
    if kind == RAW:
        return _raw(path, text[:size], (rows, columns), size, quad=chips == 4 and layout.strip().startswith("2x2"))
    dtype: np.dtype[np.unsignedinteger] = np.dtype(STORED[kind])
    frame = rows * columns * dtype.itemsize
    count = path.stat().st_size // (size + frame)
    return MibLayout(size, frame, (rows, columns), (rows, columns), dtype, None, count)


def _raw(path: Path, text: str, stored: tuple[int, int], size: int, *, quad: bool) -> MibLayout:
    found = DEPTH_FIELD.search(text)
    depth = int(found.group(1)) if found else 0
    if depth not in GROUP:
        raise SourceError(f"{path.name}: raw counters of {depth} bits", "export it from Merlin's program as U16 or U32")
    rows, columns = stored
    if depth == 24:
        if quad:
            raise SourceError(
                f"{path.name}: raw counters of 24 bits of a quad, whose order nobody documents",
                "export it from Merlin's program as U32",
            )
        columns //= 2  # two images of 12 bits, one after the other, are stated as one of twice the width
    if columns % (GROUP[depth] * (4 if quad else 1)) or not columns:
        raise SourceError(f"{path.name}: rows of {columns} raw counters of {depth} bits", "copy the file again")
    bits = {1: 1, 6: 8, 12: 16, 24: 32}[depth]
    frame = rows * columns * bits // 8
    shape = (rows * 2, columns // 2) if quad else (rows, columns)
    count = path.stat().st_size // (size + frame)
    dtype: np.dtype[np.unsignedinteger] = np.dtype(RAW_TYPE[depth])
    return MibLayout(size, frame, (rows, columns), shape, dtype, depth, count)


def read_mib(path: Path) -> VendorFrames:
    """Return the images of a MIB file: mapped, or decoded where they are raw.

    Raises
    ------
    SourceError
        If the header is damaged, or no image is whole.
    """
    layout, header = mib_layout(path), mib_header(path)
    if layout.raw_depth is None:
        record = np.dtype([("header", f"V{layout.header_bytes}"), ("image", layout.dtype, layout.shape)])
        return VendorFrames(header, np.memmap(path, dtype=record, mode="r", shape=(layout.images,))["image"][:, ::-1])
    check_size(path, layout.images * layout.shape[0] * layout.shape[1] * layout.dtype.itemsize)
    images = np.empty((layout.images, *layout.shape), dtype=layout.dtype)
    record = np.dtype([("header", f"V{layout.header_bytes}"), ("image", "u1", (layout.frame_bytes,))])
    stored = np.memmap(path, dtype=record, mode="r", shape=(layout.images,))["image"]
    for image, counters in zip(images, stored, strict=True):
        image[...] = raw_image(np.asarray(counters), layout)
    return VendorFrames(header, images)


def raw_image(counters: NDArray[np.uint8], layout: MibLayout) -> NDArray[np.unsignedinteger]:
    """Return one image, (slow, fast), as it is shown, from the bytes of its raw counters."""
    depth = layout.raw_depth or 12
    rows, columns = layout.stored
    if depth == 1:
        words = counters.reshape(rows, columns // 64, 8)[..., ::-1]
        image = np.unpackbits(np.ascontiguousarray(words), axis=-1, bitorder="little").reshape(rows, columns)
    elif depth == 6:
        image = counters.reshape(rows, columns // 8, 8)[..., ::-1].reshape(rows, columns)
    else:
        parts = counters.view(">u2").reshape(-1, rows, columns // 4, 4)[..., ::-1].reshape(-1, rows, columns)
        image = parts[0] if depth == 12 else (parts[0].astype(np.uint32) << 12) + parts[1]
    if layout.shape == layout.stored:
        return image[::-1].astype(layout.dtype)
    four, three, two, one = np.split(image, 4, axis=1)
    below = np.hstack([three[::-1, ::-1], four[::-1, ::-1]])
    return np.vstack([np.hstack([one, two]), below])[::-1].astype(layout.dtype)


def mib_header(path: Path) -> FrameHeader:
    """Return what a MIB file says, and the .hdr beside it: neither knows energy, lengths or angles.

    Raises
    ------
    SourceError
        If the header is damaged, or no image is whole.
    """
    layout = mib_layout(path)
    shape = checked_shape(path, layout.images, *layout.shape)
    text = _hdr(path)
    acquired, trigger = _whole(text, "Frames in Acquisition"), _whole(text, "Frames per Trigger")
    notes = []
    if acquired is not None and acquired > layout.images:
        notes.append(f"the file ends early: {layout.images} of {acquired} images are whole, the others are lost")
    scanned = trigger is not None and 1 < trigger < layout.images and layout.images % trigger == 0
    depth = f", raw counters of {layout.raw_depth} bits" if layout.raw_depth else ""
    return FrameHeader(
        format=f"Merlin MIB{depth}",
        shape=shape,
        dtype=layout.dtype,
        scan=(layout.images // trigger, trigger) if scanned and trigger is not None else None,
        notes=tuple(notes),
    )


def _hdr(path: Path) -> str:
    beside = neighbour(path, path.with_suffix(".hdr").name)
    if beside is None:
        return ""
    with beside.open("rb") as stream:
        return stream.read(HDR_BYTES).decode("latin-1")


def _whole(text: str, name: str) -> int | None:
    found = re.search(rf"^{name}[^:\n]*:\s*(\d{{1,9}})\s*$", text, flags=re.MULTILINE)
    return int(found.group(1)) if found else None
