"""Writing cif_pets, the file of PETS2 from which Jana2020 and Olex2 refine dynamically: intensities frame by frame.

The items are those that PETS2 writes (Palatinus et al., Acta Cryst. B75, 512-522, 2019). Its axes were found from a
file of PETS2 and its own reflections (tests/unit/formats/test_cif_pets_writer.py): x along the rotation axis, z towards
the source, y completes a right-handed frame, and q = Rz(omega) Rx(alpha) Ry(beta) UB hkl, with the beam along -z. The
order of alpha and beta is that of a double-tilt holder, of omega that of a turn in the image, counter-clockwise.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.integrate import FrameIntensities
from tasks.model import UnitCell

FRAME_SCALE = 1.0
"""Of every frame, as PETS2 writes it: intensities are as measured, and the refinement finds the frames' scales."""


class ZoneAxis(NamedTuple):
    """The orientation of a frame: zone axis (3,) with a largest component of 1, and angles in degrees."""

    uvw: NDArray[np.float64]
    alpha: float
    beta: float
    omega: float


def write_cif_pets(measured: FrameIntensities, cell: UnitCell, wavelength_angstrom: float, path: Path) -> None:
    """Write the cell, the orientation matrix, every frame that holds reflections, and these.

    Zone axes are numbered by the place of the (virtual) frame, from 1. A still has a half-range of 0.
    """
    frame_of_pets, azimuth = pets_axes(measured.axis)
    ub = frame_of_pets @ measured.basis
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_pets"]
    lines += [f"_cell_{name:<12} {value:.9g}" for name, value in zip(names, cell.parameters, strict=True)]
    lines += [f"_cell_volume       {cell.volume_angstrom3:.9g}"]
    lines += [f"_diffrn_radiation_wavelength {wavelength_angstrom:.9g}"]
    lines += [f"_diffrn_orient_matrix_UB_{i + 1}{j + 1} {ub[i, j]:.9f}" for i in range(3) for j in range(3)]
    lines += ["_diffrn_pets_omega  0.00000", "", *_details(measured, azimuth), ""]
    lines += ["loop_"]
    columns = ("id", "u", "v", "w", "precession_angle", "alpha", "beta", "omega", "scale")
    lines += [f"_diffrn_zone_axis_{name}" for name in columns]
    for number in np.unique(measured.frame).tolist():
        zone = zone_axis(frame_of_pets @ measured.setting[number], ub, float(measured.angle_deg[number]))
        u, v, w = zone.uvw
        lines.append(
            f"{number + 1:4d} {u:11.8f} {v:11.8f} {w:11.8f} {measured.width_deg[number] / 2:.9g} "
            f"{zone.alpha:.6f} {zone.beta:.6f} {azimuth + zone.omega:.6f} {FRAME_SCALE:.3f}"
        )
    lines += ["", "loop_", *(f"_refln_{name}" for name in ("index_h", "index_k", "index_l"))]
    lines += ["_refln_intensity_meas", "_refln_intensity_sigma", "_refln_zone_axis_id"]
    order = np.lexsort((*measured.hkl.T[::-1], measured.frame))
    lines += [
        f"{h:4d} {k:4d} {l:4d} {intensity!r:>20} {sigma!r:>20} {frame + 1:4d}"
        for (h, k, l), intensity, sigma, frame in zip(
            measured.hkl[order].tolist(),
            measured.intensity[order].astype(np.float64).tolist(),
            measured.sigma[order].astype(np.float64).tolist(),
            measured.frame[order].tolist(),
            strict=True,
        )
    ]
    path.write_text("\n".join([*lines, ""]), encoding="ascii")


def pets_axes(axis: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the rotation (3, 3) from laboratory to PETS2's axes, and the azimuth of the rotation axis in degrees.

    x is the axis as it is seen along the beam: what it is off the plane goes into the frames' angles.
    """
    across = np.array([axis[0], axis[1], 0.0]) / math.hypot(axis[0], axis[1])
    beam = np.array([0.0, 0.0, 1.0])
    return np.stack([across, np.cross(beam, across), beam]), math.degrees(math.atan2(axis[1], axis[0]))


def zone_axis(setting: NDArray[np.float64], ub: NDArray[np.float64], angle_deg: float) -> ZoneAxis:
    """Return the orientation of a frame from its matrix (3, 3), hkl to q in PETS2's axes.

    Parameters
    ----------
    ub
        (3, 3), the same at goniometer zero.
    angle_deg
        Of the goniometer: of the two ways to write a rotation, that with the alpha near it is taken.
    """
    turn = setting @ np.linalg.inv(ub)
    side = 1.0 if math.cos(math.radians(angle_deg)) >= 0 else -1.0
    alpha = math.degrees(math.atan2(turn[2, 1], side * math.hypot(turn[2, 0], turn[2, 2])))
    alpha += 360.0 * round((angle_deg - alpha) / 360.0)
    beta = math.degrees(math.atan2(-side * turn[2, 0], side * turn[2, 2]))
    omega = math.degrees(math.atan2(-side * turn[0, 1], side * turn[1, 1]))
    along = setting.T @ np.array([0.0, 0.0, 1.0])
    return ZoneAxis(along / np.abs(along).max(), alpha, beta, omega)


def _details(measured: FrameIntensities, azimuth: float) -> list[str]:
    still = not np.any(measured.width_deg > 0)
    d_star = np.linalg.norm(measured.hkl @ measured.basis.T, axis=1).max()
    return [
        "_diffrn_measurement_details",
        ";",
        f"data collection geometry: {'static' if still else 'continuous rotation'}",
        f"dstarmax:  {d_star:.3f}",
        f"RC width:  {measured.curve[0]:.5f}",
        f"mosaicity:  {measured.curve[1]:.3f}",
        f"rotation axis position:  {round(azimuth, 3) + 0.0:.3f}",
        f"Virtual frame settings: number of merged frames: {measured.merged[0]}",
        f"                        step between frames:     {measured.merged[1]}",
        ";",
    ]
