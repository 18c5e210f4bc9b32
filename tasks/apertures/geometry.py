"""Where the tilt axis lies in detector and scan, and what stays excited between two tilts."""

import math

import numpy as np
from numpy.typing import NDArray

from tasks.ingest.models import TiltSeries


def axis_on_detector(series: TiltSeries) -> NDArray[np.float64]:
    """Return the tilt axis as a unit vector (slow, fast) in the detector plane; x is fast, y is against slow."""
    x, y, _ = series.tilt_axis
    return _unit(np.array([-y, x]))


def axis_on_scan(series: TiltSeries) -> NDArray[np.float64]:
    """Return the tilt axis as a unit vector (row, column) in the scan.

    The scan's fast axis is (cos r, sin r) in the laboratory's x, y, its slow axis, downwards, (sin r, -cos r).
    """
    x, y, _ = series.tilt_axis
    turn = math.radians(series.scan.rotation_deg)
    return _unit(np.array([x * math.sin(turn) - y * math.cos(turn), x * math.cos(turn) + y * math.sin(turn)]))


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else np.array([0.0, 1.0])


def inverse_angstrom_per_px(series: TiltSeries) -> float:
    """Return the scale of the detector at its centre, 1/(angstrom px)."""
    detector = series.detector
    return detector.pixel_size_mm / (detector.camera_length_mm * series.beam.wavelength_angstrom)
