"""Spots grouped by their dark-field images: each group is one coherently diffracting region."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import nnls
from scipy.sparse import csr_matrix
from scipy.spatial.distance import squareform

LINKED = 0.35
"""Distance (one less the correlation) at which average linkage is cut; groups are then split and joined."""
MAX_LINKED = 700
"""Spots that found clusters, strongest first; the others are attributed by the factorisation."""


class DarkFields:
    """Dark-field images of all spots of one scan in two independent halves of the events, background subtracted.

    Images are smoothed and binned. The product of one image's first half with another's second half has no noise
    bias: that is what correlations are made of.
    """

    def __init__(
        self,
        halves: tuple[csr_matrix, csr_matrix],
        amplitude: NDArray[np.float64],
        expected: NDArray[np.float64],
        *,
        scan_shape: tuple[int, int],
        bin_positions: int,
        smooth: float,
    ) -> None:
        binning, self.shape = _binning(scan_shape, bin_positions)
        background = np.asarray(binning @ amplitude)
        self.images = []
        variance = np.zeros(len(expected))
        for half in halves:
            counts = np.asarray((binning @ half).todense()).T
            image = (counts - 0.5 * np.outer(expected, background)).reshape(-1, *self.shape)
            self.images.append(ndimage.gaussian_filter(image, (0, smooth, smooth)).reshape(len(expected), -1))
            rate = ndimage.gaussian_filter(counts.reshape(-1, *self.shape), (0, 2 * smooth, 2 * smooth))
            variance += 0.5 * (rate**2).sum(axis=(1, 2)) / (8 * np.pi * smooth**2)
        self.noise = np.sqrt(variance)

    def significance(self) -> NDArray[np.float64]:
        """Return the product of each image's halves over its standard deviation for an image of pure noise."""
        own = np.einsum("sp,sp->s", *self.images)
        return own / np.maximum(self.noise, 1e-12)


