"""The probe: how wide it is, where it stands while the specimen moves, and which thickness it meets."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.simulate.diffraction import FWHM_OF_SIGMA
from tasks.simulate.models import ANGSTROM_PER_NM, Instrument
from tasks.simulate.shapes import Chord, Polyhedron, chord, scan_points_nm

AIRY_FWHM = 0.5145
"""Full width at half maximum of an Airy pattern in wavelengths over semi-angles: (2 J1(x) / x)^2 is 1/2 at x = 1.6163,
and the width is 2 x / (2 pi)."""
POINTS = 32
"""Places of equal weight that stand for the probe: the shadow of a straight edge comes out in steps of 0.03 of the
thickness, by at most 0.05 from a normal distribution's (tests/unit/simulate/test_probe.py)."""
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
"""In radians: successive points of a spiral that fills a disc evenly (Vogel, Math. Biosci. 44, 179-189, 1979)."""


class Lit(NamedTuple):
    """What the probe meets of one body: scan positions (p,), and at each the parts (p, s) of the probe and the chords.

    ``length_nm`` and ``middle_nm`` are (p, s), ``weight`` is (s,), ``place_nm`` (p, s, 2).
    """

    position: NDArray[np.int64]
    length_nm: NDArray[np.float64]
    middle_nm: NDArray[np.float64]
    weight: NDArray[np.float64]
    place_nm: NDArray[np.float64]


def probe_fwhm_nm(instrument: Instrument, wavelength_angstrom: float) -> float:
    """Return the full width at half maximum of the probe; 0 for a parallel beam of which nothing is stated."""
    if instrument.probe_nm is not None:
        return instrument.probe_nm
    if instrument.convergence_mrad == 0:
        return 0.0
    return AIRY_FWHM * wavelength_angstrom / (instrument.convergence_mrad * 1e-3) / ANGSTROM_PER_NM


def probe_points(fwhm_nm: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return places (s, 2) in nm and weights (s,) that stand for a normal distribution of electrons."""
    if fwhm_nm == 0:
        return np.zeros((1, 2)), np.ones(1)
    number = np.arange(POINTS) + 0.5
    radius = np.sqrt(-2 * np.log1p(-number / POINTS)) * fwhm_nm / FWHM_OF_SIGMA
    angle = GOLDEN_ANGLE * number
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), np.full(POINTS, 1 / POINTS)


def places_met_nm(instrument: Instrument) -> NDArray[np.float64]:
    """Return the laboratory (x, y) in nm that each scan position meets, (rows * columns, 2), row by row.

    While the rows are taken one after another the specimen drifts evenly, and the rows shear; both are nothing in the
    middle of the scan.
    """
    rows, columns = instrument.scan_shape
    regular = scan_points_nm(instrument.scan_shape, instrument.step_nm, instrument.scan_rotation_deg)
    row, column = np.indices(instrument.scan_shape).reshape(2, -1)
    width = columns + instrument.flyback_columns
    time = (row * width + column) / max(rows * width - 1, 1) - 0.5
    sheared = (row / max(rows - 1, 1) - 0.5) * instrument.scan_shear_steps
    angle = np.radians(instrument.scan_rotation_deg)
    slow, fast = np.array([np.sin(angle), -np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)])
    drift = np.array(instrument.scan_drift_steps)
    moved = np.outer(time * drift[0], slow) + np.outer(time * drift[1] + sheared, fast)
    return regular - moved * instrument.step_nm


def lit(body: Polyhedron, places_nm: NDArray[np.float64], fwhm_nm: float) -> Lit:
    """Return what the probe at each place (n, 2) meets of a body."""
    offsets, weight = probe_points(fwhm_nm)
    reach = float(np.linalg.norm(offsets, axis=1).max())
    grown = body._replace(distances=body.distances + reach)
    position = np.flatnonzero(chord(grown, places_nm).length > 0)
    place = places_nm[position][:, None, :] + offsets
    met: Chord = chord(body, place.reshape(-1, 2))
    shape = (len(position), len(weight))
    return Lit(position, met.length.reshape(shape), met.middle.reshape(shape), weight, place)


def depth_weights(seen: Lit, part: NDArray[np.float64], depth_nm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the part of the probe, (p, t), that meets each of evenly rising depths; linear between them.

    ``part`` (p, s) is taken of each part of the probe, 1 for all of it.
    """
    between = depth_nm[1] - depth_nm[0]
    at = np.minimum(seen.length_nm / between, len(depth_nm) - 1)
    below = np.minimum(at.astype(np.int64), len(depth_nm) - 2)
    above = at - below
    cell = np.arange(len(seen.position))[:, None] * len(depth_nm) + below
    amount = part * seen.weight
    flat = np.bincount(cell.ravel(), (amount * (1 - above)).ravel(), minlength=len(seen.position) * len(depth_nm))
    flat += np.bincount(cell.ravel() + 1, (amount * above).ravel(), minlength=len(flat))
    return np.asarray(flat.reshape(len(seen.position), len(depth_nm)), dtype=np.float64)
