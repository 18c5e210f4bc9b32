"""Which reflections a still pattern shows, how strongly and where: exact Ewald geometry.

Frame: x along the detector's fast axis, y opposite to its slow axis, z towards the source; beam (0, 0, -1/lambda).
A reflection q scatters into the direction s1 with s1_xy = q_xy and |s1| = 1/lambda: momentum along the surface of the
crystal is conserved, along the beam it is short of the excitation error s (Williams & Carter, Transmission Electron
Microscopy, 2nd ed. 2009, ch. 12 and 13). The intensity is |F|^2 times a normal distribution of s whose variance adds

- the finite thickness t: sinc^2(pi t s) has the width (FWHM) 0.886/t; the fringes wash out over a polyhedron;
- the mosaic spread eta: s moves by eta |q|;
- the semi-angle alpha of the beam: a uniform disc, so the standard deviation is alpha |q_xy| / 2.

A normal distribution of unit area keeps the kinematical integral, proportional to |F|^2 and to the volume, whatever
the width; the Lorentz factor of a rotation arises from the geometry. Departures from nature: tails lighter than those
of one perfect parallel plate, no correlation between s and the place within the disc, no multiple scattering.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FWHM_OF_SIGMA = 2.3548200450309493
"""2 sqrt(2 ln 2): the full width at half maximum of a normal distribution over its standard deviation."""
SINC2_FWHM = 0.8858929413789047
"""The full width at half maximum of (sin(pi x) / (pi x))^2: twice its root at one half, x = 0.44295."""
CUT_SIGMA = 4.5
"""Standard deviations from the sphere where reflections end: erfc(4.5 / sqrt(2)) = 7e-6 of their curve is left out."""


class Rocking(NamedTuple):
    """What widens the reflections of one crystal."""

    thickness_angstrom: float
    mosaic_rad: float
    convergence_rad: float


class Excited(NamedTuple):
    """The reflections that one still pattern shows: row (k,) in the table, strength (k,), q_xy (k, 2)."""

    row: NDArray[np.int64]
    strength: NDArray[np.float64]
    q_xy: NDArray[np.float64]


def excitation_along_beam(
    q: NDArray[np.float64], wavelength_angstrom: float, direction: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return s in 1/angstrom, (...): how far along z the Ewald sphere lies above the points q (..., 3).

    Along the beam, as dynamical theory has it; the integrator's excitation error is radial, along s0 + q. The incident
    beam is inclined by `direction` (..., 2), radians in x and y; None is along -z.
    """
    inverse = 1.0 / wavelength_angstrom
    if direction is None:
        return _sagitta(q[..., 0] ** 2 + q[..., 1] ** 2, inverse) - q[..., 2]
    start = direction * inverse
    leaving_sq = ((start + q[..., :2]) ** 2).sum(axis=-1)
    return _sagitta(leaving_sq, inverse) - _sagitta((start**2).sum(axis=-1), inverse) - q[..., 2]


def _sagitta(transverse_sq: NDArray[np.float64], inverse: float) -> NDArray[np.float64]:
    """Return inverse - sqrt(inverse^2 - transverse^2), without cancellation."""
    return np.asarray(transverse_sq / (inverse + np.sqrt(np.maximum(inverse**2 - transverse_sq, 0.0))))


def rocking_sigma(q: NDArray[np.float64], rocking: Rocking) -> NDArray[np.float64]:
    """Return the standard deviation of s in 1/angstrom, (n,)."""
    shape = SINC2_FWHM / FWHM_OF_SIGMA / rocking.thickness_angstrom
    transverse = np.hypot(q[:, 0], q[:, 1])
    mosaic = rocking.mosaic_rad * np.linalg.norm(q, axis=1)
    return np.sqrt(shape**2 + mosaic**2 + (rocking.convergence_rad * transverse / 2) ** 2)


def excited_reflections(
    q: NDArray[np.float64], intensity: NDArray[np.float64], wavelength_angstrom: float, rocking: Rocking
) -> Excited:
    """Return the reflections near the Ewald sphere with ``intensity * p(s)``; q (n, 3) in the laboratory frame."""
    error = excitation_along_beam(q, wavelength_angstrom)
    sigma = rocking_sigma(q, rocking)
    index = np.flatnonzero(np.abs(error) < CUT_SIGMA * sigma)
    error, sigma = error[index], sigma[index]
    return Excited(index, intensity[index] * rocking_density(error, sigma), q[index, :2])


def rocking_density(error: NDArray[np.float64], sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p(s) in angstrom, (n,): the normal distribution that stands for the rocking curve."""
    return np.asarray(np.exp(-0.5 * (error / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma))


class Projection(NamedTuple):
    """The flat detector: q_xy to pixels (slow, fast) relative to the direct beam."""

    wavelength_angstrom: float
    camera_length_px: float
    distortion: NDArray[np.float64]
    """(2, 2) on (x, y)."""

    def offsets(self, q_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (n, 2) pixels (slow, fast) from the direct beam; waves beyond 90 degrees come out as NaN."""
        inverse = 1.0 / self.wavelength_angstrom
        forward_sq = inverse**2 - (q_xy**2).sum(axis=1)
        forward = np.sqrt(np.where(forward_sq > 0, forward_sq, np.nan))
        xy = (q_xy / forward[:, None] * self.camera_length_px) @ self.distortion.T
        return np.stack([-xy[:, 1], xy[:, 0]], axis=1)


def elliptical(ellipticity: float, angle_deg: float) -> NDArray[np.float64]:
    """Return the distortion (2, 2) on (x, y) that draws a circle as an ellipse of the same area.

    Long over short axis is 1 + `ellipticity`; the long axis lies `angle_deg` counter-clockwise from x.
    """
    angle = np.radians(angle_deg)
    along = np.array([[np.cos(angle)], [np.sin(angle)]])
    stretch = np.sqrt(1 + ellipticity)
    return np.eye(2) / stretch + (stretch - 1 / stretch) * (along @ along.T)
