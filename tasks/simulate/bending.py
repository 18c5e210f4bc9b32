"""Crystals whose lattice turns from one end to the other."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.simulate.cluster import Domain
from tasks.simulate.lattice import rotation_about
from tasks.simulate.models import SimulationSettings
from tasks.simulate.shapes import FACETS

MOST_NODES = 9
"""Orientations between which a bent crystal is taken as a mixture; each costs as much as a crystal. Chosen, not
measured: a bend of more than sixteen times the mosaic spread comes out as nine steps of it."""


class Bend(NamedTuple):
    """About ``axis`` (3,) by ``total_deg`` over ``length_nm`` along ``along`` (3,), all in the frame of tilt 0."""

    axis: NDArray[np.float64]
    along: NDArray[np.float64]
    length_nm: float
    total_deg: float
    nodes: int

    def turns(self) -> list[NDArray[np.float64]]:
        """Return the rotations (3, 3) at the nodes, evenly from one end to the other."""
        if self.nodes == 1:
            return [np.eye(3)]
        return [
            rotation_about(self.axis, float(angle)) for angle in self.total_deg * np.linspace(-0.5, 0.5, self.nodes)
        ]

    def shares(self, from_centre_nm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how much of each node, (nodes, ...), a place (..., 3) against the centre of the crystal has."""
        if self.nodes == 1:
            return np.ones((1, *from_centre_nm.shape[:-1]))
        at = np.clip(from_centre_nm @ self.along / self.length_nm + 0.5, 0.0, 1.0) * (self.nodes - 1)
        number = np.arange(self.nodes).reshape(-1, *[1] * at.ndim)
        return np.asarray(np.maximum(1.0 - np.abs(at - number), 0.0))


def bend_of(settings: SimulationSettings, domain: Domain) -> Bend:
    """Return how the crystal of a domain is bent: across the beam at tilt 0, a random stream for each crystal."""
    azimuth = np.random.default_rng([settings.seed, 6, domain.crystal]).uniform(0, 2 * np.pi)
    along = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    total, mosaic = settings.cluster.bend_deg, settings.cluster.mosaic_deg
    needed = 1 if total == 0 else 2 + int(np.ceil(total / max(2 * mosaic, total / MOST_NODES)))
    length = 2 * float(domain.body.distances[: 2 * len(FACETS)].mean())
    return Bend(np.array([-along[1], along[0], 0.0]), along, length, total, min(needed, MOST_NODES))
