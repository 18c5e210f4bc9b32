"""Files of cameras by their published layouts: Merlin, TVIPS, TIA, block files, Velox."""

import json
import struct
from pathlib import Path

import h5py
import numpy as np

BITS = {1: 1, 6: 8, 12: 16}
"""Bits in which a raw counter of Merlin is stored, by its depth."""


def write_mib(
    path: Path, blocks: list[bytes], *, columns: int, rows: int, kind: str, depth: int, chips: int = 1
) -> Path:
    """Write MIB as the headers of real files are: `columns` and `rows` are what the header states."""
    size, layout = (384, "   1x1") if chips == 1 else (768, "   2x2")
    with path.open("wb") as stream:
        for number, block in enumerate(blocks, start=1):
            words = (
                f"MQ1,{number:06d},{size:05d},{chips:02d},{columns:04d},{rows:04d},{kind},{layout},01,2021-05-07 "
                f"18:51:10,0.1,0,0,0,4.0E+1,5.11E+2,3RX,068,511,MQ1A,2021-05-07T16:51:10.9Z,100000000ns,{depth},"
            )
            stream.write(words.encode().ljust(size) + block)
    return path


def raw_counters(image: np.ndarray, depth: int) -> bytes:
    """Return counters as they leave the chip, pixel by pixel: words of 64 bits, the last pixel first."""
    if depth == 24:
        return raw_counters(image >> 12, 12) + raw_counters(image & 0xFFF, 12)
    bits, out = BITS[depth], bytearray()
    for row in image.tolist():
        for at in range(0, len(row), 64 // bits):
            word = 0
            for pixel in reversed(row[at : at + 64 // bits]):
                word = word << bits | pixel
            out += word.to_bytes(8, "big")
    return bytes(out)


def write_tvips(path: Path, frames: np.ndarray, *, tilts: np.ndarray, parts: int = 1) -> Path:
    """Write a stream `NAME_000.tvips` of 16 bits at 200 kV, cut into parts."""
    general = np.zeros(64, dtype="<u4")
    general[:13] = (256, 2, frames.shape[2], frames.shape[1], 16, 0, 0, 1, 1, 55000, 200, 0, 64)
    record = np.dtype([("before", "V40"), ("tilt", "<f4"), ("after", "V20"), ("image", "<u2", frames.shape[1:])])
    records = np.zeros(len(frames), dtype=record)
    records["image"], records["tilt"] = frames, tilts
    for number, block in enumerate(np.array_split(records, parts)):
        begin = general.tobytes() if number == 0 else b""
        path.with_name(path.name.replace("_000", f"_{number:03d}")).write_bytes(begin + block.tobytes())
    return path


def write_ser(path: Path, frames: np.ndarray) -> Path:
    """Write a series of TIA of unsigned 16 bits, the last row first, with an .emi beside it."""
    begin = struct.pack("<HHHIIII", 0x4949, 0x0197, 0x0220, 0x4122, 0x4152, len(frames), len(frames))
    dimension = struct.pack("<IddI", len(frames), 0.0, 1.0, 0) + struct.pack("<I6sI", 6, b"Number", 0)
    first = len(begin) + 12 + len(dimension)
    element = struct.pack("<ddIddIHII", 0, 1, 0, 0, 1, 0, 2, frames.shape[2], frames.shape[1])
    step = len(element) + frames[0].nbytes + 8
    offsets = [first + step * index for index in range(len(frames))]
    body = b"".join(element + frame[::-1].astype("<u2").tobytes() + bytes(8) for frame in frames)
    tags = [offset + len(element) + frames[0].nbytes for offset in offsets]
    table = struct.pack(f"<{2 * len(offsets)}Q", *offsets, *tags)
    path.write_bytes(begin + struct.pack("<QI", first + len(body), 1) + dimension + body + table)
    words = "".join(
        f"<Data><Label>{label}</Label><Value>{value}</Value><Unit>{unit}</Unit></Data>"
        for label, value, unit in (("High tension", 200, "kV"), ("Camera length", 0.4361, "m"), ("Stage A", 3.5, "deg"))
    )
    path.with_name(f"{path.stem.removesuffix('_1')}.emi").write_text(f"<ObjectInfo>{words}</ObjectInfo>")
    return path


def write_velox(path: Path, frames: np.ndarray) -> Path:
    """Write Velox' EMD in diffraction at 200 kV, frames last."""
    state = {"Optics": {"AccelerationVoltage": "200000", "CameraLength": "0.4361", "ProjectorMode": "1"}}
    with h5py.File(path, "w") as file:
        group = file.create_group("Data/Image/0123456789abcdef")
        group.create_dataset("Data", data=np.moveaxis(frames, 0, -1), chunks=(*frames.shape[1:], 1))
        text = np.frombuffer(json.dumps(state).encode().ljust(1000, b"\0"), dtype=np.uint8)
        group["Metadata"] = np.repeat(text[:, None], len(frames), axis=1)
    return path
