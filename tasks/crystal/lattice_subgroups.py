"""The subgroups of a lattice's rotations."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from tasks.crystal.lattice import Matrix, rotation_order


def subgroups(rotations: Sequence[Matrix]) -> list[list[Matrix]]:
    """Return all subgroups of a finite rotation group; three generators are enough for any point group."""
    table = {r.tobytes(): r for r in rotations}
    found: dict[frozenset[bytes], list[Matrix]] = {}
    members = list(table.values())
    for size in (1, 2, 3):
        for generators in combinations(members, size):
            if size == 3 and any(rotation_order(g) != 2 for g in generators):
                continue  # only groups of twofold axes may need three generators
            group = _closure(generators, len(members))
            found.setdefault(frozenset(r.tobytes() for r in group), group)
    return list(found.values())


def _closure(generators: Sequence[Matrix], limit: int) -> list[Matrix]:
    identity = np.eye(3, dtype=np.int64)
    group = {identity.tobytes(): identity}
    frontier = [identity]
    while frontier and len(group) <= limit:
        new = [element @ generator for element in frontier for generator in generators]
        frontier = [x for x in {n.tobytes(): n for n in new}.values() if x.tobytes() not in group]
        group.update({x.tobytes(): x for x in frontier})
    return [group[key] for key in sorted(group, key=lambda k: not np.array_equal(group[k], identity))]
