"""NanoMEGAS block files (.blo): 8-bit images of a screen, one for each scan position.

Source: RosettaSciIO 0.15 (``rsciio.blockfile``), by which tests check this module, and a real file. The values are grey
levels of a camera, not counted. Not read through RosettaSciIO as it fills frames that are missing with zeros.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from adapters.formats.scans.dense_scan import Block, DenseScan, stream_blocks
from tasks.model import SourceError

MAGIC = b"IMGBLO"
"""The first six bytes."""
HEADER = np.dtype([
    ("id", "S6"), ("magic", "<u2"), ("offset_images", "<u4"), ("offset_frames", "<u4"), ("flags", "<u4"),
    ("size", "<u2"), ("rotation", "<u2"), ("columns", "<u2"), ("rows", "<u2"), ("scan_rotation", "<u2"),
    ("step_x_nm", "<f8"), ("step_y_nm", "<f8"), ("energy_v", "<u4"), ("pixels_per_m", "<u2"),
    ("camera_length_0_1_mm", "<u4"),
])  # fmt: skip
"""The first fields, packed, as RosettaSciIO lists them."""
MARK = np.array([0xAA, 0x55], dtype=np.uint8)
"""With which each frame begins, before its number."""
MARK_BYTES = 6
"""Of the mark and the number."""


def is_blockfile(_: Path, begin: bytes) -> bool:
    """Tell a block file by its first bytes."""
    return begin.startswith(MAGIC)


@contextmanager
def open_blockfile(path: Path) -> Iterator[DenseScan]:
    """Open a block file; only its header is read yet.

    Raises
    ------
    SourceError
        If it is damaged or ends early.
    """
    with path.open("rb") as stream:
        begin = stream.read(HEADER.itemsize)
        if len(begin) < HEADER.itemsize:
            raise SourceError("the file ends within its header", "copy it again")
        head = np.frombuffer(begin, HEADER)[0]
        size, rows, columns = (int(head[name]) for name in ("size", "rows", "columns"))
        record, offset = size * size + MARK_BYTES, int(head["offset_frames"])
        if not size or not rows or not columns or offset < HEADER.itemsize:
            raise SourceError(f"the header says {rows} x {columns} frames of {size} x {size} pixels", "it is damaged")
        needed = offset + rows * columns * record
        if path.stat().st_size < needed:
            raise SourceError(
                f"the file has {path.stat().st_size} bytes, its header speaks of {needed}",
                "the measurement was stopped, or the file is not copied in full",
            )

        def blocks() -> Iterator[Block]:
            read = stream_blocks(stream, offset=offset, positions=rows * columns, record=record, start=MARK_BYTES)
            for block, marks in read:
                wrong = np.flatnonzero((marks[:, :2] != MARK).any(axis=1))
                if len(wrong):
                    frame = int(block.position[wrong[0]]) + 1
                    raise SourceError(f"frame {frame} does not begin with its mark", "copy the file again")
                yield block

        yield DenseScan(
            rows * columns,
            (size, size),
            np.dtype(np.uint8),
            "analogue",
            blocks,
            scan_shape=(rows, columns),
            metadata={f"/blockfile@{name}": str(head[name]) for name in HEADER.names or () if name != "id"},
        )
