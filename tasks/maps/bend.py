"""How much a lattice turns from one end of a crystal to the other."""

from typing import NamedTuple

import numpy as np

from tasks.model.arrays import Floats

FEWEST_CELLS = 6
"""Cells that a gradient is fitted to: twice the coefficients of each component."""


class BendOf(NamedTuple):
    """Degrees from end to end along the direction in which the lattice turns fastest, and their sigma."""

    degrees: float
    sigma_deg: float


def bend_of(place: Floats, rotation: Floats, covariance: Floats) -> BendOf | None:
    """Return the bend by a field of rotations that is linear in place; None where there are too few cells.

    Where the field is not linear its sigma is raised by what the cells deviate.

    Parameters
    ----------
    place
        (n, 2), any unit.
    rotation, covariance
        (n, 3) rotation vectors in radians, and (n, 3, 3).
    """
    if len(place) < FEWEST_CELLS:
        return None
    middle = place.mean(axis=0)
    terms = np.concatenate([np.ones((len(place), 1)), place - middle], axis=1)
    weight = np.linalg.inv(covariance)
    normal = np.einsum("ni,njk,nl->ijlk", terms, weight, terms).reshape(9, 9)
    right = np.einsum("ni,njk,nk->ij", terms, weight, rotation).reshape(9)
    inverse = np.linalg.pinv(normal, hermitian=True)
    field = (inverse @ right).reshape(3, 3)
    left = rotation - terms @ field
    deviation = float(np.einsum("ni,nij,nj->", left, weight, left)) / max(3 * len(place) - 9, 1)
    turn, size, direction = np.linalg.svd(field[1:].T)
    along = direction[0]
    extent = float(np.ptp((place - middle) @ along))
    lever = np.einsum("i,j->ij", np.concatenate([[0.0], along]), turn[:, 0]).reshape(9)
    sigma = float(np.sqrt(lever @ inverse @ lever * max(deviation, 1.0)))
    return BendOf(float(np.degrees(size[0] * extent)), float(np.degrees(sigma * extent)))
