"""The cluster: where the crystals are, how they are turned, and the part of one that is misoriented."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tasks.crystal.lattice import reciprocal_matrix
from tasks.model import UnitCell
from tasks.simulate.lattice import rotation_about
from tasks.simulate.models import SimulationSettings
from tasks.simulate.shapes import Polyhedron, cut, faceted

CANDIDATES = 400
"""Places drawn for a crystal, of which the nearest to the others is taken. Chosen, not measured: fewer make looser
clusters. Another number makes other series of every seed."""
CLEARANCE = 0.9  # centres in space, as a part of the sum of the radii: facets may touch


class Domain(NamedTuple):
    """A part of a crystal with one orientation: `ub` (3, 3) at tilt 0, diameter in nm."""

    crystal: int
    bad: bool
    ub: NDArray[np.float64]
    body: Polyhedron


def build_cluster(cell: UnitCell, settings: SimulationSettings, rng: np.random.Generator) -> tuple[Domain, ...]:
    """Return the domains of all crystals, at tilt 0 about the middle of the scan."""
    plan = settings.cluster
    diameters = plan.size_nm * np.clip(rng.normal(1.0, plan.size_spread, plan.crystals), 0.4, 1.8)
    centres = _place(diameters / 2, settings, rng)
    matrix = reciprocal_matrix(cell)
    domains: list[Domain] = []
    for crystal, (diameter, centre) in enumerate(zip(diameters, centres, strict=True)):
        orientation = _orientation(crystal, settings, rng)
        body = faceted(orientation @ matrix, float(diameter), centre, rng)
        if crystal == 0 and plan.bad_fraction > 0:
            domains += _with_bad_part(orientation, matrix, body, settings, rng)
        else:
            domains.append(Domain(crystal, bad=False, ub=orientation @ matrix, body=body))
    return tuple(domains)


def _orientation(crystal: int, settings: SimulationSettings, rng: np.random.Generator) -> NDArray[np.float64]:
    drawn = Rotation.random(rng=rng).as_matrix()
    given = settings.cluster.orientations
    return Rotation.from_rotvec(np.radians(given[crystal])).as_matrix() if crystal < len(given) else drawn


def _with_bad_part(
    orientation: NDArray[np.float64],
    matrix: NDArray[np.float64],
    body: Polyhedron,
    settings: SimulationSettings,
    rng: np.random.Generator,
) -> list[Domain]:
    azimuth = rng.uniform(0, 2 * np.pi)  # across the beam, so that the part shows in projection
    good, bad = cut(body, np.array([np.cos(azimuth), np.sin(azimuth), 0.0]), settings.cluster.bad_fraction, rng)
    turn = rotation_about(rng.normal(size=3), settings.cluster.bad_misorientation_deg)
    return [
        Domain(0, bad=False, ub=orientation @ matrix, body=good),
        Domain(0, bad=True, ub=turn @ orientation @ matrix, body=bad),
    ]


def _place(radii: NDArray[np.float64], settings: SimulationSettings, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return centres (n, 3) in nm: each next crystal as near the others as overlap and clearance allow."""
    plan, instrument = settings.cluster, settings.instrument
    field = min(instrument.scan_shape) * instrument.step_nm / 2
    centres = np.zeros((0, 3))
    for number, radius in enumerate(radii):
        room = max(field - radius, 0.25 * field)
        height = plan.height_nm / 2
        spread = 0.35 if number == 0 else 1.0
        while True:
            trial = rng.uniform(-1, 1, (CANDIDATES, 3)) * np.array([room * spread, room * spread, height])
            gap = trial[:, None, :] - centres[None, :, :]
            reach = radius + radii[:number]
            apart = np.linalg.norm(gap[:, :, :2], axis=2) - (1 - plan.overlap) * reach
            clear = np.linalg.norm(gap, axis=2) - CLEARANCE * reach
            allowed = np.flatnonzero(((apart >= 0) & (clear >= 0)).all(axis=1))
            if len(allowed):
                break
            room, height = room * 1.05, height * 1.1 + 1.0  # a crowded field: let the cluster grow
        nearest = np.linalg.norm(gap[allowed], axis=2).sum(axis=1)
        centres = np.vstack([centres, trial[allowed[np.argmin(nearest)]]])
    if len(centres) == 0:
        return centres
    low, high = (centres - radii[:, None]).min(axis=0), (centres + radii[:, None]).max(axis=0)
    return centres - (low + high) / 2
