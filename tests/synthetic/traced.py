"""The file of what reflections were measured from, out of a table: for tests of the way back to it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from tasks.integrate.measurements import USED
from tasks.model import FileRef

SIDE = 3


class Row(NamedTuple):
    """One measurement, in the middle of the frame; ``core``: whether any pixel of it is its own."""

    hkl: tuple[int, int, int]
    frame: int
    counts: int
    background: float = 2.0
    predicted: float = 1.0
    state: int = USED
    core: bool = True


def traces_file(path: Path, rows: Sequence[Row], *, px: tuple[int, int] = (9, 9)) -> FileRef:
    """Write the file; the rows are to be in the order of their frames."""
    n = len(rows)
    core = np.repeat([row.core for row in rows], SIDE * SIDE).reshape(n, -1)
    with h5py.File(path, "w") as file:
        file["hkl"] = np.array([row.hkl for row in rows], np.int32)
        file["frame"] = np.array([row.frame for row in rows])
        file["px"], file["centre"] = np.tile(np.array(px, float), (n, 1)), np.tile(px, (n, 1))
        file["core"] = np.packbits(core, axis=1)
        file["counts"] = np.array([row.counts for row in rows])
        file["background"] = np.array([row.background for row in rows])
        file["predicted"] = np.array([row.predicted for row in rows])
        file["excitation"] = np.full(n, 1e-3)
        file["state"] = np.array([row.state for row in rows], np.uint8)
        file["overlapped"] = np.zeros(n, dtype=bool)
        file.attrs["side_px"] = SIDE
    return FileRef.of(path)
