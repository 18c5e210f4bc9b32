"""The orientation of a crystal whose cell is known, from spots too few to find a cell in.

Every two spots that two vectors of the lattice could be, by their lengths and the angle between them, give one
orientation; it is judged by how many of all spots lie on the lattice then, against how many would by chance. A
neighbour's orientation is one more to start from: near it fewer are tried, so that fewer spots do.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.stats import binom

from tasks.integrate.indexing.lattice_score import ALONG_RATIO, Cloud, index_spots, inverse, reduced
from tasks.model.arrays import Floats

PAIRED = 24
"""Spots, the strongest, of which pairs are taken. Chosen, not measured: 276 pairs, of which two thirds hold a spot that
is not the crystal's where half of the spots are not."""
MOST_TRIED = 40_000
"""Orientations. A guard of time and memory, chosen, not measured: cells of 2,000 cubic angstrom stay below it."""
LEAST_SINE = 0.3
"""Of the angle between two spots: 17 degrees. Chosen, not measured: less says little of the turn about both."""
FINISHED = 30
"""Orientations, the best of those tried, that are refined. Chosen, not measured: a cubic crystal has 24 equal ones."""
NEAR_FINISHED = 5
"""The same of those near each neighbour."""
AT_ONCE = 2_000_000
"""Spots times orientations judged together: 50 MB for each array of three numbers. Chosen, not measured."""
NEIGHBOUR_DEG = 6.0
"""Parts of one crystal lie closer in orientation, as in `crystals.relations`."""
LEAST_SPOTS = 6
"""Reflections on the lattice: two choose the orientation, four more confirm it. Chosen, not measured: `chance` is the
judge, and asks for more in most cells."""
ROUNDS = 3
"""Times the spots are indexed anew with the orientation that they gave. Chosen, not measured: it settles in two."""


class Oriented(NamedTuple):
    """A lattice laid on spots: columns of `basis` (3, 3) are a*, b*, c* at goniometer zero.

    ``chance``: expected number of the orientations tried that index as many spots by chance. ``start``: the neighbour
    whose orientation it nearly has, ``turn_deg`` the angle to that.
    """

    basis: Floats
    spots: int
    indexed: int
    chance: float
    start: str | None
    turn_deg: float | None


def orient(basis: Floats, cloud: Cloud, across: float, neighbours: Mapping[str, Floats]) -> Oriented | None:
    """Return the orientation of a known primitive cell that the spots speak for most; None if none was to be tried.

    Parameters
    ----------
    basis
        (3, 3), columns are the primitive a*, b*, c* in any orientation.
    across
        How far from its lattice point a spot may lie across the beam, 1/angstrom.
    neighbours
        The same basis as it lies in other crystals.
    """
    turns = np.concatenate(
        [_from_pairs(basis, cloud, across), *(_turn(one, basis)[None] for one in neighbours.values())]
    )
    if not len(turns):
        return None
    counts = _indexed_by(turns @ basis, cloud, across)
    best = [_refined(turns[row], basis, cloud, across) for row in np.argsort(-counts, kind="stable")[:FINISHED]]
    for one in neighbours.values():
        near = np.flatnonzero(_angles(turns @ _turn(one, basis).T) < NEIGHBOUR_DEG)
        first = near[np.argsort(-counts[near], kind="stable")][:NEAR_FINISHED]
        best += [_refined(turns[row], basis, cloud, across) for row in first]
    return min(
        (_judged(one, basis, cloud, across, neighbours) for one in best), key=lambda one: (one.chance, -one.indexed)
    )


def _from_pairs(basis: Floats, cloud: Cloud, across: float) -> Floats:
    """Return the rotations (k, 3, 3) that lay two lattice vectors on two spots."""
    strong = np.argsort(-cloud.weight, kind="stable")[:PAIRED]
    q = cloud.q[strong]
    length = np.linalg.norm(q, axis=1)
    vectors = _lattice_vectors(basis, float(length.max(initial=0.0)) + across)
    size = np.linalg.norm(vectors, axis=1)
    like = [np.flatnonzero(np.abs(size - one) < across) for one in length]
    found: list[Floats] = []
    pairs = sorted(combinations(range(len(q)), 2), key=lambda pair: len(like[pair[0]]) * len(like[pair[1]]))
    tried = 0
    for one, other in pairs:
        dot = float(q[one] @ q[other])
        sine = np.linalg.norm(np.cross(q[one], q[other])) / (length[one] * length[other])
        if sine < LEAST_SINE or not len(like[one]) or not len(like[other]):
            continue
        products = vectors[like[one]] @ vectors[like[other]].T
        off = across * (length[one] + length[other])
        most = np.sqrt(1 - (LEAST_SINE / 2) ** 2) * size[like[one]][:, None] * size[like[other]]
        first, second = np.nonzero((np.abs(products - dot) < off) & (np.abs(products) < most))
        tried += len(first)
        if tried > MOST_TRIED:
            break
        triads = _triads(vectors[like[one][first]], vectors[like[other][second]])
        found.append(_triads(q[one][None], q[other][None]) @ triads.transpose(0, 2, 1))
    return np.concatenate(found) if found else np.zeros((0, 3, 3))


