"""Descan: how the direct beam moves over the scan."""

import numpy as np
from numpy.typing import NDArray

from tasks.apertures.event_pass import beam_moments
from tasks.apertures.pattern import DirectBeam
from tasks.ingest.events import ScanEvents


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
    moments = beam_moments(scan, detector_shape[1], centre=beam.centre, radius_px=4.0 * beam.sigma + 4.0)
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
