"""Detector pixels, reciprocal space and back: a flat detector normal to the beam, a crystal on one axis.

Laboratory frame: x along the fast axis, y opposite to the slow axis, z towards the source; the beam travels along
-z. A tilt of +a is a right-handed rotation by a about the axis, so q_lab = R(axis, a) q_crystal.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tasks.frames import FrameSeries
from tasks.model import InputError
from tasks.model.arrays import Floats


class Geometry(NamedTuple):
    """Where the beam, the detector and the axis are.

    ``beam_px`` (n_frames, 2) is the (slow, fast) position of the direct beam on each frame, ``ellipse`` (e1, e2) the
    traceless symmetric strain [[e1, e2], [e2, -e1]] that takes observed to undistorted (x, y).
    """

    wavelength: float
    distance_px: float
    beam_px: Floats
    axis: Floats
    angle_deg: Floats
    ellipse: tuple[float, float] = (0.0, 0.0)


class Crystal(NamedTuple):
    """A lattice: columns of ``basis`` (3, 3) are a*, b*, c* in 1/angstrom at goniometer zero.

    ``correction`` (n_frames, 3) is a rotation vector in radians, in the laboratory frame, applied after the tilt.
    """

    basis: Floats
    correction: Floats


def geometry_of(series: FrameSeries) -> Geometry:
    """Return the geometry that the series states; the angle of a rotated frame is that of its middle."""
    axis = np.array(series.rotation_axis, dtype=np.float64)
    length = np.linalg.norm(axis)
    if not length > 0:
        raise InputError(f"{series.id}: rotation_axis is {series.rotation_axis}", "give a direction of the axis")
    detector = series.detector
    return Geometry(
        wavelength=series.beam.wavelength_angstrom,
        distance_px=detector.camera_length_mm / detector.pixel_size_mm,
        beam_px=np.tile(np.array(series.direct_beam_px, dtype=np.float64), (len(series.frames), 1)),
        axis=axis / length,
        angle_deg=np.array([frame.angle_deg + frame.width_deg / 2 for frame in series.frames]),
    )


def rotations(axis: Floats, angle_deg: Floats) -> Floats:
    """Return the right-handed rotations (n, 3, 3) by angles (n,) about a unit axis (3,)."""
    return np.asarray(Rotation.from_rotvec(np.radians(angle_deg)[:, None] * axis).as_matrix())


def orientations(geometry: Geometry, crystal: Crystal) -> Floats:
    """Return the matrices (n, 3, 3) that take hkl to q in the laboratory, frame by frame."""
    tilt = rotations(geometry.axis, geometry.angle_deg)
    small = np.asarray(Rotation.from_rotvec(crystal.correction).as_matrix())
    return small @ tilt @ crystal.basis


def laboratory_q(px: Floats, beam_px: Floats, geometry: Geometry) -> Floats:
    """Return the scattering vectors (n, 3) in 1/angstrom of pixel positions (n, 2) (slow, fast)."""
    x = px[:, 1] - beam_px[:, 1]
    y = -(px[:, 0] - beam_px[:, 0])
    e1, e2 = geometry.ellipse
    rays = np.stack([x + e1 * x + e2 * y, y + e2 * x - e1 * y, np.full_like(x, -geometry.distance_px)], axis=1)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True) * geometry.wavelength
    rays[:, 2] += 1.0 / geometry.wavelength
    return rays


def crystal_q(px: Floats, frame: NDArray[np.int64], geometry: Geometry) -> Floats:
    """Return the scattering vectors (n, 3) at goniometer zero of positions (n, 2) on frames (n,)."""
    q = laboratory_q(px, geometry.beam_px[frame], geometry)
    back = rotations(geometry.axis, geometry.angle_deg)
    return np.einsum("nji,nj->ni", back[frame], q)


def excitation_error(q_lab: Floats, wavelength: float) -> Floats:
    """Return 1/wavelength - |s0 + q|, (...,), in 1/angstrom: positive inside the Ewald sphere."""
    radius = 1.0 / wavelength
    outgoing = np.sqrt(q_lab[..., 0] ** 2 + q_lab[..., 1] ** 2 + (q_lab[..., 2] - radius) ** 2)
    return radius - outgoing


def detector_px(q_lab: Floats, beam_px: Floats, geometry: Geometry) -> Floats:
    """Return where (..., 2) (slow, fast) the rays s0 + q meet the detector."""
    scale = geometry.distance_px / (1.0 / geometry.wavelength - q_lab[..., 2])
    x, y = q_lab[..., 0] * scale, q_lab[..., 1] * scale
    e1, e2 = geometry.ellipse
    determinant = 1.0 - e1 * e1 - e2 * e2
    observed_x = ((1.0 - e1) * x - e2 * y) / determinant
    observed_y = ((1.0 + e1) * y - e2 * x) / determinant
    return np.stack([beam_px[..., 0] - observed_y, beam_px[..., 1] + observed_x], axis=-1)


def shear_direction(axis: Floats) -> tuple[float, float]:
    """Return the unit ellipse (e1, e2) with its long axis at 45 degrees to the tilt axis: no strain looks like it."""
    azimuth = 2.0 * float(np.arctan2(axis[1], axis[0]))
    return -float(np.sin(azimuth)), float(np.cos(azimuth))


def corner_d_min(geometry: Geometry, shape: tuple[int, int]) -> float:
    """Return the resolution in angstrom at the detector corner farthest from the beam."""
    centre = np.median(geometry.beam_px, axis=0)
    farthest = np.hypot(*np.maximum(centre, np.array(shape) - 1 - centre))
    return float(geometry.wavelength / (2 * np.sin(0.5 * np.arctan(farthest / geometry.distance_px))))
