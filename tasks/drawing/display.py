"""Images for a screen: stretched to bytes, binned, outlined; rings of resolution on a detector."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.model import Detector

Stretch = Literal["log", "sqrt", "linear"]
BENDS: Mapping[Stretch, Callable[[Any], Any]] = MappingProxyType(
    {"log": np.log1p, "sqrt": np.sqrt, "linear": np.asarray}
)
LEVELS = 255
"""Steps of a stretched image: those of a byte."""
LINEAR_TOP = 0.998
"""Share of a pattern's pixels that are below the white of a linear stretch: the direct beam is brighter than all spots
by a factor of hundreds and would leave them black. Chosen, not measured: 660 pixels of a detector of 576 x 576."""
DARK, BRIGHT = 0.005, 0.995
"""Shares of an image's positions that are drawn black and white: single odd positions do not set its contrast.
Chosen, not measured."""
RING_D_ANGSTROM = (8.0, 4.0, 2.0, 1.5, 1.2, 1.0, 0.8, 0.6, 0.5)
"""Resolutions that rings are drawn at, as far as the detector reaches. Chosen, not measured: the round numbers that
crystallographers quote."""


class Edges(NamedTuple):
    """Straight borders of an area, (n,) each: from (row_0, column_0) to (row_1, column_1)."""

    row_0: NDArray[np.float64]
    column_0: NDArray[np.float64]
    row_1: NDArray[np.float64]
    column_1: NDArray[np.float64]


def stretched(pattern: NDArray[np.uint32], stretch: Stretch) -> NDArray[np.uint8]:
    """Return a pattern of counts as bytes for a screen: 0 stays 0, the brightest is 255."""
    highest = int(pattern.max(initial=0))
    if stretch == "linear":
        top = pattern.size - 1 - int(LINEAR_TOP * pattern.size)
        highest = max(int(np.partition(pattern.ravel(), -1 - top)[-1 - top]), 1)
    counts = np.minimum(pattern, highest) if stretch == "linear" else pattern
    bend = BENDS[stretch]
    if highest < pattern.size:
        table = np.rint(LEVELS * bend(np.arange(highest + 1, dtype=np.float32)) / max(float(bend(highest)), 1e-9))
        return np.asarray(table.astype(np.uint8)[counts])
    return np.rint(LEVELS * bend(counts.astype(np.float32)) / float(bend(highest))).astype(np.uint8)


def contrasted(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return an image of real space as bytes, its darkest and brightest positions cut off; NaN is black."""
    known = image[np.isfinite(image)]
    if not known.size:
        return np.zeros(image.shape, dtype=np.uint8)
    low, high = np.quantile(known, (DARK, BRIGHT))
    if not high > low:
        low, high = float(known.min()), max(float(known.max()), float(known.min()) + 1e-9)
    share = np.clip((np.nan_to_num(image, nan=float(low)) - low) / (high - low), 0.0, 1.0)
    return np.rint(LEVELS * share).astype(np.uint8)


def binned(pattern: NDArray[np.uint32], factor: int) -> NDArray[np.uint32]:
    """Return a pattern summed over squares of `factor` pixels; a rest at the far edges makes squares of its own."""
    if factor == 1:
        return pattern
    rows, columns = (-size % factor for size in pattern.shape)
    whole = np.pad(pattern, ((0, rows), (0, columns))) if rows or columns else pattern
    ny, nx = whole.shape
    summed = whole.reshape(ny // factor, factor, nx // factor, factor).sum(axis=(1, 3), dtype=np.uint32)
    return np.asarray(summed)


def edges_of(mask: NDArray[np.bool_]) -> Edges:
    """Return the borders between the positions of a mask (ny, nx) and all others, along the sides of positions."""
    framed = np.pad(mask, 1)
    row, column = np.nonzero(framed[1:, 1:-1] != framed[:-1, 1:-1])
    level, right = row - 0.5, column + 0.5
    row, column = np.nonzero(framed[1:-1, 1:] != framed[1:-1, :-1])
    upright, lower = column - 0.5, row + 0.5
    return Edges(
        np.concatenate([level, lower - 1.0]),
        np.concatenate([right - 1.0, upright]),
        np.concatenate([level, lower]),
        np.concatenate([right, upright]),
    )


def resolution_radius_px(detector: Detector, wavelength_angstrom: float, d_angstrom: float) -> float:
    """Return the radius at which spacing d diffracts: L tan(2 theta), on a detector that stands upright to the beam.

    Raises
    ------
    ValueError
        If d is shorter than half a wavelength: it does not diffract.
    """
    sine = wavelength_angstrom / (2.0 * d_angstrom)
    if not sine < 1.0:
        raise ValueError(f"d = {d_angstrom:g} angstrom does not diffract at {wavelength_angstrom:g} angstrom")
    return float(detector.camera_length_mm * np.tan(2.0 * np.arcsin(sine)) / detector.pixel_size_mm)


def resolution_at(detector: Detector, wavelength_angstrom: float, radius_px: float) -> float:
    """Return the spacing in angstrom that diffracts to a radius; infinite at the direct beam."""
    two_theta = np.arctan(radius_px * detector.pixel_size_mm / detector.camera_length_mm)
    sine = float(np.sin(two_theta / 2.0))
    return wavelength_angstrom / (2.0 * sine) if sine > 0 else float("inf")


def resolution_rings(
    detector: Detector, wavelength_angstrom: float, *, farthest_px: float
) -> tuple[tuple[float, float], ...]:
    """Return (d in angstrom, radius in px) of the rings that lie within `farthest_px` of the direct beam."""
    rings = ((d, resolution_radius_px(detector, wavelength_angstrom, d)) for d in RING_D_ANGSTROM)
    return tuple((d, radius) for d, radius in rings if radius <= farthest_px)
