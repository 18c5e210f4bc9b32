"""Scans of counts written in the formats of detectors, after their published layouts: what readers are tested with."""

from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from tests.synthetic.camera_files import raw_counters
from tests.synthetic.camera_files import write_mib as write_stack

Counts = NDArray[np.integer]
"""(rows, columns, slow, fast), flyback included."""


def sparse_counts(seed: int, scan: tuple[int, int], frame: tuple[int, int], *, mean: float = 0.05) -> Counts:
    """Return Poisson counts, most of them zero, at least one of them several electrons."""
    counts = np.random.default_rng(seed).poisson(mean, (*scan, *frame))
    counts[0, 0, 1, 2] = 3
    return counts


def write_mib(path: Path, counts: Counts, *, kind: str = "U08", quad: bool = False) -> Path:
    """Write Merlin's frames with their headers, the last row first, as Merlin stores them."""
    frames = counts.reshape(-1, *counts.shape[-2:])
    rows, columns = frames.shape[1:]
    size, layout = (768, "   2x2") if quad else (384, "   1x1")
    with path.open("wb") as stream:
        for number, frame in enumerate(frames, 1):
            head = f"MQ1,{number:06d},{size:05d},{4 if quad else 1:02d},{columns:04d},{rows:04d},{kind},{layout},01,"
            head += "2026-01-02 03:04:05.000000,0.001000,0,0,0,"
            stream.write(
                head.encode().ljust(size - 60) + b",MQ1A,2026-01-02T03:04:05.000000000Z,1000000ns,6,".ljust(60)
            )
            stream.write(frame[::-1].astype({"U08": ">u1", "U16": ">u2", "U32": ">u4"}[kind]).tobytes())
    return path


def write_arina(
    path: Path,
    counts: Counts,
    *,
    per_file: int = 7,
    dtype: str = "u4",
    mask: NDArray[np.integer] | None = None,
    depth: int | None = None,
) -> Path:
    """Write a master, whose name ends with ``_master.h5``, and files of frames with bitshuffle and LZ4 beside it."""
    frames = counts.reshape(-1, *counts.shape[-2:]).astype(dtype)
    stem = path.name.removesuffix("_master.h5")
    with h5py.File(path, "w") as master:
        data = master.create_group("entry/data")
        detector = master.create_group("entry/instrument/detector/detectorSpecific")
        detector["pixel_mask"] = np.zeros(frames.shape[1:], np.uint32) if mask is None else mask.astype(np.uint32)
        if depth is not None:
            master["entry/instrument/detector/bit_depth_image"] = np.uint16(depth)
        for number, begin in enumerate(range(0, len(frames), per_file), 1):
            name, part = f"{stem}_data_{number:06d}.h5", frames[begin : begin + per_file]
            data[f"data_{number:06d}"] = h5py.ExternalLink(name, "/entry/data/data")
            with h5py.File(path.parent / name, "w") as file:
                stack = file.create_dataset(
                    "entry/data/data", data=part, chunks=(1, *part.shape[1:]), **hdf5plugin.Bitshuffle(cname="lz4")
                )
                stack.attrs["image_nr_low"], stack.attrs["image_nr_high"] = begin + 1, begin + len(part)
    return path


def write_empad(path: Path, values: NDArray[np.floating]) -> Path:
    """Write EMPAD's .xml and its .raw, (rows, columns, 128, 128) float32, each frame with two rows of other numbers."""
    rows, columns = values.shape[:2]
    raw = path.with_name(f"{path.stem}_x{columns}_y{rows}.raw")
    stored = np.full((rows, columns, 130, 128), 7e6, dtype="<f4")
    stored[:, :, :128] = values
    stored.tofile(raw)
    path.write_text(
        f'<?xml version="1.0" encoding="UTF-8"?>\n<root><raw_file filename="{raw.name}"/>\n'
        f"<pix_x>{columns}</pix_x><pix_y>{rows}</pix_y>\n"
        "<timestamp isoformat='2026-01-02T03:04:05'/></root>\n"
    )
    return path


