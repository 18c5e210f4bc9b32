"""From a detector placed by vectors, as XDS and dxtbx describe it, to the manifest's frame.

There: x along the fast axis, y opposite to the slow axis, z from the sample towards the source, the detector normal to
the beam. A description with a tilted or a mirrored detector has no equal there; it is told, never made to fit.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

TILT_TOLERANCE_DEG = 0.02
"""Between beam and normal of the detector. It moves a spot at distance r from the beam by r * r / L * tan(tilt): at
r = 20 mm and L = 400 mm by 0.35 um, a hundredth of a pixel of 55 um. Refined geometries are off by more: it is told."""
SQUARE_TOLERANCE = 1e-4
"""Cosine between fast and slow axis, 0.006 degrees: printed axes of four decimals are orthogonal to it."""


class FlatGeometry(NamedTuple):
    """A flat detector and a rotation axis in the manifest's frame."""

    distance_mm: float
    """From the sample to the detector's plane, along its normal."""
    beam_mm: tuple[float, float]
    """(slow, fast): where the beam meets the plane, from the point that was given."""
    tilt_deg: float
    """Between the beam and the normal of the detector."""
    mirrored: bool
    """Fast, opposite to slow, and towards the source make a left-handed frame: the images are mirrored."""
    axes: NDArray[np.float64]
    """(3, 3): rows are the manifest's x, y and z in the frame of the description."""

    def turned(self, vector: ArrayLike) -> NDArray[np.float64]:
        """Return a vector of the description in the manifest's frame."""
        return np.asarray(self.axes @ np.asarray(vector, dtype=np.float64))


def flat_geometry(
    *, fast: ArrayLike, slow: ArrayLike, corner_mm: ArrayLike, beam_towards_detector: ArrayLike
) -> FlatGeometry | None:
    """Return the geometry of a detector; None if its vectors span no plane, or the beam does not meet it.

    Parameters
    ----------
    fast, slow
        (3,): directions in which the two indices of a pixel grow, any length.
    corner_mm
        (3,): a point of the detector, from the sample; positions on it count from there.
    beam_towards_detector
        (3,): direction in which the beam travels, any length.
    """
    directions = [_direction(vector) for vector in (fast, slow, beam_towards_detector)]
    corner = np.asarray(corner_mm, dtype=np.float64)
    if any(direction is None for direction in directions) or not np.isfinite(corner).all():
        return None
    x, slow_unit, beam = (np.asarray(direction) for direction in directions)
    if abs(x @ slow_unit) > SQUARE_TOLERANCE:
        return None
    normal = np.cross(x, -slow_unit)
    normal /= np.linalg.norm(normal)
    distance = abs(float(normal @ corner))
    along = float(normal @ beam)
    if distance == 0 or abs(along) < 0.5 or (normal @ corner) / along <= 0:
        return None
    meets = beam * (float(normal @ corner) / along) - corner
    mirrored = along > 0
    axes = np.stack([x, np.cross(-normal if mirrored else normal, x), -normal if mirrored else normal])
    return FlatGeometry(
        distance_mm=distance,
        beam_mm=(float(meets @ slow_unit), float(meets @ x)),
        tilt_deg=math.degrees(math.acos(min(1.0, abs(along)))),
        mirrored=mirrored,
        axes=axes,
    )


def geometry_remarks(geometry: FlatGeometry) -> list[str]:
    """Return what the manifest's frame cannot hold of a geometry."""
    remarks = []
    if geometry.mirrored:
        remarks.append(
            "its images are mirrored: with x along the fast and y opposite to the slow axis, z points away from the "
            "source. The rotation axis is left open; flip the images, or check the description"
        )
    if geometry.tilt_deg > TILT_TOLERANCE_DEG:
        remarks.append(
            f"its detector is tilted by {geometry.tilt_deg:.3g} degrees against the beam, which a manifest cannot say: "
            "distance and beam position are those of the tilted plane"
        )
    return remarks


def _direction(vector: ArrayLike) -> NDArray[np.float64] | None:
    found = np.asarray(vector, dtype=np.float64)
    length = float(np.linalg.norm(found))
    return found / length if found.shape == (3,) and 0 < length < math.inf else None
