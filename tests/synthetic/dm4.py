"""A DM4 file by the layout of its tags, as published: lengths are big-endian, data little-endian."""

import struct
from pathlib import Path

import numpy as np

TYPES = {"i4": 3, "f4": 6, "u2": 4, "f8": 7}
DATA_TYPES = {"uint16": 10, "int32": 7, "float32": 2}
ARRAY_TYPES = {"uint16": 4, "int32": 3, "float32": 6}


def _named(kind: int, name: str, body: bytes) -> bytes:
    return struct.pack(">BH", kind, len(name)) + name.encode() + struct.pack(">Q", len(body)) + body


def _data(name: str, info: list[int], content: bytes) -> bytes:
    return _named(21, name, b"%%%%" + struct.pack(f">{len(info) + 1}Q", len(info), *info) + content)


def _tag(name: str, value: object) -> bytes:
    if isinstance(value, dict):
        return _named(20, name, _group(value))
    if isinstance(value, np.ndarray):
        return _data(name, [20, ARRAY_TYPES[value.dtype.name], value.size], value.tobytes())
    if isinstance(value, str):
        content = value.encode("utf-16-le")
        return _data(name, [20, 4, len(value)], content)
    if isinstance(value, float):
        return _data(name, [7], struct.pack("<d", value))
    return _data(name, [3], struct.pack("<i", value))


def _group(tags: dict) -> bytes:
    body = b"".join(_tag("" if name.startswith("#") else name, value) for name, value in tags.items())
    return struct.pack(">BBQ", 1, 0, len(tags)) + body


def write_dm4(path: Path, frames: np.ndarray, **microscope: object) -> Path:
    """Write frames (n, slow, fast); `microscope` are tags of Microscope Info, underscores for blanks."""
    extents = {f"#{index}": int(size) for index, size in enumerate(reversed(frames.shape))}
    unit = {"Origin": 0.0, "Scale": 1.0, "Units": "px"}
    image = {
        "ImageData": {
            "Calibrations": {"Brightness": dict(unit), "Dimension": {name: dict(unit) for name in extents}},
            "Data": frames.ravel(),
            "DataType": DATA_TYPES[frames.dtype.name],
            "Dimensions": extents,
            "PixelDepth": frames.dtype.itemsize,
        },
        "ImageTags": {"Microscope Info": {name.replace("_", " "): value for name, value in microscope.items()}},
        "Name": "frames",
    }
    body = _group({"ImageList": {"#0": image}})
    path.write_bytes(struct.pack(">IQI", 4, len(body), 1) + body)
    return path
