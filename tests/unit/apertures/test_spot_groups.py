"""Groups of spots with one dark-field image."""

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from tasks.apertures.clusters import _halves_of


def test_halves_are_the_two_clusters_of_a_linkage() -> None:
    rng = np.random.default_rng(0)
    alone = 0
    for turn in range(200):
        distances = rng.random((n := int(rng.integers(2, 30))) * (n - 1) // 2)
        if turn % 2:  # many that are the same
            distances = np.round(3 * distances) / 3
        tree = linkage(distances, method="average")
        number = fcluster(tree, 2, criterion="maxclust")
        expected = [np.flatnonzero(number == one).tolist() for one in np.unique(number)]
        found = [rows.tolist() for rows in _halves_of(tree)]
        assert sorted(found) == sorted(expected)
        alone += len(found) == 1
    assert alone
