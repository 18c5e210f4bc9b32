"""How well a lattice explains scattering vectors, and which of several lattices the evidence prefers.

A large cell has many lattice points, and with two crystals in the aperture it gathers spots of both: it explains more
of them than the lattice of either crystal. So the spots indexed are weighed against what chance would index with that
many points, by the information that the indexing gains (Kullback & Leibler, Ann. Math. Stat. 22, 79-86, 1951), and a
larger cell than the one that gains most must explain most of the rest, or many times more of it than chance would.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from tasks.crystal.lattice import reduced_basis
from tasks.model import UnitCell
from tasks.model.arrays import Floats, Integers, Mask

ALONG_RATIO = 1.5
"""Tolerance along the beam over that across: on a still the point lies anywhere in the width of the relrod. Chosen, not
measured; 0.75 and 3 pass the tests of unknown cells and superstructures (tests/unit/integrate/indexing) too."""
MOST_CHANCE = 0.9
"""Keeps the score finite: it divides by one less chance. Chosen, not measured: 0.5 and 0.99 pass the tests of unknown
cells and superstructures in tests/unit/integrate/indexing too."""
DEVIATIONS = 3.0
"""Of normal residuals, 98.9 % across the beam (two dimensions) and 99.7 % along it lie within. At 1.5 a superstructure
with few spots is lost (tests/unit/integrate/indexing/test_two_crystals.py)."""
SHARE_OF_REST, OVER_CHANCE = 0.25, 3.0
"""Of the spots left over, the share that a larger cell must index, and how many times what chance would. Chosen, not
measured: pairs of crystals are told apart, 32 of 32 (tests/benchmarks/RESULTS.md); 0.06 or 1 do for corundum,
diopside."""
OCCUPANCY = 0.05
"""How full the added points must be, relative to the smaller cell's: a superstructure that shows 6 % of its own spots
is kept (tests/unit/integrate/indexing/test_two_crystals.py; at 0.1 it is lost)."""
LEAST_ADDED = 12
"""Spots: fewer are left to chance, and a basis of nine numbers is not refined against fewer either. With 48 the
superstructure of tests/unit/integrate/indexing/test_two_crystals.py, which adds 48 spots, is lost."""
VOLUME_STEP = 1.4
"""Cells of a lattice and of its sublattices have whole ratios: the root of two parts one (errors) from two."""


class Cloud(NamedTuple):
    """Scattering vectors at goniometer zero: q (n, 3) in 1/angstrom, the beam's direction there (n, 3), weight (n,)."""

    q: Floats
    beam: Floats
    weight: Floats

    def where(self, selected: Mask | Integers) -> "Cloud":
        """Return some of the vectors."""
        return Cloud(*(cast("Any", column)[selected] for column in self))


class Lattice(NamedTuple):
    """A basis (3, 3) with columns a*, b*, c*; which spots it indexes, how, and how far off they are.

    ``residual`` (n, 2) in 1/angstrom: across and along the beam. ``share``: the weighted fraction that is indexed;
    ``chance``: the fraction that a cell of this volume would index by chance. ``score``: what is indexed beyond it.
    """

    basis: Floats
    indexed: Mask
    hkl: Integers
    residual: Floats
    share: float
    chance: float

    @property
    def fraction(self) -> float:
        """The fraction of the spots that are indexed."""
        return float(self.indexed.mean())

    @property
    def score(self) -> float:
        """The share that is indexed less what chance would index, of what chance would not."""
        return (self.share - self.chance) / (1.0 - self.chance)

    @property
    def information(self) -> float:
        """What the indexing tells, in nats per spot: zero for a lattice that does no better than chance."""
        share = float(np.clip(self.share, 1e-6, 1 - 1e-6))
        if share <= self.chance:
            return 0.0
        return float(share * np.log(share / self.chance) + (1 - share) * np.log((1 - share) / (1 - self.chance)))

    @property
    def volume(self) -> float:
        """The volume of the cell in angstrom^3."""
        return 1.0 / abs(float(np.linalg.det(self.basis)))


def reduced(rows: Floats) -> Floats:
    """Return the Niggli-reduced basis (3, 3), rows a, b, c, right-handed, of the same lattice.

    The reduction is gemmi's (Gruber's algorithm in the form of Grosse-Kunstleve et al., Acta Cryst. A60, 1, 2004).
    """
    columns = reduced_basis(UnitCell.of(cell_parameters(rows)))
    new = np.asarray(columns.T @ rows, dtype=np.float64)
    return new if np.linalg.det(new) > 0 else -new


