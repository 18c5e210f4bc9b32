"""Orientations of crystals from their predicted spots, and the angle between two crystals of one form."""

from collections.abc import Sequence

import h5py
import numpy as np
from scipy.spatial.transform import Rotation

from tasks.frames import FrameSeries
from tasks.integrate.models import Reflections
from tasks.model.arrays import Floats, Integers

MIN_SPOTS = 20
"""Predicted spots that hold the nine elements of UB: three off one plane would do, as each gives the three of q.
Chosen, not measured, with a wide margin."""


def orientation_matrix(reflections: Reflections, frames: FrameSeries) -> Floats | None:
    """Return UB (3, 3) in 1/angstrom, q = UB @ hkl in the laboratory frame at angle zero; None without predictions.

    Fitted to the places of the predicted spots, so that it is the same for every engine.
    """
    if reflections.pictures is None:
        return None
    with h5py.File(reflections.pictures.path, "r") as file:
        frame, px, hkl = (np.asarray(file[name], dtype=np.float64) for name in ("frame", "px", "hkl"))
    if len(frame) < MIN_SPOTS or np.linalg.matrix_rank(hkl) < 3:
        return None
    detector = frames.detector
    slow, fast = (px - np.array(frames.direct_beam_px)).T * detector.pixel_size_mm
    ray = np.stack([fast, -slow, np.full(len(px), -detector.camera_length_mm)], axis=1)
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    q = (ray - np.array([0.0, 0.0, -1.0])) / reflections.wavelength_angstrom
    axis = np.array(frames.rotation_axis if reflections.axis_test is None else reflections.axis_test.axis)
    middle = np.array([one.angle_deg + one.width_deg / 2 for one in frames.frames])[frame.astype(np.int64)]
    at_zero = Rotation.from_rotvec(-np.radians(middle)[:, None] * axis / np.linalg.norm(axis)).apply(q)
    return np.asarray(np.linalg.lstsq(hkl, at_zero, rcond=None)[0].T)


def misorientation_deg(one: Floats, other: Floats, rotations: Sequence[Integers]) -> float:
    """Return the smallest angle in degrees that turns one crystal into the other.

    Both matrices are UB in the same axes; the rotations of the Laue group act on rows in these axes, ``hkl @ R``.
    """
    angles = []
    for rotation in rotations:
        left, _, right = np.linalg.svd(one @ rotation.T @ np.linalg.inv(other))
        turn = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
        angles.append(Rotation.from_matrix(turn).magnitude())
    return float(np.degrees(min(angles)))


def in_reduced_axes(matrix: Floats, reindex: Floats) -> Floats:
    """Return UB in the axes in which a reflection is ``hkl @ reindex``."""
    return np.asarray(matrix @ np.linalg.inv(reindex).T)
