"""An unknown lattice from scattering vectors: peaks of their Fourier transform, then bases of three such vectors.

Source: Bricogne, Proceedings of the EEC Cooperative Workshop on Position-Sensitive Detector Software (LURE, 1986);
Campbell, J. Appl. Cryst. 31, 407-413 (1998); as in DIALS's fft3d. Departures: the peaks are refined against the spots,
and bases are scored with a tolerance that is looser along the beam, where a still leaves the scattering vector
uncertain by the width of the relrod.
"""

from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfftn
from scipy.spatial import cKDTree

from tasks.integrate.lattice import reduced_basis
from tasks.model import UnitCell

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

GRID = 216
VECTORS_KEPT = 28
INDEX_TOLERANCE = 0.2
ALONG_RATIO = 1.5
LEAST_VOLUME_ANGSTROM3 = 15.0
SPOTS_FOR_BASES = 1500


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

    ``residual`` (n, 2) in 1/angstrom: across and along the beam. ``score``: the indexed fraction less what chance
    would index with a cell of this volume.
    """

    basis: Floats
    indexed: Mask
    hkl: Integers
    residual: Floats
    score: float

    @property
    def fraction(self) -> float:
        """The fraction of the spots that are indexed."""
        return float(self.indexed.mean())


def lattice_vectors(cloud: Cloud, longest: float) -> Floats:
    """Return candidate vectors of the direct lattice (m, 3) in angstrom, best first.

    Parameters
    ----------
    longest
        Length in angstrom up to which vectors are sought.
    """
    reach = 1.1 * longest
    extent = min(GRID / (4.0 * reach), float(np.linalg.norm(cloud.q, axis=1).max()))
    near = cloud.where(np.linalg.norm(cloud.q, axis=1) < extent)
    step = 1.0 / (2.0 * reach)
    size = 2 * int(np.ceil(extent / step)) + 2
    cell = np.rint(near.q / step).astype(np.int64) % size
    grid = np.zeros((size, size, size), dtype=np.float32)
    np.add.at(grid, (cell[:, 0], cell[:, 1], cell[:, 2]), near.weight.astype(np.float32))
    power = np.abs(rfftn(grid)) / near.weight.sum()
    axis = np.fft.fftfreq(size, d=step)
    half = np.fft.rfftfreq(size, d=step)
    length = np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + half[None, None, :] ** 2)
    power[(length < 1.5) | (length > longest)] = 0.0
    threshold = np.partition(power.ravel(), -4000)[-4000]
    where = np.argwhere(power >= max(float(threshold), 1e-6))
    height = power[tuple(where.T)]
    order = np.argsort(-height)[:4000]
    vector = np.stack([axis[where[order, 0]], axis[where[order, 1]], half[where[order, 2]]], axis=1)
    separate = _without_neighbours(vector, 2.5 / (2 * extent))
    refined = refine_vectors(vector[separate][: 6 * VECTORS_KEPT], cloud)
    quality = periodogram(cloud, refined)
    lengths = np.linalg.norm(refined, axis=1)
    order = np.argsort(-quality)
    order = order[(lengths[order] > 1.5) & (lengths[order] < 1.05 * longest)]
    ordered = refined[order]
    distinct = ordered[_without_neighbours(ordered, 0.3)]
    good = distinct[periodogram(cloud, distinct) > 0.5 * quality.max()][: 8 * VECTORS_KEPT]
    return _unique_rows(np.concatenate([distinct[:VECTORS_KEPT], _generators(good)[:VECTORS_KEPT]]))


def _generators(vectors: Floats) -> Floats:
    """Return, shortest first, the vectors that are no multiple, sum or difference of shorter ones.

    Next to a long axis the short vectors of one plane outnumber all others: this keeps the long ones in sight.
    """
    kept: list[Floats] = []
    made = np.zeros((1, 3))
    for vector in vectors[np.argsort(np.linalg.norm(vectors, axis=1))]:
        gap = np.minimum(np.linalg.norm(made - vector, axis=1), np.linalg.norm(made + vector, axis=1))
        if gap.min() < 0.35 + 0.01 * np.linalg.norm(vector):
            continue
        kept.append(vector)
        if len(kept) > VECTORS_KEPT:
            break
        multiples = np.arange(-6, 7)[:, None] * vector
        made = (made[:, None, :] + multiples[None, :, :]).reshape(-1, 3)
        made = made[np.linalg.norm(made, axis=1) < 80.0][:20000]
    return np.array(kept).reshape(-1, 3)


def _unique_rows(vectors: Floats) -> Floats:
    return vectors[_without_neighbours(vectors, 1e-6)]


def periodogram(cloud: Cloud, vectors: Floats) -> Floats:
    """Return the weighted mean of cos(2 pi q.t), (m,), of vectors t (m, 3): 1 for a vector of the lattice."""
    return np.asarray(np.cos(2 * np.pi * (vectors @ cloud.q.T)) @ cloud.weight / cloud.weight.sum())


def refine_vectors(vectors: Floats, cloud: Cloud) -> Floats:
    """Return the vectors (m, 3) that make q.t integral for most spots, from low to full resolution."""
    radius = np.linalg.norm(cloud.q, axis=1)
    limits = np.quantile(radius, (0.2, 0.4, 0.6, 0.8, 1.0, 1.0))
    result = vectors.copy()
    for limit in limits:
        near = cloud.where(radius <= limit)
        projected = result @ near.q.T
        off = projected - np.rint(projected)
        weight = near.weight * (np.abs(off) < 0.25)
        normal = np.einsum("mn,ni,nj->mij", weight, near.q, near.q, optimize=True) + 1e-9 * np.eye(3)
        slope = np.einsum("mn,mn,ni->mi", weight, off, near.q, optimize=True)
        shift = np.linalg.solve(normal, slope[..., None])[..., 0]
        size = np.linalg.norm(shift, axis=1, keepdims=True)
        result -= shift * np.minimum(1.0, 1.0 / np.maximum(size, 1e-12))
    return result


def find_lattice(cloud: Cloud, *, longest: float, across: float) -> Lattice | None:
    """Return the lattice that explains most spots, None if no three vectors make a basis.

    Parameters
    ----------
    across
        How far from its lattice point a spot may lie across the beam, in 1/angstrom (a few pixels).
    """
    vectors = lattice_vectors(cloud, longest)
    if len(vectors) < 3:
        return None
    lattices = []
    for rows in candidate_bases(vectors, cloud):
        lattice = refine_basis(_inverse(reduced(rows)), cloud, across)
        if _plausible(lattice.basis, rows, longest):
            lattices.append(lattice)
    if not lattices:
        return None
    best = max(lattice.score for lattice in lattices)
    # a supercell explains as many spots: of those that do as well, the smallest cell
    return max((l for l in lattices if l.score > best - 0.015), key=lambda l: abs(float(np.linalg.det(l.basis))))


def candidate_bases(vectors: Floats, cloud: Cloud, *, kept: int = 8) -> list[Floats]:
    """Return bases (3, 3), rows a, b, c: the smallest volumes among those that make most indices integral."""
    part = cloud.where(np.argsort(-cloud.weight)[:SPOTS_FOR_BASES])
    projected = vectors @ part.q.T
    integral = (np.abs(projected - np.rint(projected)) < INDEX_TOLERANCE).astype(np.float32)
    number = len(vectors)
    first, second, third = (index.ravel() for index in np.meshgrid(*[np.arange(number)] * 3, indexing="ij"))
    keep = (first < second) & (second < third)
    first, second, third = first[keep], second[keep], third[keep]
    explained = np.stack([(integral * integral[k]) @ integral.T for k in range(number)]) / len(part.q)
    fraction = explained[first, second, third]
    triple = np.stack([vectors[first], vectors[second], vectors[third]], axis=1)
    volume = np.abs(np.linalg.det(triple))
    compact = volume / np.prod(np.linalg.norm(triple, axis=2), axis=1)
    chance = (2 * INDEX_TOLERANCE) ** 3
    score = np.where((volume > LEAST_VOLUME_ANGSTROM3) & (compact > 0.05), (fraction - chance) / (1 - chance), -1.0)
    chosen: list[int] = []
    for slack in (0.02, 0.05, 0.1, 0.2):
        good = np.flatnonzero(score > (1 - slack) * score.max())
        order = good[np.lexsort((-np.round(score[good], 2), np.round(volume[good], 0)))]
        chosen += [int(index) for index in order if index not in chosen][: max(1, kept // 4)]
    return [triple[index] for index in chosen]


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


def index_spots(basis: Floats, cloud: Cloud, across: float) -> Lattice:
    """Index spots with a basis; ``across``: tolerance across the beam, 1/angstrom; along it ALONG_RATIO times that.

    Neither exceeds 0.3 of the shortest reciprocal axis.
    """
    hkl = np.rint(cloud.q @ _inverse(basis).T)
    off = cloud.q - hkl @ basis.T
    along = np.einsum("ij,ij->i", off, cloud.beam)
    lateral = np.linalg.norm(off - along[:, None] * cloud.beam, axis=1)
    spacing = float(np.linalg.norm(_inverse(reduced(_inverse(basis))), axis=0).min())
    limit_across, limit_along = min(across, 0.25 * spacing), min(ALONG_RATIO * across, 0.3 * spacing)
    indexed = (lateral < limit_across) & (np.abs(along) < limit_along) & (hkl != 0).any(axis=1)
    chance = min(0.9, np.pi * limit_across**2 * 2 * limit_along / abs(float(np.linalg.det(basis))))
    score = (float(np.average(indexed, weights=np.sqrt(cloud.weight))) - chance) / (1 - chance)
    return Lattice(basis, indexed, hkl.astype(np.int64), np.stack([lateral, along], axis=1), score)


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


def _inverse(matrix: Floats) -> Floats:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def _plausible(basis: Floats, rows: Floats, longest: float) -> bool:
    axes = np.linalg.norm(_inverse(basis), axis=1)
    change = abs(float(np.linalg.det(basis) * np.linalg.det(rows)))
    return bool(axes.max() < 1.15 * longest and axes.min() > 1.0 and 0.85 < change < 1.18)


def _without_neighbours(vectors: Floats, distance: float) -> Integers:
    """Return the numbers of the vectors, best first, that have no better one (or its opposite) nearby."""
    tree = cKDTree(vectors)
    kept: list[int] = []
    free = np.ones(len(vectors), dtype=bool)
    for index, vector in enumerate(vectors):
        if not free[index]:
            continue
        kept.append(index)
        free[tree.query_ball_point(vector, distance)] = False
        free[tree.query_ball_point(-vector, distance)] = False
    return np.array(kept, dtype=np.int64)
