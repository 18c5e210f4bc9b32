"""An unknown lattice from scattering vectors: peaks of their Fourier transform, then bases of three such vectors.

Source: Bricogne, Proceedings of the EEC Cooperative Workshop on Position-Sensitive Detector Software (LURE, 1986);
Campbell, J. Appl. Cryst. 31, 407-413 (1998); as in DIALS's fft3d. Departures: the peaks are refined against the spots,
and bases are scored with a tolerance that is looser along the beam, where a still leaves the scattering vector
uncertain by the width of the relrod.
"""

import numpy as np
from scipy.fft import next_fast_len, rfftn
from scipy.spatial import cKDTree

from tasks.integrate.indexing.lattice_score import Cloud, Lattice, inverse, preferred, reduced, refine_basis
from tasks.model.arrays import Floats, Integers

GRID = 216
"""Points along an edge of the transform: at the default longest axis, 45 angstrom, it takes vectors up to 1.09
1/angstrom (0.92 angstrom) in 45 MB; longer axes take fewer. Half of it does for the cells of
tests/unit/integrate/indexing/test_indexing.py."""
VECTORS_KEPT = 28
"""Best vectors, and as many generators: at most 56, 27720 bases. It was 36 before generators were kept beside. Eight do
for the cells of tests/unit/integrate/indexing/test_indexing.py; chosen with a margin for several crystals."""
VECTORS_TRIED = 4000
"""Highest points of the transform, several to a peak. 500 do for the cells of test_indexing.py in
tests/unit/integrate/indexing; chosen with a margin for several crystals, the time for neighbours grows with it."""
INDEX_TOLERANCE = 0.2
"""How far from an integer an index may be: chance makes three so with 6 % ((2 x 0.2)^3), and unrefined bases still get
theirs. From 0.1 to 0.3 the cells of tests/unit/integrate/indexing/test_indexing.py are found."""
LEAST_VOLUME_ANGSTROM3 = 15.0
"""Below the primitive cells of the simplest salts (LiF 16.3, MgO 18.7): a small basis is dense and fits noise. At 40
graphite (35) is lost (test_indexing.py); diamond (11.3) and copper (11.8) are not indexed in their own cell."""
SPOTS_FOR_BASES = 1500
"""Strongest spots by which bases are compared: a fraction is then known to 1.3 % (0.5 / sqrt(1500)), about as finely as
scores are told apart (0.01). 200 do for the cells of tests/unit/integrate/indexing/test_indexing.py."""
LEAST_SCORE = 0.05
"""Share indexed beyond chance (see INDEX_TOLERANCE) that makes a basis worth refining. Chosen, not measured: the
weakest of several crystals scores low before refinement, and each further basis costs time."""


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
    size = next_fast_len(2 * int(np.ceil(extent / step)) + 2, real=True)
    cell = np.rint(near.q / step).astype(np.int64) % size
    grid = np.zeros((size, size, size), dtype=np.float32)
    np.add.at(grid, (cell[:, 0], cell[:, 1], cell[:, 2]), near.weight.astype(np.float32))
    power = np.abs(rfftn(grid)) / near.weight.sum()
    axis = np.fft.fftfreq(size, d=step).astype(np.float32)
    half = np.fft.rfftfreq(size, d=step).astype(np.float32)
    square = axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + half[None, None, :] ** 2
    power[(square < 1.5**2) | (square > longest**2)] = 0.0
    flat = power.ravel()
    high = np.flatnonzero(flat >= max(float(np.quantile(flat[::61], 0.998)), 1e-6))
    high = high[np.argsort(-flat[high], kind="stable")[:VECTORS_TRIED]]
    where = np.stack(np.unravel_index(high, power.shape), axis=1)
    vector = np.stack([axis[where[:, 0]], axis[where[:, 1]], half[where[:, 2]]], axis=1).astype(np.float64)
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
        # made holds the opposite of each of its vectors
        off = made - vector
        if np.einsum("ij,ij->i", off, off).min() < (0.35 + 0.01 * float(np.linalg.norm(vector))) ** 2:
            continue
        kept.append(vector)
        if len(kept) > VECTORS_KEPT:
            break
        multiples = np.arange(-6, 7)[:, None] * vector
        made = (made[:, None, :] + multiples[None, :, :]).reshape(-1, 3)
        made = made[np.einsum("ij,ij->i", made, made) < 80.0**2][:20000]
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
        lattice = refine_basis(inverse(reduced(rows)), cloud, across)
        if _plausible(lattice.basis, rows, longest):
            lattices.append(lattice)
    return preferred(lattices, cloud, across) if lattices else None


def candidate_bases(vectors: Floats, cloud: Cloud, *, kept: int = 2) -> list[Floats]:
    """Return bases (3, 3), rows a, b, c: of each octave of volumes the ``kept`` that make most indices integral.

    The cell that makes most indices integral over all volumes may be one that two crystals share.
    """
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
    octave = np.floor(2 * np.log2(np.maximum(volume, 1e-9))).astype(np.int64)
    chosen: list[int] = []
    for level in np.unique(octave[score > LEAST_SCORE]):
        rows = np.flatnonzero((octave == level) & (score > LEAST_SCORE))
        order = rows[np.lexsort((np.round(volume[rows], 0), -np.round(score[rows], 2)))]
        chosen += order[:kept].tolist()
    return [triple[index] for index in chosen]


def _plausible(basis: Floats, rows: Floats, longest: float) -> bool:
    axes = np.linalg.norm(inverse(basis), axis=1)
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
