"""How well the one scale of all lengths is known: camera length and wavelength set it, not the fit of the spots.

A detector shows angles: an interplanar spacing is wavelength times camera length over the distance of a spot from the
beam. A camera length that is wrong by some part makes all edges of the cell, and all bonds, wrong by the same part,
however small the residuals are. Only the curvature of the Ewald sphere tells the camera length from within: it is
wavelength over two for a spot at the edge as it is near the beam, and in pixels that is the distance over twice the
camera length.
"""

from collections.abc import Sequence

import numpy as np

from tasks.integrate.models import CellEsd, CellScale
from tasks.model import Detector, UnitCell

ASSUMED_RELATIVE_ERROR = 0.01
"""Of a camera length whose error is not stated: what the contract of the sources says."""
NAMED_SIGMAS = 5.0
"""Of a camera length that a known cell or the curvature contradicts, in standard uncertainties of the difference. At 5
one in two million is named by chance if the errors are Gaussian; the worst of 19 series (`python -m
tests.benchmarks.cell_scale curvature`, seeds 1 to 5) was off by 1.2."""


def stated_scale(detector: Detector) -> CellScale:
    """Return the scale of a cell that was measured with the camera length of the manifest."""
    stated = detector.camera_length_relative_error
    return CellScale(
        relative_esd=ASSUMED_RELATIVE_ERROR if stated is None else stated,
        source="assumed" if stated is None else "stated",
        camera_length_mm=detector.camera_length_mm,
        stated_camera_length_mm=detector.camera_length_mm,
        stated_relative_error=ASSUMED_RELATIVE_ERROR if stated is None else stated,
    )


def calibrated_scale(detector: Detector, camera_length_mm: float, relative_esd: float) -> CellScale:
    """Return the scale of a cell that is known and gave the camera length, with the esd of that."""
    return stated_scale(detector).model_copy(
        update={"relative_esd": relative_esd, "source": "known cell", "camera_length_mm": camera_length_mm}
    )


def with_curvature(scale: CellScale, ratio: float, esd: float) -> CellScale:
    """Return the scale with the camera length that the curvature asks for, over that used, and its relative esd."""
    return scale.model_copy(update={"curvature_ratio": ratio, "curvature_relative_esd": esd})


def common_scale(scales: Sequence[CellScale | None]) -> CellScale | None:
    """Return the scale of crystals merged: one camera length serves all, so its error stays; curvatures are averaged.

    None if that of any is not known.
    """
    known = [scale for scale in scales if scale is not None]
    if not known or len(known) < len(scales):
        return None
    first = max(known, key=lambda scale: scale.relative_esd)
    measured = [
        (scale.curvature_ratio, scale.curvature_relative_esd)
        for scale in known
        if scale.curvature_ratio is not None and scale.curvature_relative_esd is not None
    ]
    if not measured:
        return first
    weight = np.array([esd**-2 for _, esd in measured])
    mean = float(np.average([ratio for ratio, _ in measured], weights=weight))
    return with_curvature(first, mean, float(weight.sum() ** -0.5))


def whole_esd(cell: UnitCell, fit_esd: CellEsd | None, scale: CellScale | None) -> CellEsd | None:
    """Return the esds of a cell with the scale in them: the parts add in squares, angles have none of it.

    A fit whose esds are not known (None) adds nothing, and leaves the angles with zero. None if neither is known.
    """
    if scale is None:
        return fit_esd
    own = np.array(fit_esd if fit_esd is not None else (0.0,) * 6)
    common = scale.relative_esd * np.array(cell.parameters) * (1, 1, 1, 0, 0, 0)
    a, b, c, alpha, beta, gamma = np.hypot(own, common).tolist()
    return (a, b, c, alpha, beta, gamma)


def volume_esd(cell: UnitCell, fit_esd: CellEsd | None, scale: CellScale | None) -> float | None:
    """Return the esd of the volume in angstrom^3, None if nothing is known.

    The scale enters by its third power: three times its relative esd, not the root of three. What the fit leaves of
    single parameters is taken as independent; edges and angles that symmetry makes equal move together.
    """
    if fit_esd is None and scale is None:
        return None
    volume = cell.volume_angstrom3
    gradient = np.array([_volume_slope(cell, place) for place in range(6)]) * (fit_esd or (0.0,) * 6)
    kinds = [_alike(cell.parameters, fit_esd, place) for place in range(6)]
    fit = sum(sum(gradient[k] for k in range(6) if kinds[k] == kind) ** 2 for kind in set(kinds))
    common = 0.0 if scale is None else 3.0 * scale.relative_esd * volume
    return float(np.sqrt(fit + common**2))


def _volume_slope(cell: UnitCell, place: int) -> float:
    """Return the derivative of the volume by a length (angstrom^2) or an angle (angstrom^3 per degree)."""
    step = 1e-4
    up, down = list(cell.parameters), list(cell.parameters)
    up[place] += step
    down[place] -= step
    a, b = (UnitCell.of((p[0], p[1], p[2], p[3], p[4], p[5])).volume_angstrom3 for p in (up, down))
    return (a - b) / (2 * step)


def _alike(parameters: CellEsd, esd: CellEsd | None, place: int) -> tuple[bool, float, float]:
    """Return what parameters have in common that are one: kind, value and esd."""
    return place < 3, parameters[place], 0.0 if esd is None else esd[place]


def scale_warnings(scale: CellScale) -> list[str]:
    """Say where the scale is from, and what contradicts the camera length that is stated."""
    said = []
    if scale.source == "known cell":
        off = scale.camera_length_mm / scale.stated_camera_length_mm - 1.0
        text = f"camera length calibrated by the known cell: {scale.camera_length_mm:.1f} mm"
        said.append(f"{text} ({abs(off):.1%} from the manifest){_beyond(scale, off)}")
    doubt = curvature_doubt(scale)
    return [*said, doubt] if doubt is not None else said


def _beyond(scale: CellScale, off: float) -> str:
    error = scale.stated_relative_error
    if abs(off) <= NAMED_SIGMAS * error:
        return ""
    return f", {abs(off) / error:.0f} times its error of {error:.1%}: is the beam energy right, and the known cell?"


def curvature_doubt(scale: CellScale) -> str | None:
    """Return in words that the curvature of the Ewald sphere asks for another camera length, None if it does not."""
    if scale.curvature_ratio is None or scale.curvature_relative_esd is None:
        return None
    off, esd = scale.curvature_ratio - 1.0, scale.curvature_relative_esd
    if abs(off) <= NAMED_SIGMAS * float(np.hypot(esd, scale.relative_esd)):
        return None
    asked = scale.camera_length_mm * scale.curvature_ratio
    return (
        f"the curvature of the Ewald sphere asks for a camera length of {asked:.1f} mm, {abs(off):.1%} "
        f"{'more' if off > 0 else 'less'} than the {scale.camera_length_mm:.1f} mm used (esd {esd:.1%})"
    )
