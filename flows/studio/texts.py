"""What the window says in words of what it shows."""

import numpy as np

from flows.studio.choices import DETECTOR_IMAGE
from flows.studio.desk import Desk
from flows.studio.sketch import Point
from tasks.drawing import resolution_at


def image_text(desk: Desk) -> str:
    """Return what the image of real space is."""
    if desk.image != DETECTOR_IMAGE:
        return desk.scene.describe(desk.image)
    detector = desk.detector
    return "" if detector is None else f"electrons in the {detector.shape} that is drawn on the pattern"


def position_text(desk: Desk, point: Point | None) -> str:
    """Return what is at a point of the scan."""
    ny, nx = desk.scene.scan_shape
    if point is None:
        return f"{ny} × {nx} positions, {desk.scene.step_nm:g} nm apart"
    row, column = (round(value) for value in point)
    if not (0 <= row < ny and 0 <= column < nx):
        return "outside the scan"
    counts = int(desk.scene.counts(desk.tilt)[row, column])
    there = desk.crystal_at(point)
    return f"row {row}, column {column} · {counts:,} electrons" + (f" · {there}" if there else "")


def pattern_text(desk: Desk) -> str:
    """Return of what the pattern is the sum, with the electrons in it: every one counted."""
    positions = int(desk.live_mask.sum())
    whose = (desk.crystal or "new aperture") if positions else "no aperture: all positions"
    many = f" in {positions:,} positions" if positions else ""
    tilt = desk.scene.tilt_deg[desk.tilt]
    return f"<b>{whose}</b> at {tilt:+.2f}\u00b0 · <b class='electrons'>{desk.electrons:,}</b> electrons{many}"


def pixel_text(desk: Desk, point: Point | None, centre: Point | None) -> str:
    """Return what is at a point of the detector; the resolution where the direct beam (slow, fast) is known."""
    slow, fast = desk.scene.detector_shape
    if point is None:
        return f"{slow} × {fast} px"
    row, column = (round(value) for value in point)
    if not (0 <= row < slow and 0 <= column < fast):
        return "outside the detector"
    if not desk.scene.valid(desk.tilt)[row, column]:
        return f"slow {row}, fast {column} · not measured: masked"
    series = desk.scene.series
    said = f"slow {row}, fast {column} · {int(desk.pattern[row, column]):,} electrons"
    if centre is None:
        return said
    away = float(np.hypot(*np.subtract(point, centre)))
    spacing = resolution_at(series.detector, series.beam.wavelength_angstrom, away)
    return f"{said} · d = {spacing:.3g} Å" if np.isfinite(spacing) else f"{said} · direct beam"
