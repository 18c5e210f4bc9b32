"""The angle of misorientation at every scan position of a tilt, from the maps that a run has of its crystals."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from tasks.model import SourceError


def angle_image(files: Sequence[Path], tilt: int, scan_shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the angles (ny, nx) in degrees at one tilt, NaN where nothing is measured; of crystals that meet the last.

    Parameters
    ----------
    files
        HDF5, one for each crystal: ``angle_deg`` (ny, nx), and ``cell`` (n_tilts, ny, nx), the position of that map
        that each scan position belongs to, -1 = none.

    Raises
    ------
    SourceError
        If a file cannot be read, or its maps are of scans of another shape.
    """
    image = np.full(scan_shape, np.nan, dtype=np.float32)
    for path in files:
        try:
            with h5py.File(path, "r") as file:
                cells, angle = file["cell"], np.asarray(file["angle_deg"], dtype=np.float32).ravel()
                if cells.shape[1:] != scan_shape or not 0 <= tilt < len(cells):
                    raise SourceError(f"{path}: maps of another series", "open the run's own series")
                cell = np.asarray(cells[tilt], dtype=np.int64)
            own = cell >= 0
            image[own] = angle[cell[own]]
        except (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise SourceError(f"{path}: no readable maps: {error}", "run again with position_maps=true") from error
    return image
