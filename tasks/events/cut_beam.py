"""A direct beam of which part lies on pixels that count nothing: its centre from the part that is seen.

The centre of mass of half a disc lies beside its centre. A disc with soft edges is fitted to the valid pixels instead,
which the rim of a cut beam places as well as that of a whole one.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from tasks.events.direct_beam import BeamFit
from tasks.model.experiment import PixelPosition

REACH = 3.0
"""Of the beam's radius, and at least REACH_PX: as far as the fit looks."""
REACH_PX = 8.0
"""See REACH. Chosen, not measured: a sharp beam's surroundings must be in the fit, its reflections not."""
TOUCHING = 2.0
"""Of the beam's radius: a mask that comes closer cuts it, or may."""
LEAST_SEEN = 0.25
"""Of the beam's pixels that must be valid. Chosen, not measured: of less the rim alone is seen."""
HIDDEN_PX = 4.0
"""About the place where the beam should be. Chosen, not measured: the beam of a parallel probe is as wide; of a wider
one the rim is seen, and fitted."""
HIDDEN_SHARE = 0.8
"""Of the pixels there that must be masked. Chosen, not measured: the edge of a dead sector leaves half of a beam."""
MOST_ERROR_PX = 0.3
"""Standard error of either coordinate; a worse one says less than the neighbouring tilts do. Chosen, not measured."""


def is_cut(fit: BeamFit, valid: NDArray[np.bool_]) -> bool:
    """Tell whether pixels that are not valid lie on the beam or close to it."""
    near = _distance(valid.shape, fit.centre[0], fit.centre[1]) <= max(TOUCHING * fit.radius_px, 3.0)
    return bool((near & ~valid).any())


def is_hidden(place: PixelPosition, valid: NDArray[np.bool_]) -> bool:
    """Tell whether a beam at this place lies behind a stop or on dead pixels: what is bright elsewhere is not it."""
    near = _distance(valid.shape, place[0], place[1]) <= HIDDEN_PX
    return bool(near.any() and (~valid[near]).mean() >= HIDDEN_SHARE)


def beam_from_part(
    pattern: NDArray[np.floating | np.integer], valid: NDArray[np.bool_], fit: BeamFit
) -> BeamFit | None:
    """Return the beam fitted to its valid pixels, or None if they do not tell where its centre lies.

    Parameters
    ----------
    pattern, valid
        (slow, fast).
    fit
        Where the beam was found, to start from.
    """
    reach = max(REACH * fit.radius_px, REACH_PX)
    rows, columns = np.nonzero((_distance(valid.shape, *fit.centre) <= reach) & valid)
    counts = pattern[rows, columns].astype(np.float64)
    if len(counts) < LEAST_SEEN * np.pi * reach**2 or counts.sum() <= 0:
        return None
    weight = 1.0 / np.sqrt(np.maximum(counts, 1.0))
    low = float(np.percentile(counts, 10))

    def misfit(p: NDArray[np.float64]) -> NDArray[np.float64]:
        distance = np.hypot(rows - p[0], columns - p[1])
        edge = np.clip((distance - p[4]) / p[5], -50.0, 50.0)
        return (p[2] / (1.0 + np.exp(edge)) + p[3] - counts) * weight

    start = np.array([*fit.centre, max(float(counts.max()) - low, 1.0), low, max(fit.radius_px / 1.3, 0.5), 0.7])
    lowest = np.array([start[0] - reach, start[1] - reach, 0.0, 0.0, 0.0, 0.1])
    highest = np.array([start[0] + reach, start[1] + reach, np.inf, np.inf, reach, reach])
    found = optimize.least_squares(misfit, start, bounds=(lowest, highest), x_scale=np.maximum(np.abs(start), 0.1))
    jacobian = np.asarray(found.jac, dtype=np.float64)
    goodness = 2.0 * found.cost / max(len(counts) - len(start), 1)
    error = np.sqrt(np.maximum(np.diag(np.linalg.pinv(jacobian.T @ jacobian)), 0.0)[:2] * max(goodness, 1.0))
    if not found.success or not (error <= MOST_ERROR_PX).all():
        return None
    return BeamFit((float(found.x[0]), float(found.x[1])), fit.radius_px, "peak")


def _distance(shape: tuple[int, ...], row: float, column: float) -> NDArray[np.float64]:
    return np.hypot(np.arange(shape[0])[:, None] - row, np.arange(shape[1])[None, :] - column)
