"""Writing LiberTEM's raw_csr: scans of counted electrons as compressed sparse rows in three files and a TOML sidecar.

Source: LiberTEM's reference of data sets, "Raw CSR": rows are scan positions, columns detector pixels, both flattened
row by row; a value is how often a pixel counted at a position. The paths in the sidecar are beside it.
"""

from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from tasks.events.store import ScanEvents

POSITIONS_PER_BLOCK = 1 << 14
"""Scan positions sorted at once. Chosen, not measured: at 100 electrons each that is 13 MB of keys, and few turns of
the loop."""
INDPTR, INDICES = np.dtype("<i8"), np.dtype("<i4")
"""Types of the row pointers, as long scans hold more than 2^31 electrons, and of the columns, as in LiberTEM's page."""
VALUE_TYPES = (np.dtype("<u1"), np.dtype("<u2"), np.dtype("<u4"))
"""Of the counts: the smallest that holds the largest."""


def write_raw_csr(
    scan: ScanEvents, folder: Path, name: str, *, scan_shape: tuple[int, int], frame_shape: tuple[int, int]
) -> Path:
    """Write one scan as ``<name>.indptr.dat``, ``.indices.dat``, ``.values.dat`` and ``.toml``; return the last.

    Pixels of a position ascend; electrons of one pixel at one position are one value. Which camera frame an electron
    came in has no place in the format.

    Parameters
    ----------
    scan_shape, frame_shape
        (rows, columns) of the scan without flyback, and of the detector.
    """
    counts = _largest_counts(scan, frame_shape)
    kind = next(kind for kind in VALUE_TYPES if counts <= np.iinfo(kind).max)
    pointers = np.zeros(len(scan.offsets), dtype=INDPTR)
    with (folder / f"{name}.indices.dat").open("wb") as indices, (folder / f"{name}.values.dat").open("wb") as values:
        for first in range(0, len(scan.offsets) - 1, POSITIONS_PER_BLOCK):
            _write_block(scan, first, frame_shape, (indices, values), kind, pointers)
    np.cumsum(pointers, out=pointers)
    pointers.tofile(folder / f"{name}.indptr.dat")
    sidecar = folder / f"{name}.toml"
    sidecar.write_text(_sidecar(name, scan_shape, frame_shape, kind), encoding="utf-8")
    return sidecar


def _block(
    scan: ScanEvents, first: int, frame_shape: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return row, pixel and counts (n,) of some positions, in ascending order."""
    bounds = np.asarray(scan.offsets[first : first + POSITIONS_PER_BLOCK + 1]).astype(np.int64)
    pixels = frame_shape[0] * frame_shape[1]
    rows = np.repeat(np.arange(len(bounds) - 1, dtype=np.int64), np.diff(bounds))
    keys, counts = np.unique(rows * pixels + np.asarray(scan.events[bounds[0] : bounds[-1]]), return_counts=True)
    return keys // pixels, keys % pixels, counts


def _largest_counts(scan: ScanEvents, frame_shape: tuple[int, int]) -> int:
    blocks = range(0, len(scan.offsets) - 1, POSITIONS_PER_BLOCK)
    return max((int(_block(scan, first, frame_shape)[2].max(initial=0)) for first in blocks), default=0)


def _write_block(
    scan: ScanEvents,
    first: int,
    frame_shape: tuple[int, int],
    files: tuple[IO[bytes], IO[bytes]],
    kind: np.dtype[np.unsignedinteger],
    pointers: NDArray[np.int64],
) -> None:
    rows, pixels, counts = _block(scan, first, frame_shape)
    files[0].write(pixels.astype(INDICES).tobytes())
    files[1].write(counts.astype(kind).tobytes())
    found = np.bincount(rows)
    pointers[first + 1 : first + 1 + len(found)] = found


def _sidecar(
    name: str, scan_shape: tuple[int, int], frame_shape: tuple[int, int], kind: np.dtype[np.unsignedinteger]
) -> str:
    lines = [
        "[params]",
        'filetype = "raw_csr"',
        f"nav_shape = [{scan_shape[0]}, {scan_shape[1]}]",
        f"sig_shape = [{frame_shape[0]}, {frame_shape[1]}]",
        "",
        "[raw_csr]",
    ]
    for key, part, stored in (("indptr", "indptr", INDPTR), ("indices", "indices", INDICES), ("data", "values", kind)):
        lines += [f'{key}_file = "{name}.{part}.dat"', f'{key}_dtype = "{stored.str}"']
    return "\n".join([*lines, ""])
