"""Where integrated reflections lie, for the report."""

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from adapters.formats.intensity_table import Positions
from tasks.frames import FrameSeries
from tasks.model import FileRef


def write_predictions(table: Positions, frames: FrameSeries, basis: NDArray[np.float64], *, path: Path) -> FileRef:
    """Write `frame` (k,) position in `FrameSeries.frames`, `px` (k, 2) and `hkl` (k, 3) in an HDF5 file.

    A reflection belongs to the frame whose middle angle is nearest to its centroid; `basis` brings its indices to the
    cell of the result.
    """
    middles = np.array([frame.angle_deg + frame.width_deg / 2 for frame in frames.frames])
    order = np.argsort(middles)
    edges = (middles[order][1:] + middles[order][:-1]) / 2
    with h5py.File(path, "w") as file:
        file["frame"] = order[np.searchsorted(edges, table.angle_deg)].astype(np.int32)
        file["px"] = np.stack([table.slow_px, table.fast_px], axis=1)
        file["hkl"] = np.rint(table.hkl @ basis).astype(np.int32)
    return FileRef.of(path)
