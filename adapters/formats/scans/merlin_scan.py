"""Scans in Merlin's .mib files (Quantum Detectors): frames of a Medipix3 counter, each with its header.

The layout is that of `adapters.formats.vendors.merlin_mib`, which reads them as frames of a rotation. A header is a
line of fields with commas: ``MQ1``, number of the frame from 1, bytes of the header, chips, columns, rows, type of the
pixels, layout of the chips, ... Every header is looked at: a lost frame would shift all positions after it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adapters.formats.scans.dense_scan import Block, DenseScan, stream_blocks
from adapters.formats.scans.hdf5_safety import as_records
from adapters.formats.vendors.merlin_mib import DEPTH_FIELD, GROUP, MibLayout, mib_layout, raw_image
from adapters.formats.vendors.neighbours import neighbour
from tasks.model import SourceError

NUMBER = slice(4, 10)
"""Bytes of a header that are the frame's number."""
REPEATED = 30
"""Bytes with which all headers begin, but for the number: to the type of the pixels."""
NUMBERS = 1_000_000
"""The frame's number in the header has six digits, and begins again at 0."""
HDR_BYTES = 65536
"""Read of the .hdr beside the frames, which has 2 kB."""


@contextmanager
def open_merlin(path: Path) -> Iterator[DenseScan]:
    """Open a .mib file; nothing but the first header is read yet.

    Raises
    ------
    SourceError
        If the file is damaged or cut off, or raw of a kind that nobody documents.
    """
    layout = mib_layout(path)
    record = layout.header_bytes + layout.frame_bytes
    positions, rest = divmod(path.stat().st_size, record)
    if rest or not positions:
        raise SourceError(
            f"the file ends within frame {positions + 1}: {path.stat().st_size} bytes are no multiple of {record}, the "
            "bytes of a frame with its header",
            "the measurement was stopped, or the file is not copied in full",
        )
    with path.open("rb") as stream:
        begin = stream.read(layout.header_bytes)
        if not begin[NUMBER].isdigit():
            raise SourceError("the header of the first frame has no number", "the file is damaged")

        def blocks() -> Iterator[Block]:
            read = stream_blocks(stream, offset=0, positions=positions, record=record, start=layout.header_bytes)
            for block, headers in read:
                _check_headers(block.position, headers, begin, int(begin[NUMBER]))
                yield _turned(block, layout) if layout.raw_depth is None else _decoded(block, layout)

        stated = _metadata(path, begin)
        limit = _limit(layout, begin)
        yield DenseScan(positions, layout.shape, layout.dtype, "counts", blocks, metadata=stated, limit=limit)


def _limit(layout: MibLayout, header: bytes) -> int | None:
    """Return the value at which the counters stay; one bit counts nothing but whether an electron came."""
    stated = DEPTH_FIELD.search(header.decode("latin-1"))
    depth = layout.raw_depth or (int(stated.group(1)) if stated else 0)
    return 2**depth - 1 if depth in GROUP and depth > 1 else None


def _turned(block: Block, layout: MibLayout) -> Block:
    """Return frames as they are shown: the row at the bottom is stored first."""
    stored = block.records.reshape(len(block.records), layout.shape[0], -1)
    return Block(block.position, as_records(stored[:, ::-1]))


def _decoded(block: Block, layout: MibLayout) -> Block:
    """Return the frames of raw counters."""
    return Block(block.position, as_records(np.stack([raw_image(frame, layout) for frame in block.records])))


def _check_headers(position: NDArray[np.int64], headers: NDArray[np.uint8], first_header: bytes, first: int) -> None:
    """Check that frames follow each other: each begins with the header of the first, and with the next number."""
    same_as = np.frombuffer(first_header, np.uint8)[:REPEATED]
    same = headers[:, :REPEATED] == same_as
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


def _metadata(path: Path, header: bytes) -> dict[str, str]:
    fields = header.decode("latin-1").split(",")
    names = {"header_bytes": 2, "chips": 3, "pixel_type": 6, "layout": 7, "time": 9, "exposure_s": 10}
    found = {f"/merlin@{name}": fields[index].strip()[:200] for name, index in names.items() if index < len(fields)}
    return found | {f"/merlin/hdr@{name}": value for name, value in _acquisition(path).items()}


def _acquisition(path: Path) -> dict[str, str]:
    """Return what the .hdr file beside a .mib file says of the acquisition; nothing if there is none."""
    beside = neighbour(path, path.with_suffix(".hdr").name)
    if beside is None:
        return {}
    with beside.open("rb") as stream:
        lines = stream.read(HDR_BYTES).decode("latin-1").splitlines()
    pairs = (line.split("\t", 1) for line in lines if "\t" in line and not line.startswith(("HDR", "End")))
    return {key.rstrip(":")[:100]: value.strip()[:200] for key, value in pairs}