def _lattice_vectors(basis: Floats, longest: float) -> Floats:
    reach = np.ceil(longest * np.linalg.norm(inverse(basis), axis=1)).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), axis=-1).reshape(-1, 3)
    vectors = grid[np.any(grid != 0, axis=1)] @ basis.T
    return np.asarray(vectors[np.linalg.norm(vectors, axis=1) <= longest])


def _triads(one: Floats, other: Floats) -> Floats:
    """Return right-handed orthonormal frames (n, 3, 3), columns, symmetric in the two vectors (n, 3)."""
    first = one / np.linalg.norm(one, axis=1, keepdims=True)
    second = other / np.linalg.norm(other, axis=1, keepdims=True)
    middle = first + second
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    normal = np.cross(first, second)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    return np.stack([middle, np.cross(normal, middle), normal], axis=2)


def _indexed_by(bases: Floats, cloud: Cloud, across: float) -> Floats:
    """Return how many spots each of the bases (k, 3, 3) of one cell indexes, (k,)."""
    counts = np.zeros(len(bases))
    side, along = _limits(bases[0], across)
    for rows in np.array_split(np.arange(len(bases)), 1 + len(bases) * len(cloud.q) // AT_ONCE):
        part = bases[rows]
        hkl = np.rint(np.einsum("kij,nj->kni", np.linalg.inv(part), cloud.q))
        off = cloud.q - np.einsum("kij,knj->kni", part, hkl)
        depth = np.einsum("kni,ni->kn", off, cloud.beam)
        lateral = np.sqrt(np.maximum((off**2).sum(axis=2) - depth**2, 0.0))
        counts[rows] = ((lateral < side) & (np.abs(depth) < along) & hkl.any(axis=2)).sum(axis=1)
    return counts


def _limits(basis: Floats, across: float) -> tuple[float, float]:
    """Return how far off a spot may lie across the beam and along it, as in `index_spots`."""
    spacing = float(np.linalg.norm(inverse(reduced(inverse(basis))), axis=0).min())
    return min(across, 0.25 * spacing), min(ALONG_RATIO * across, 0.3 * spacing)


def _refined(turn: Floats, basis: Floats, cloud: Cloud, across: float) -> Floats:
    """Return the rotation that lays the lattice best on the spots it indexes (Kabsch, Acta Cryst. A32, 922, 1976)."""
    for _ in range(ROUNDS):
        lattice = index_spots(turn @ basis, cloud, across)
        use = lattice.indexed
        if use.sum() < LEAST_SPOTS:
            break
        turn = _nearest(cloud.q[use].T @ (lattice.hkl[use] @ basis.T))
    return turn


def _judged(turn: Floats, basis: Floats, cloud: Cloud, across: float, neighbours: Mapping[str, Floats]) -> Oriented:
    lattice = index_spots(turn @ basis, cloud, across)
    angles = {name: float(_angles((turn @ _turn(one, basis).T)[None])[0]) for name, one in neighbours.items()}
    start = min(angles, key=lambda name: angles[name], default=None)
    if start is not None and angles[start] >= NEIGHBOUR_DEG:
        start = None
    indexed, (side, along) = int(lattice.indexed.sum()), _limits(basis, across)
    share = min(1.0, float(2 * np.pi * side**2 * along / abs(np.linalg.det(basis))))
    chance = float(binom.sf(indexed - 1, len(cloud.q), share)) if indexed >= LEAST_SPOTS else 1.0
    tried = _distinct(cloud, across, within_deg=None if start is None else NEIGHBOUR_DEG)
    return Oriented(
        basis=turn @ basis,
        spots=len(cloud.q),
        indexed=indexed,
        chance=chance * tried * (1 if start is None else len(neighbours)),
        start=start,
        turn_deg=None if start is None else angles[start],
    )


def _distinct(cloud: Cloud, across: float, *, within_deg: float | None) -> float:
    """Return how many orientations differ by more than the tolerance, of all or of those within an angle of one.

    The volume of all rotations is 8 pi^2, that of those by less than t about any axis 4 pi t^3 / 3 for small t.
    """
    step = across / max(float(np.median(np.linalg.norm(cloud.q, axis=1))), across)
    volume = 8 * np.pi**2 if within_deg is None else 4 / 3 * np.pi * np.radians(within_deg) ** 3
    return float(max(1.0, volume / step**3))


def _turn(one: Floats, basis: Floats) -> Floats:
    """Return the rotation (3, 3) that takes a basis nearest to another of nearly the same cell."""
    return _nearest(one @ inverse(basis))


def _nearest(matrix: Floats) -> Floats:
    """Return the rotation (3, 3) nearest to a matrix."""
    left, _, right = np.linalg.svd(matrix)
    return np.asarray(left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right)


def _angles(turns: Floats) -> Floats:
    """Return the angles in degrees of rotations (n, 3, 3), (n,)."""
    return np.degrees(np.arccos(np.clip((np.trace(turns, axis1=1, axis2=2) - 1) / 2, -1, 1)))
