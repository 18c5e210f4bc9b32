"""Things that belong to the same sets are of one kind: work is done once for a kind, not once for a set."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.model.arrays import Integers


def kinds_of(members: NDArray[np.bool_]) -> tuple[Integers, NDArray[np.bool_]]:
    """Return the kind of every thing, (n,), and which sets hold each kind, (sets, kinds).

    Parameters
    ----------
    members
        (sets, n): whether a set holds a thing.
    """
    kind = np.zeros(members.shape[1], dtype=np.int64)
    number = min(1, members.shape[1])
    for held in members:
        number = _divide(kind, held, np.full(2 * number, -1))
    example = np.zeros(number, dtype=np.int64)
    example[kind] = np.arange(len(kind))
    return kind, members[:, example]


@njit(cache=True, nogil=True)
def _divide(kind: Integers, held: NDArray[np.bool_], renamed: Integers) -> int:  # pragma: no cover
    """Divide every kind by whether a set holds it, in place; return how many there are."""
    number = 0
    for index in range(len(kind)):
        pair = 2 * kind[index] + (1 if held[index] else 0)
        if renamed[pair] < 0:
            renamed[pair] = number
            number += 1
        kind[index] = renamed[pair]
    return number
