"""Merlin's .mib files (Quantum Detectors): frames of a Medipix3 counter, each with its header.

Source: RosettaSciIO 0.15 (``rsciio.quantumdetector``), by which tests check this module, and the headers of real
files. A header is a line of fields with commas: ``MQ1``, number of the frame from 1, bytes of the header, chips,
columns, rows, type of the pixels (U08, U16, U32, big-endian; R64: raw), layout of the chips, ... Not read through
RosettaSciIO as it holds the whole scan in memory and does not look at the headers after the first.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adapters.formats.scans.dense_scan import Block, DenseScan, stream_blocks
from tasks.model import SourceError

MAGIC = b"MQ1,"
"""With which every header begins."""
HEADER_LEAST = 384
"""Bytes of the header of one chip; a quad has 768."""
HEADER_MOST = 65536
"""Bytes; the header's length is a field of five digits, a header of 8 chips has 2048."""
TYPES = {"U08": ">u1", "U16": ">u2", "U32": ">u4"}
"""By the header's name: counters of 1 and 6, of 12, and of 24 bits."""
NUMBER = slice(4, 10)
"""Bytes of a header that are the frame's number."""
REPEATED = 30
"""Bytes with which all headers begin, but for the number: to the type of the pixels."""
NUMBERS = 1_000_000
"""The frame's number in the header has six digits, and begins again at 0."""
EXTENT_MAX = 8192
"""Pixels along a side: 32 chips in a row; more is damage."""


def is_merlin(_: Path, begin: bytes) -> bool:
    """Tell a .mib file by its first bytes."""
    return begin.startswith(MAGIC)


@contextmanager
def open_merlin(path: Path) -> Iterator[DenseScan]:
    """Open a .mib file; nothing but the first header is read yet.

    The rows of a frame are stored from the bottom to the top: they are turned over, as RosettaSciIO does.

    Raises
    ------
    SourceError
        If the file is raw, damaged or cut off.
    """
    with path.open("rb") as stream:
        header = stream.read(HEADER_LEAST)
        head, shape, dtype, fields = _header(header)
        record = head + shape[0] * shape[1] * dtype.itemsize
        size = path.stat().st_size
        positions, rest = divmod(size, record)
        if rest or not positions:
            raise SourceError(
                f"the file ends within frame {positions + 1}: {size} bytes are no multiple of {record}, the bytes of a "
                "frame with its header",
                "the measurement was stopped, or the file is not copied in full",
            )
        first = _number(fields[1])

        def blocks() -> Iterator[Block]:
            for block, headers in stream_blocks(stream, offset=0, positions=positions, record=record, start=head):
                _check_headers(block.position, headers, header, first)
                yield block

        yield DenseScan(
            positions,
            shape,
            dtype,
            "counts",
            blocks,
            metadata=_metadata(path, fields),
            upward=True,
        )


def _header(begin: bytes) -> tuple[int, tuple[int, int], np.dtype[np.generic], list[str]]:
    """Return bytes of the header, (rows, columns), type of the pixels, and all fields."""
    fields = begin.decode("latin-1").split(",")
    if len(begin) < HEADER_LEAST or len(fields) < 8 or fields[0] != "MQ1":
        raise SourceError("no header of a Merlin frame begins the file", "this is no .mib file, or it is damaged")
    kind = fields[6].strip()
    if kind not in TYPES:
        what = "raw frames (R64)" if kind.startswith("R") else f"pixels of the unknown type {kind[:10]!r}"
        raise SourceError(f"the .mib file holds {what}", "write it again without 'raw', or as HDF5")
    head, columns, rows = (_number(fields[index]) for index in (2, 4, 5))
    if not HEADER_LEAST <= head <= HEADER_MOST or not (0 < rows <= EXTENT_MAX and 0 < columns <= EXTENT_MAX):
        raise SourceError(f"the header says {head} bytes of header, {rows} rows, {columns} columns", "it is damaged")
    return head, (rows, columns), np.dtype(TYPES[kind]), fields


def _number(field: str) -> int:
    if not field.strip().isdecimal():
        raise SourceError(f"the header of a frame says {field[:20]!r} in place of a number", "the file is damaged")
    return int(field)


def _check_headers(position: NDArray[np.int64], headers: NDArray[np.uint8], first_header: bytes, first: int) -> None:
    """Check that frames follow each other: each begins with the header of the first, and with the next number."""
    begin = np.frombuffer(first_header, np.uint8)[:REPEATED]
    same = headers[:, :REPEATED] == begin
    same[:, NUMBER] = True
    digits = headers[:, NUMBER].astype(np.int64) - ord("0")
    wrong = np.flatnonzero(~same.all(axis=1) | ((digits < 0) | (digits > 9)).any(axis=1))
    if len(wrong):
        frame = int(position[wrong[0]]) + 1
        raise SourceError(f"frame {frame} does not begin with the header of the others", "the file is damaged")
    number = digits @ 10 ** np.arange(5, -1, -1)
    expected = (first + position) % NUMBERS
    if (number != expected).any():
        at = int(np.flatnonzero(number != expected)[0])
        raise SourceError(
            f"frame {int(position[at]) + 1} has the number {int(number[at])} in place of {int(expected[at])}: "
            "frames are missing, and the positions of those that follow are not known",
        )


def _metadata(path: Path, fields: list[str]) -> dict[str, str]:
    names = {"header_bytes": 2, "chips": 3, "pixel_type": 6, "layout": 7, "time": 9, "exposure_s": 10}
    found = {f"/merlin@{name}": fields[index].strip() for name, index in names.items() if index < len(fields)}
    return found | {f"/merlin/hdr@{name}": value for name, value in acquisition(path).items()}


def acquisition(path: Path) -> dict[str, str]:
    """Return what the .hdr file beside a .mib file says of the acquisition; nothing if there is none."""
    beside = path.with_suffix(".hdr")
    if not beside.is_file() or beside.is_symlink():
        return {}
    with beside.open("rb") as stream:
        lines = stream.read(HEADER_MOST).decode("latin-1").splitlines()
    pairs = (line.split("\t", 1) for line in lines if "\t" in line and not line.startswith(("HDR", "End")))
    return {key.rstrip(":")[:100]: value.strip()[:200] for key, value in pairs}