def cell_parameters(rows: Floats) -> tuple[float, float, float, float, float, float]:
    """Return a, b, c, alpha, beta, gamma of direct axes (3, 3), rows."""
    a, b, c = np.linalg.norm(rows, axis=1)
    unit = rows / np.array([[a], [b], [c]])
    cosines = np.clip([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]], -1, 1)
    alpha, beta, gamma = np.degrees(np.arccos(cosines))
    return float(a), float(b), float(c), float(alpha), float(beta), float(gamma)


def index_spots(basis: Floats, cloud: Cloud, across: float, along: float | None = None) -> Lattice:
    """Index spots with a basis.

    Parameters
    ----------
    across, along
        How far from its lattice point a spot may lie across the beam and along it, 1/angstrom; if ``along`` is not
        given, ALONG_RATIO times ``across``. Neither exceeds 0.3 of the shortest reciprocal axis.
    """
    hkl = np.rint(cloud.q @ inverse(basis).T)
    off = cloud.q - hkl @ basis.T
    depth = np.einsum("ij,ij->i", off, cloud.beam)
    lateral = np.linalg.norm(off - depth[:, None] * cloud.beam, axis=1)
    spacing = float(np.linalg.norm(inverse(reduced(inverse(basis))), axis=0).min())
    limit_across = min(across, 0.25 * spacing)
    limit_along = min(ALONG_RATIO * across if along is None else along, 0.3 * spacing)
    indexed = (lateral < limit_across) & (np.abs(depth) < limit_along) & (hkl != 0).any(axis=1)
    chance = min(MOST_CHANCE, np.pi * limit_across**2 * 2 * limit_along / abs(float(np.linalg.det(basis))))
    share = float(np.average(indexed, weights=np.sqrt(cloud.weight)))
    return Lattice(basis, indexed, hkl.astype(np.int64), np.stack([lateral, depth], axis=1), share, chance)


def refine_basis(basis: Floats, cloud: Cloud, across: float) -> Lattice:
    """Return the lattice after least squares on the spots it indexes, from low to full resolution."""
    radius = np.linalg.norm(cloud.q, axis=1)
    for limit in np.quantile(radius, (0.35, 0.6, 0.8, 1.0, 1.0)):
        near = cloud.where(radius <= limit)
        lattice = index_spots(basis, near, 1.5 * across)
        use = lattice.indexed
        if use.sum() < 12 or np.linalg.matrix_rank(lattice.hkl[use].astype(np.float64)) < 3:
            break
        weight = np.sqrt(near.weight[use])[:, None]
        solution = np.linalg.lstsq(lattice.hkl[use] * weight, near.q[use] * weight, rcond=None)[0]
        basis = np.asarray(solution.T, dtype=np.float64)
    return index_spots(basis, cloud, across)


def preferred(lattices: Sequence[Lattice], cloud: Cloud, across: float) -> Lattice:
    """Return the lattice that the spots speak for: see the head of this module.

    The lattices are compared with the tolerance that the residuals of the best one allow, which makes chance small;
    the one returned is indexed with the tolerance given.
    """
    chosen = max(lattices, key=lambda lattice: lattice.information)
    sharp = list(lattices)
    for _ in range(2):
        lateral, depth = _tolerances(chosen, across)
        sharp = [index_spots(lattice.basis, cloud, lateral, depth) for lattice in lattices]
        chosen = max(sharp, key=lambda lattice: lattice.information)
    for larger in sorted(sharp, key=lambda lattice: lattice.volume):
        if larger.volume > VOLUME_STEP * chosen.volume and _needed(larger, chosen, len(cloud.q)):
            chosen = larger
    return index_spots(chosen.basis, cloud, across)


def _tolerances(lattice: Lattice, across: float) -> tuple[float, float]:
    """Return the residuals across and along the beam within which nearly all spots of a lattice lie."""
    if lattice.indexed.sum() < LEAST_ADDED:
        return across, ALONG_RATIO * across
    lateral, depth = np.median(np.abs(lattice.residual[lattice.indexed]), axis=0)
    return (  # the median of a normal distribution in two and in one dimension: 1.18 and 0.67 deviations
        float(min(across, DEVIATIONS * lateral / 1.18)),
        float(min(ALONG_RATIO * across, DEVIATIONS * depth / 0.67)),
    )


def _needed(larger: Lattice, smaller: Lattice, spots: int) -> bool:
    """Tell whether the points that the larger cell adds hold spots of their own, rather than another crystal's."""
    added = larger.share - smaller.share
    rest = 1.0 - smaller.share
    more = max(larger.chance - smaller.chance, 1e-9)
    return (
        added * spots >= LEAST_ADDED
        and added > SHARE_OF_REST * rest
        and added > OVER_CHANCE * rest * more
        and added / more > OCCUPANCY * smaller.share / smaller.chance
    )


def inverse(matrix: Floats) -> Floats:
    """Return the inverse of a matrix (3, 3)."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)