def write_hyperspy(path: Path, values: NDArray[np.generic], *, chunks: tuple[int, ...] | None = None) -> Path:
    """Write a scan as HyperSpy's HDF5 holds it."""
    with h5py.File(path, "w") as file:
        file.attrs["file_format"], file.attrs["file_format_version"] = "HyperSpy", "3.3"
        experiment = file.create_group("Experiments/scan")
        experiment.create_dataset("data", data=values, chunks=chunks, compression="gzip" if chunks else None)
        for name in ("metadata/General", "metadata/Signal", "original_metadata"):
            experiment.create_group(name)
        for number, (name, size) in enumerate(zip(("y", "x", "ky", "kx"), values.shape, strict=True)):
            axis = experiment.create_group(f"axis-{number}")
            axis.attrs["name"], axis.attrs["size"], axis.attrs["navigate"] = name, size, number < 2
    return path


def write_blockfile(path: Path, values: NDArray[np.integer]) -> Path:
    """Write NanoMEGAS' images of 8 bits, (rows, columns, n, n), through RosettaSciIO's table of the header."""
    from rsciio.blockfile._api import get_header_dtype_list

    rows, columns, size = values.shape[:3]
    header = np.zeros(1, np.dtype(get_header_dtype_list()))
    header["ID"], header["MAGIC"], header["Data_offset_1"], header["Data_offset_2"] = b"IMGBLO", 0x0102, 4096, 8192
    header["DP_SZ"], header["NX"], header["NY"] = size, columns, rows
    with path.open("wb") as stream:
        stream.write(header.tobytes().ljust(8192, b"\0"))
        for number, frame in enumerate(values.reshape(-1, size, size)):
            stream.write(b"\xaa\x55" + number.to_bytes(4, "little") + frame.astype(np.uint8).tobytes())
    return path


def write_tpx3(path: Path, packets: list[tuple[int, int]], *, per_chunk: int = 50) -> Path:
    """Write packets, each with its chip, in chunks of at most so many, a new one where the chip changes."""
    with path.open("wb") as stream:
        begin = 0
        while begin < len(packets):
            chip = packets[begin][0]
            chunk = [word for other, word in packets[begin : begin + per_chunk]]
            same = next((at for at, (other, _) in enumerate(packets[begin:]) if other != chip), len(packets) - begin)
            chunk = chunk[:same]
            head = 0x33585054 | chip << 32 | (8 * len(chunk)) << 48
            stream.write(np.array([head, *chunk], dtype="<u8").tobytes())
            begin += len(chunk)
    return path


def hit_packet(time_ns: float, row: int, column: int, tot: int) -> int:
    """Return the packet of a hit; 1.5625 ns are the finest step of its time."""
    fine_steps = round(time_ns / 1.5625)
    coarse = -(-fine_steps // 16)  # fine ToA counts backwards
    column_pair, quad_rows = column // 2, row // 4
    address = column_pair << 9 | quad_rows << 3 | (column % 2) << 2 | row % 4
    coarse_again, fine = coarse % 2**30, coarse * 16 - fine_steps
    return 0xB << 60 | address << 44 | (coarse_again & 0x3FFF) << 30 | tot << 20 | fine << 16 | coarse_again >> 14


def edge_packet(time_ns: float, *, kind: int = 0xF, count: int = 0) -> int:
    """Return the packet of an edge of a TDC input; 0xF is the rising edge of the first."""
    steps = round(time_ns / 3.125)
    return 0x6 << 60 | kind << 56 | (count % 4096) << 44 | (steps % 2**35) << 9 | 1 << 5


def write_offsets(path: Path, centres: NDArray[np.floating], *, name: str = "vacuum_COM") -> Path:
    """Write offsets (2, rows, columns), along (fast, slow), as ncempy's `fileEMD.put_emdgroup` does."""
    with h5py.File(path, "w") as file:
        file.attrs["version_major"], file.attrs["version_minor"] = 0, 2
        for group in ("microscope", "sample", "user", "comments"):
            file.create_group(group)
        place = file.create_group(f"data/{name}")
        place.attrs["emd_group_type"] = 1
        place["data"] = centres
        for number, extent in enumerate(centres.shape, 1):
            place[f"dim{number}"] = np.arange(extent)
            place[f"dim{number}"].attrs["name"], place[f"dim{number}"].attrs["units"] = f"dim{number}", "pixels"
    return path


def write_raw_mib(path: Path, counts: Counts, *, depth: int) -> Path:
    """Write raw counters of one chip as they leave it."""
    frames = counts.reshape(-1, *counts.shape[-2:])
    rows, columns = frames.shape[1:]
    return write_stack(
        path,
        [raw_counters(frame[::-1], depth) for frame in frames],
        columns=columns * (2 if depth == 24 else 1),
        rows=rows,
        kind="R64",
        depth=depth,
    )