def _binning(scan_shape: tuple[int, int], size: int) -> tuple[csr_matrix, tuple[int, int]]:
    rows, columns = np.indices(scan_shape)
    shape = (-(-scan_shape[0] // size), -(-scan_shape[1] // size))
    target = (rows // size * shape[1] + columns // size).ravel()
    n = target.size
    return csr_matrix((np.ones(n), (target, np.arange(n))), shape=(shape[0] * shape[1], n)), shape


def cluster_spots(
    fields: DarkFields, *, min_significance: float, same_image: float, min_spots: int
) -> list[NDArray[np.int64]]:
    """Return groups of spot indices with the same dark-field image, mixtures left out, strongest first.

    Average linkage of 1 - r, with r the correlation free of noise bias, then pooled groups are joined while the
    correlation of two exceeds `same_image`, and groups whose image is a sum of others' are dropped.
    """
    strong = np.flatnonzero(fields.significance() > min_significance)
    if not len(strong):
        return []
    order = strong[np.argsort(-np.einsum("sp,sp->s", fields.images[0][strong], fields.images[1][strong]))][:MAX_LINKED]
    tree_groups = [order[rows] for rows in _linked(fields, order, LINKED)]
    groups = [
        part
        for group in tree_groups
        for part in _split(fields, group, same_image=same_image, min_spots=min_spots)
        if len(part) >= min_spots
    ]
    groups = _join(fields, groups, same_image=same_image)
    return _without_mixtures(fields, groups)


def _linked(fields: DarkFields, spots: NDArray[np.int64], limit: float | None) -> list[NDArray[np.intp]]:
    """Return the rows of groups by average linkage: cut at a distance, or into two if the limit is None."""
    if len(spots) == 1:
        return [np.array([0])]
    first, second = fields.images[0][spots], fields.images[1][spots]
    distance = np.clip(1.0 - _correlations(np.stack([first, second])), 0.0, 2.0)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(0.5 * (distance + distance.T), checks=False), method="average")
    if limit is None:
        return _halves_of(tree)
    number = fcluster(tree, limit, criterion="distance")
    return [np.flatnonzero(number == value) for value in np.unique(number)]


def _halves_of(tree: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Return the rows of the two groups that a linkage (n - 1, 4) joined last; of one, if two were joined at once.

    As `fcluster` with two clusters, which looks through the tree for more of its time than it cuts.
    """
    leaves = len(tree) + 1
    if leaves > 2 and tree[-2, 2] >= tree[-1, 2]:
        return [np.arange(leaves)]
    side = np.zeros(2 * leaves - 1, dtype=np.int64)
    joined = tree[:, :2].astype(np.int64)
    side[joined[-1]] = 0, 1
    for number in range(len(tree) - 2, -1, -1):
        side[joined[number]] = side[leaves + number]
    return [np.flatnonzero(side[:leaves] == which) for which in (0, 1)]


def _split(
    fields: DarkFields, group: NDArray[np.int64], *, same_image: float, min_spots: int
) -> list[NDArray[np.int64]]:
    """Split a group in two, and the parts again, as long as the pooled images of the two differ significantly.

    Crystals that overlap much have alike images: the linkage of noisy single spots does not tell them apart, the
    pooled images do. Spots that fit neither part (fewer than `min_spots`) are set aside.
    """
    if len(group) < 2 * min_spots:
        return [group]
    parts = [group[rows] for rows in _linked(fields, group, None)]
    if len(parts) == 1:
        return [group]
    small, large = sorted(parts, key=len)
    if len(small) < min_spots:
        rest = _split(fields, large, same_image=same_image, min_spots=min_spots)
        return [group] if len(rest) == 1 else rest
    pooled = _pooled(fields, [small, large])
    own = np.einsum("gp,gp->g", pooled[0], pooled[1])
    noise = np.array([np.sqrt((fields.noise[part] ** 2).sum()) for part in (small, large)])
    error = float(np.sqrt(np.sum((noise / np.maximum(own, 1e-12)) ** 2)))
    if _correlations(pooled)[0, 1] + 3.0 * error > same_image:
        return [group]
    return [
        piece for part in (small, large) for piece in _split(fields, part, same_image=same_image, min_spots=min_spots)
    ]


def _pooled(fields: DarkFields, groups: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    return np.array([[image[group].sum(axis=0) for group in groups] for image in fields.images])


def _correlations(pooled: NDArray[np.float64]) -> NDArray[np.float64]:
    product = pooled[0] @ pooled[1].T
    own = np.sqrt(np.maximum(np.diag(product), 1e-12))
    return 0.5 * (product + product.T) / np.outer(own, own)


def _join(fields: DarkFields, groups: list[NDArray[np.int64]], *, same_image: float) -> list[NDArray[np.int64]]:
    while len(groups) > 1:
        correlation = _correlations(_pooled(fields, groups))
        np.fill_diagonal(correlation, -1.0)
        a, b = sorted(np.unravel_index(np.argmax(correlation), correlation.shape))
        if correlation[a, b] < same_image:
            break
        joined = np.concatenate([groups[a], groups[b]])
        groups = [group for index, group in enumerate(groups) if index not in (a, b)] + [joined]
    return groups


def _without_mixtures(fields: DarkFields, groups: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Drop groups whose image is a non-negative sum of at least two stronger ones (coinciding spots)."""
    if not groups:
        return []
    pooled = _pooled(fields, groups).sum(axis=0)
    order = np.argsort([-len(group) for group in groups], kind="stable")
    kept: list[int] = []
    for index in order:
        if len(kept) >= 2:
            coefficients, residual = nnls(pooled[kept].T, pooled[index])
            share = coefficients * np.linalg.norm(pooled[kept], axis=1) / np.linalg.norm(pooled[index])
            if residual < 0.3 * np.linalg.norm(pooled[index]) and (share > 0.2).sum() >= 2:
                continue
        kept.append(int(index))
    return [groups[index] for index in kept]
