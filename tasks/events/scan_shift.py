"""How the direct beam moves over one scan, as a quadratic surface: what the apertures take out.

They look at one scan at a time, before the series is known as a whole, and need its spots brought together to about a
pixel: whatever moves the beam of this scan is to go, bent or not, and an error costs nothing that is kept. The frames
take `tasks.events.descan` instead, a motion that is linear and the same at all tilts: its shifts go into the
intensities, and a surface for each scan would follow the crystals that brighten one side of the beam.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.events.scan_beam import DirectBeam
from tasks.events.store import ScanEvents
from tasks.events.virtual_detectors import beam_moments


def fit_beam_shift(
    scan: ScanEvents,
    beam: DirectBeam,
    detector_shape: tuple[int, int],
    *,
    scan_shape: tuple[int, int],
    good: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return the shift of the direct beam (ny, nx, 2), slow and fast px, and what to add to events, (n, 2) int32.

    A quadratic surface is fitted to the beam's centroid per position (a position's own centroid rests on some 100
    electrons); outliers are left out once. Zero where the beam is not seen.
    """
    zero = np.zeros((*scan_shape, 2))
    if not beam.seen:
        return zero, np.zeros((zero.shape[0] * zero.shape[1], 2), dtype=np.int32)
    window = 4.0 * beam.sigma + 4.0 if beam.window_px is None else beam.window_px
    moments = beam_moments(scan, detector_shape[1], centre=beam.centre, radius_px=window)
    weight = np.where(good.ravel(), moments[:, 0], 0.0)
    offset = moments[:, 1:] / np.maximum(moments[:, :1], 1.0)
    slow, fast = (axis.ravel() for axis in np.meshgrid(*[np.linspace(-1, 1, n) for n in scan_shape], indexing="ij"))
    design = np.stack([np.ones_like(slow), slow, fast, slow * slow, slow * fast, fast * fast], axis=1)
    fitted = np.zeros_like(offset)
    for _ in range(2):
        root = np.sqrt(weight)[:, None]
        coefficients = np.linalg.lstsq(design * root, offset * root, rcond=None)[0]
        fitted = design @ coefficients
        residual = np.hypot(*(offset - fitted).T)
        weight = np.where(residual > 4.0 * max(float(np.median(residual)), 1e-6), 0.0, weight)
    fitted -= fitted.mean(axis=0)
    if np.abs(fitted).max() < 0.5:
        return fitted.reshape(zero.shape), np.zeros_like(fitted, dtype=np.int32)
    return fitted.reshape(zero.shape), -np.rint(fitted).astype(np.int32)
