"""Which way the crystal turned: both senses of the axis, its azimuth, and the lattice that goes with them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tasks.integrate.geometry.mapping import Geometry, crystal_q, rotations
from tasks.integrate.indexing.fourier_lattice import find_lattice, lattice_vectors, periodogram
from tasks.integrate.indexing.lattice_score import Cloud, Lattice
from tasks.integrate.spots.spot_search import Spots, merge_over_frames
from tasks.model.arrays import Floats

BETTER = 1.1
"""Factor in merit that another azimuth must gain. Chosen, not measured: the search takes the best of three azimuths and
two senses, which chance alone makes a little better than the one given."""
SCAN_STEP_DEG = 2.0
"""Half a step, 1 degree, moves a point at 0.5 1/angstrom by at most 0.009 1/angstrom at tilts of 60 degrees (0.5 x 2
sin 30 x 0.0175): within TOLERANCE_PX of a camera of 11000 px at 300 kV (0.014). The refinement finds the rest."""
SCAN_SPOTS = 1500
"""Half the number of strongest spots used at each azimuth. Chosen, not measured: noise is 1.8 % of the height of a
perfect vector then (1 / sqrt(3000)), and the time grows with the number."""
TOLERANCE_PX = 3.0
"""How far across the beam a spot may lie from its lattice point; at most a quarter of the shortest reciprocal axis.
Chosen, not measured: jumps of the beam must fit in, other spots must not. 1.5 and 4.5 pass the tests of two and three
crystals of corundum and diopside (tests/unit/integrate/indexing/test_two_crystals.py)."""


class IndexedLattice(NamedTuple):
    """A geometry and the lattice found with it; ``rmsd_px`` is of the whole vector, excitation error included."""

    geometry: Geometry
    lattice: Lattice
    rmsd_px: float


def cloud_of(geometry: Geometry, spots: Spots) -> Cloud:
    """Return the reflections of the spots as scattering vectors: spots on neighbouring frames are one reflection."""
    q = crystal_q(spots.px, spots.frame, geometry)
    beam = rotations(geometry.axis, geometry.angle_deg)[spots.frame][:, 2, :]
    reflection = merge_over_frames(spots, 2.5)
    weight = spots.counts
    total = np.bincount(reflection, weights=weight)
    mean = _summed(reflection, weight[:, None] * q) / total[:, None]
    along = _summed(reflection, weight[:, None] * beam)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    return Cloud(mean, along, np.sqrt(np.minimum(total, 20 * np.median(total))))


def index_with(geometry: Geometry, spots: Spots, longest: float) -> IndexedLattice | None:
    """Return the lattice found with this geometry, None if there is none."""
    cloud = cloud_of(geometry, spots)
    per_px = 1.0 / (geometry.distance_px * geometry.wavelength)
    lattice = find_lattice(cloud, longest=longest, across=TOLERANCE_PX * per_px)
    if lattice is None or lattice.indexed.sum() < 6:
        return None
    rmsd = float(np.sqrt(np.mean((lattice.residual[lattice.indexed] ** 2).sum(axis=1)))) / per_px
    return IndexedLattice(geometry, lattice, rmsd)


def reversed_axis(geometry: Geometry) -> Geometry:
    """Return the geometry with the opposite sense of rotation."""
    return geometry._replace(axis=-geometry.axis)


def turned_axis(geometry: Geometry, azimuth_deg: float) -> Geometry:
    """Return the geometry with the axis turned about the beam, counter-clockwise seen from the source."""
    turn = Rotation.from_rotvec([0.0, 0.0, np.radians(azimuth_deg)])
    return geometry._replace(axis=np.asarray(turn.apply(geometry.axis)))


def merit(found: IndexedLattice | None) -> float:
    """Return how well a geometry does: the fraction indexed beyond chance, less for large residuals."""
    if found is None:
        return 0.0
    return max(found.lattice.score, 0.0) / (1.0 + 0.3 * found.rmsd_px)


class Senses(NamedTuple):
    """What either sense of the axis gives; ``note`` says how the axis was sought."""

    given: IndexedLattice | None
    opposite: IndexedLattice | None
    note: str = ""

    @property
    def reverse(self) -> bool:
        """Whether the opposite sense indexes better."""
        return merit(self.opposite) > merit(self.given)

    @property
    def winner(self) -> IndexedLattice | None:
        """The better sense."""
        return self.opposite if self.reverse else self.given


def both_senses(geometry: Geometry, spots: Spots, longest: float) -> Senses:
    """Index with both senses of the axis; ``longest``: axis of the primitive cell, angstrom."""
    return Senses(index_with(geometry, spots, longest), index_with(reversed_axis(geometry), spots, longest))


def along_other_azimuths(senses: Senses, geometry: Geometry, spots: Spots, *, longest: float, deg: float) -> Senses:
    """Return what both senses give with the axis turned by up to ``deg`` if that is better, else what is known."""
    given = best_azimuth(geometry, spots, longest=longest, search_deg=deg)
    opposite = best_azimuth(reversed_axis(geometry), spots, longest=longest, search_deg=deg)
    if max(merit(given), merit(opposite)) > BETTER * max(merit(senses.given), merit(senses.opposite)):
        return Senses(given, opposite, " after a search of the azimuth")
    return senses


def best_azimuth(geometry: Geometry, spots: Spots, *, longest: float, search_deg: float) -> IndexedLattice | None:
    """Return the best lattice with the axis turned by up to ``search_deg`` about the beam."""
    part = spots.where(np.sort(np.argsort(-spots.significance)[: 2 * SCAN_SPOTS]))
    steps = np.arange(-search_deg, search_deg + 0.5 * SCAN_STEP_DEG, SCAN_STEP_DEG)
    quality = []
    for step in steps:
        cloud = cloud_of(turned_axis(geometry, float(step)), part)
        vectors = lattice_vectors(cloud, min(longest, 40.0))
        height = np.sort(periodogram(cloud, vectors))[::-1]
        quality.append(float(height[:8].mean()) if len(height) else 0.0)
    best: IndexedLattice | None = None
    for index in np.argsort(quality)[::-1][:3]:
        found = index_with(turned_axis(geometry, float(steps[index])), spots, longest)
        if merit(found) > merit(best):
            best = found
    return best


def _summed(group: NDArray[np.int64], values: Floats) -> Floats:
    columns = [np.bincount(group, weights=column).astype(np.float64) for column in values.T]
    return np.stack(columns, axis=1)
