"""Reading the masks of an aperture, and checking that they belong to the series."""

import h5py
import numpy as np
from numpy.typing import NDArray

from tasks.apertures import CrystalAperture
from tasks.ingest import TiltSeries
from tasks.model import InputError

TILT_TOLERANCE_DEG = 1e-3
"""Tilts nearer than this are equal: masks hold them in double precision, and single would be off by 1e-5 at most."""


def read_masks(aperture: CrystalAperture, series: TiltSeries) -> NDArray[np.bool_]:
    """Return the masks of all tilts, (n_tilts, rows, columns).

    Raises
    ------
    InputError
        If their number, shape or tilts differ from those of the series, or all of them are empty.
    """
    path = aperture.masks.path
    try:
        with h5py.File(path, "r") as file:
            masks = np.asarray(file["masks"]).astype(bool)
            tilts = np.asarray(file["tilt_deg"], dtype=np.float64)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: no masks of an aperture: {error}", "make the apertures again") from error
    expected = (len(series.scans), *series.scan.shape)
    if masks.shape != expected:
        raise InputError(f"{path}: masks of shape {masks.shape}, the series needs {expected} (tilts, rows, columns)")
    here = np.array([scan.tilt_deg for scan in series.scans])
    if tilts.shape != here.shape or not np.allclose(tilts, here, rtol=0, atol=TILT_TOLERANCE_DEG):
        raise InputError(f"{path}: tilt_deg differs from the tilts of the series", "make the apertures again")
    if not masks.any():
        raise InputError(f"{aperture.id}: the aperture is empty at every tilt", "draw it larger, or leave it out")
    return masks
