"""Where the tilt axis lies in detector and scan, and what stays excited between two tilts."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tasks.ingest import TiltSeries


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else np.array([0.0, 1.0])


class TiltGeometry(NamedTuple):
    """What turns detector positions into reciprocal vectors.

    ``axis`` (3,) of the tilt, unit, laboratory; ``inverse_angstrom_per_px`` at the detector's centre;
    ``wavelength_angstrom``.
    """

    axis: NDArray[np.float64]
    inverse_angstrom_per_px: float
    wavelength_angstrom: float

    @property
    def axis_on_detector(self) -> NDArray[np.float64]:
        """The axis as a unit vector (slow, fast) in the detector plane; x is fast, y is against slow."""
        return _unit(np.array([-self.axis[1], self.axis[0]]))

    def specimen_vectors(self, px: NDArray[np.float64], tilt_deg: float) -> NDArray[np.float64]:
        """Return reciprocal vectors (n, 3), 1/angstrom, in the frame of the untilted specimen.

        ``px`` (n, 2) slow and fast from the direct beam. The beam travels along -z: on the Ewald sphere z is
        half the wavelength times the square of the length, to second order.
        """
        x, y = px[:, 1] * self.inverse_angstrom_per_px, -px[:, 0] * self.inverse_angstrom_per_px
        laboratory = np.stack([x, y, 0.5 * self.wavelength_angstrom * (x * x + y * y)], axis=1)
        return Rotation.from_rotvec(np.radians(-tilt_deg) * self.axis).apply(laboratory)


def tilt_geometry(series: TiltSeries) -> TiltGeometry:
    """Return the geometry of a series."""
    axis = np.array(series.tilt_axis, dtype=np.float64)
    detector, wavelength = series.detector, series.beam.wavelength_angstrom
    scale = detector.pixel_size_mm / (detector.camera_length_mm * wavelength)
    return TiltGeometry(axis / np.linalg.norm(axis), scale, wavelength)
