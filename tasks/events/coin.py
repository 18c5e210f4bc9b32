"""The coins that split electrons into two halves, each from a seed.

There are two, and they must be independent. The coin of the apertures chooses which electrons choose the positions;
the coin of the frames splits the electrons at those positions into the halves that judge the intensities. With one
coin for both, the half that chose would find its own fluctuations again, and the halves would differ by more than
chance.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

AT_ONCE = 1 << 16
"""Throws: of a multiple of 8, as numpy makes bytes of words of 64 bits and drops what is left of one."""


@njit(cache=True, nogil=True)
def coin_of_event(index: int, seed: int) -> int:
    """Return 0 or 1 for an event by its place in the store, whichever events are asked (splitmix64).

    Source: Steele, Lea & Flood, OOPSLA 2014, 453-472.
    """
    z = np.uint64(index) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return int((z ^ (z >> np.uint64(31))) & np.uint64(1))


def coin_of_tilt(seed: int, tilt: int) -> np.random.Generator:
    """Return the coin of the frame of one tilt: thrown once for every electron that is summed, in their order."""
    return np.random.default_rng([seed, tilt])


class Throws:
    """A coin thrown again and again: the throws are those of one long row, however they are taken."""

    def __init__(self, coin: np.random.Generator) -> None:
        self._coin = coin
        self._left = np.zeros(0, dtype=np.uint8)

    def take(self, number: int) -> NDArray[np.uint8]:
        """Return the next throws, (number,), of 0 and 1."""
        missing = number - len(self._left)
        if missing > 0:
            more = -(-missing // AT_ONCE) * AT_ONCE
            self._left = np.concatenate([self._left, self._coin.integers(0, 2, size=more, dtype=np.uint8)])
        taken, self._left = self._left[:number], self._left[number:]
        return taken
