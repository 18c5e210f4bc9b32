"""Which reflections further tilts of a crystal would bring, by the orientation that its frames have shown so far."""

from collections.abc import Sequence
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.miller import centring_allows
from tasks.crystal.symmetry import space_group
from tasks.frames import FrameSeries
from tasks.integrate.geometry.mapping import Crystal, geometry_of
from tasks.integrate.geometry.prediction import all_hkl, predict
from tasks.integrate.known_geometry import known_lattice
from tasks.integrate.merging.equivalents import to_asymmetric_unit
from tasks.integrate.merging.statistics import possible_reflections
from tasks.integrate.models import Reflections
from tasks.model.arrays import Floats

REACH = 1.0
"""Widths of the rocking curve within which a reflection counts as measured by a still. Chosen, not measured: further
off it has less than half of its peak."""
LOW_ANGSTROM = 60.0
"""Low-resolution limit of what is asked for: that of `IntegrationSettings.d_max_angstrom`."""


class Forecast(NamedTuple):
    """What further tilts would do for a crystal; fractions of the unique reflections to `d_min_angstrom`.

    ``planned`` is that of all tilts that are to come, None where nobody has said which; ``best`` lists tilts that
    would add most, each after those before it: (tilt, completeness then).
    """

    now: float
    planned: float | None
    best: tuple[tuple[float, float], ...]
    d_min_angstrom: float


def forecast_completeness(
    reflections: Reflections,
    frames: FrameSeries,
    *,
    planned_deg: Sequence[float],
    candidates_deg: Sequence[float],
    tilts: int = 3,
) -> Forecast:
    """Foretell the completeness that further tilts give.

    Parameters
    ----------
    planned_deg
        Tilts that are to come; none: not known.
    candidates_deg
        Tilts among which those are chosen that add most, one after the other.

    Raises
    ------
    InputError
        If the reflections keep no geometry: they are of another engine than the built-in one.
    """
    laue = space_group(reflections.laue_group)
    measured = unique_rows(reflections.unique_reflections.hkl)
    d_star = 1.0 / reflections.d_min_angstrom
    low = max(1.0 / reflections.overall.d_max_angstrom, 1.0 / LOW_ANGSTROM)
    possible = len(possible_reflections(reflections.unit_cell, laue, low**2, d_star**2))
    seen = _met(reflections, frames, laue, sorted({*planned_deg, *candidates_deg}))

    def share(found: set[tuple[int, ...]]) -> float:
        return min(1.0, len(found) / possible) if possible else 0.0

    so_far, left = set(measured), set(candidates_deg)
    best: list[tuple[float, float]] = []
    while left and len(best) < tilts:
        tilt = max(sorted(left), key=lambda angle: len(seen[angle] - so_far))
        if not seen[tilt] - so_far:
            break
        so_far |= seen[tilt]
        left.discard(tilt)
        best.append((tilt, share(so_far)))
    planned = share(set(measured).union(*(seen[angle] for angle in planned_deg))) if planned_deg else None
    return Forecast(share(measured), planned, tuple(best), reflections.d_min_angstrom)


def unique_rows(hkl: NDArray[np.int32]) -> set[tuple[int, ...]]:
    """Return the rows of indices (n, 3) as a set."""
    return set(map(tuple, hkl.tolist()))


def _met(
    reflections: Reflections, frames: FrameSeries, laue: gemmi.SpaceGroup, angles_deg: Sequence[float]
) -> dict[float, set[tuple[int, ...]]]:
    """Return by tilt the unique reflections that a still there meets, on the detector."""
    if not angles_deg:
        return {}
    known = known_lattice(reflections)
    angles: Floats = np.array(angles_deg, dtype=np.float64)
    geometry = geometry_of(frames)._replace(axis=known.axis, ellipse=known.ellipse, angle_deg=angles)
    geometry = geometry._replace(beam_px=np.tile(np.median(geometry.beam_px, axis=0), (len(angles), 1)))
    if reflections.cell_scale is not None:
        distance = reflections.cell_scale.camera_length_mm / frames.detector.pixel_size_mm
        geometry = geometry._replace(distance_px=distance)
    hkl = all_hkl(known.basis, reflections.d_min_angstrom, LOW_ANGSTROM)
    found = predict(
        geometry,
        Crystal(known.basis, np.zeros((len(angles), 3))),
        hkl[centring_allows(hkl, laue.operations())],
        width_deg=np.zeros(len(angles)),
        used=np.ones(len(angles), dtype=bool),
        shape=frames.detector.shape_px,
        reach=(REACH * known.width, REACH * known.spread),
    )
    unique = to_asymmetric_unit(found.hkl, laue)
    return {angle: unique_rows(unique[found.frame == number]) for number, angle in enumerate(angles_deg)}
