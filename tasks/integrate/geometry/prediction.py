"""Which reflections stand near the Ewald sphere on which frame, where, and how far off."""

from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from tasks.integrate.geometry.mapping import Crystal, Geometry, detector_px, excitation_error, orientations
from tasks.model.arrays import Floats, Integers


class Predictions(NamedTuple):
    """Reflections near the sphere, frame by frame, sorted by frame.

    ``hkl`` (n, 3) int32, ``frame`` (n,), ``px`` (n, 2) (slow, fast), ``q`` (n, 3) in the laboratory, ``excitation``
    (n,) in 1/angstrom at the frame's angle, ``travel`` (n,) by how much it changes during the exposure.
    """

    hkl: NDArray[np.int32]
    frame: Integers
    px: Floats
    q: Floats
    excitation: Floats
    travel: Floats

    def where(self, selected: NDArray[np.bool_] | Integers) -> "Predictions":
        """Return some of the predictions."""
        return Predictions(*(cast("Any", column)[selected] for column in self))


def all_hkl(basis: Floats, d_min: float, d_max: float) -> NDArray[np.int32]:
    """Return every hkl (n, 3) of a basis (columns a*, b*, c*) between two resolutions, Friedel mates included."""
    reach = np.floor(np.linalg.norm(np.linalg.inv(basis), axis=1) / d_min).astype(int)
    grids = np.meshgrid(*[np.arange(-limit, limit + 1) for limit in reach], indexing="ij")
    hkl = np.stack([grid.ravel() for grid in grids], axis=1).astype(np.int32)
    length = np.linalg.norm(hkl @ basis.T, axis=1)
    return hkl[(length <= 1.0 / d_min) & (length >= 1.0 / d_max)]


def travel_of(q_lab: Floats, axis: Floats, width_deg: Floats, wavelength: float) -> Floats:
    """Return the change of the excitation error (n,) while the crystal turns by widths (n,) in degrees."""
    outgoing = q_lab - np.array([0.0, 0.0, 1.0 / wavelength])
    outgoing /= np.linalg.norm(outgoing, axis=1, keepdims=True)
    rate = -np.einsum("ij,ij->i", outgoing, np.cross(axis, q_lab))
    return np.asarray(rate * np.radians(width_deg))


def predict(
    geometry: Geometry,
    crystal: Crystal,
    hkl: NDArray[np.int32],
    *,
    width_deg: Floats,
    used: NDArray[np.bool_],
    shape: tuple[int, int],
    reach: tuple[float, float],
) -> Predictions:
    """Predict every reflection on every frame that is used.

    Parameters
    ----------
    hkl
        (n, 3) candidates.
    width_deg
        (frames,) rotation during the exposure, 0 for a still.
    reach
        (constant in 1/angstrom, angle in radians): reflections with an excitation error up to the root of the sum of
        squares of the constant and of the angle times |q| are kept.
    """
    parts: list[Predictions] = []
    length = np.linalg.norm(hkl @ crystal.basis.T, axis=1)
    limit = np.hypot(reach[0], reach[1] * length)
    for number, matrix in enumerate(orientations(geometry, crystal)):
        if not used[number]:
            continue
        q = hkl @ matrix.T
        excitation = excitation_error(q, geometry.wavelength)
        travel = travel_of(q, geometry.axis, np.full(len(q), width_deg[number]), geometry.wavelength)
        near = np.abs(excitation) <= limit + np.abs(travel) / 2
        px = detector_px(q[near], geometry.beam_px[number], geometry)
        inside = ((px >= 0) & (px <= np.array(shape) - 1)).all(axis=1)
        chosen = np.flatnonzero(near)[inside]
        frame = np.full(len(chosen), number, dtype=np.int64)
        parts.append(Predictions(hkl[chosen], frame, px[inside], q[chosen], excitation[chosen], travel[chosen]))
    return Predictions(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def crossings(predictions: Predictions) -> Integers:
    """Return the number (n,) of the crossing of the Ewald sphere that each prediction belongs to.

    Predictions of one hkl on frames without a break belong to one crossing.
    """
    order = np.lexsort((predictions.frame, *predictions.hkl.T))
    hkl, frame = predictions.hkl[order], predictions.frame[order]
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = (hkl[1:] != hkl[:-1]).any(axis=1) | (frame[1:] - frame[:-1] > 1)
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.cumsum(begins) - 1
    return number
