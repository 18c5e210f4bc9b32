"""Where the symmetry elements of a group lie in a set of P1 phases.

A structure with origin at s has F(h R) = F(h) exp(-2 pi i h (t + (1 - R) s)). So the agreement of phases with a group
placed at s is a Fourier series in s with the frequencies h - h R: one transform gives it for every s at once.
Source: Burla et al., J. Appl. Cryst. 33, 307-311 (2000); Palatinus & van der Lee, J. Appl. Cryst. 41, 975-984 (2008);
Sheldrick, Acta Cryst. A71, 3-8 (2015).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from tasks.crystal.symmetry import Symmetry


class Pairs(NamedTuple):
    """Pairs of P1 structure factors that one rotation relates, F(h) and F(h R), h R measured and not h itself.

    ``hkl`` (n, 3); ``frequency`` (n, 3): h - h R; ``value`` (n,) complex: F(h) conj F(h R); ``at`` (n,): the flat
    place of the frequency in the grid of origins.
    """

    hkl: NDArray[np.int32]
    frequency: NDArray[np.int32]
    value: NDArray[np.complex128]
    at: NDArray[np.int64]


class Products(NamedTuple):
    """The pairs of each rotation (k, 3, 3) of the Laue class, and the grid of origins."""

    rotations: NDArray[np.int32]
    pairs: tuple[Pairs, ...]
    grid: tuple[int, int, int]

    def of(self, rotation: NDArray[np.int32]) -> Pairs:
        """Return the pairs of one rotation."""
        return self.pairs[int(np.flatnonzero((self.rotations == rotation).all(axis=(1, 2)))[0])]


class Placement(NamedTuple):
    """The best origin of one group.

    ``origin`` (3,) fractional, of the group's origin in the frame of the phases; ``agreement`` (k,): mean
    cosine of the phase deviation, per operation, weighted by amplitudes; NaN for the identity.
    """

    origin: NDArray[np.float64]
    agreement: NDArray[np.float64]


class FactorTable:
    """Looks up P1 structure factors by index, Friedel mates included."""

    def __init__(self, hkl: NDArray[np.int32], value: NDArray[np.complex128]) -> None:
        self._limit = int(np.abs(hkl).max()) + 1 if len(hkl) else 1
        keys = np.concatenate([self._key(hkl), self._key(-hkl)])
        values = np.concatenate([value, value.conj()])
        order = np.argsort(keys, kind="stable")
        self._keys, self._values = keys[order], values[order]

    def _key(self, hkl: NDArray[np.int32]) -> NDArray[np.int64]:
        base = 2 * self._limit + 1
        shifted = hkl.astype(np.int64) + self._limit
        key = (shifted[:, 0] * base + shifted[:, 1]) * base + shifted[:, 2]
        return np.where((np.abs(hkl) <= self._limit).all(axis=1), key, -1)

    def get(self, hkl: NDArray[np.int32]) -> NDArray[np.complex128]:
        """Return the structure factors of (n, 3) indices, (n,); zero where there is none."""
        key = self._key(hkl)
        at = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        return np.where(self._keys[at] == key, self._values[at], 0.0)


def related_products(
    hkl: NDArray[np.int32],
    value: NDArray[np.complex128],
    rotations: NDArray[np.int32],
    *,
    grid: tuple[int, int, int],
) -> Products:
    """Return the pair products of P1 structure factors (n,) for all rotations (k, 3, 3)."""
    table = FactorTable(hkl, value)
    pairs = []
    for rotation in rotations:
        image = hkl @ rotation
        product = value * table.get(image).conj()
        related = (image != hkl).any(axis=1) & (np.abs(product) > 0)
        frequency = (hkl - image)[related]
        at = np.ravel_multi_index(tuple((frequency % np.array(grid)).T), grid)
        pairs.append(Pairs(hkl[related], frequency, product[related], at))
    return Products(rotations, tuple(pairs), grid)


def coarse_origin(products: Products, symmetry: Symmetry) -> tuple[NDArray[np.float64], float]:
    """Return the grid point at which the phases agree best with a group, and the mean agreement there.

    One transform of folded coefficients gives the sum of agreements at all points.
    """
    terms = _terms(products, symmetry)
    total = float(np.abs(terms.value).sum())
    if total == 0:
        return np.zeros(3), 0.0
    grid = products.grid
    size = int(np.prod(grid))
    folded = np.bincount(terms.at, terms.value.real, size) + 1j * np.bincount(terms.at, terms.value.imag, size)
    score = fft.fftn(folded.reshape(grid)).real
    best = int(np.argmax(score))
    return np.array(np.unravel_index(best, grid)) / np.array(grid), float(score.ravel()[best]) / total


def place(products: Products, symmetry: Symmetry, origin: NDArray[np.float64]) -> Placement:
    """Return the placement with its origin refined from a point of the grid."""
    terms = _terms(products, symmetry)
    for step in (0.5, 0.25, 0.125):
        origin = _improve(terms, origin, step / np.array(products.grid))
    return Placement(origin, agreement(products, symmetry, origin))


def _terms(products: Products, symmetry: Symmetry) -> Pairs:
    """Return the pairs of all operations but the identity, their values turned by the translations."""
    chosen = [products.of(rotation) for rotation in symmetry.rotations[1:]]
    if not chosen:
        none = np.zeros((0, 3), dtype=np.int32)
        return Pairs(none, none, np.zeros(0, dtype=np.complex128), np.zeros(0, dtype=np.int64))
    turned = [
        pairs.value * np.exp(-2j * np.pi * (pairs.hkl @ translation))
        for pairs, translation in zip(chosen, symmetry.translations[1:], strict=True)
    ]
    return Pairs(
        np.concatenate([pairs.hkl for pairs in chosen]),
        np.concatenate([pairs.frequency for pairs in chosen]),
        np.concatenate(turned),
        np.concatenate([pairs.at for pairs in chosen]),
    )


def agreement(products: Products, symmetry: Symmetry, origin: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weighted mean cosine of the phase deviations of each operation, (k,); NaN without related pairs.

    The inversion compares a phase with itself, so that its error counts twice: the root makes it comparable. It is
    lowered by a quarter since few equal atoms suffice to make an approximate centre.
    """
    result = np.full(len(symmetry.rotations), np.nan)
    for index, (rotation, translation) in enumerate(zip(symmetry.rotations, symmetry.translations, strict=True)):
        pairs = products.of(rotation)
        if len(pairs.value) == 0:
            continue
        phase = np.exp(-2j * np.pi * (pairs.hkl @ translation + pairs.frequency @ origin))
        mean = float((pairs.value * phase).real.sum() / np.abs(pairs.value).sum())
        inverts = bool((rotation == -np.eye(3, dtype=np.int32)).all())
        result[index] = 0.75 * np.sqrt(max(mean, 0.0)) if inverts else mean
    return result


def _improve(terms: Pairs, origin: NDArray[np.float64], step: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the best of the 27 points around `origin`; itself if none is better.

    The phase factors of the 27 are products of one factor for each axis.
    """
    offsets = np.array([-1.0, 0.0, 1.0])
    start = terms.value * np.exp(-2j * np.pi * (terms.frequency @ origin))
    turn = np.exp(-2j * np.pi * terms.frequency * step)
    first, second, third = (
        np.stack([turn[:, axis].conj(), np.ones(len(turn)), turn[:, axis]], axis=1) for axis in range(3)
    )
    plane = (first[:, :, None] * second[:, None, :]).reshape(-1, 9)
    score = ((start[:, None] * plane).T @ third).real.reshape(3, 3, 3)
    best = np.unravel_index(int(np.argmax(score)), score.shape)
    if score[best] <= score[1, 1, 1] + 1e-9 * abs(float(score[1, 1, 1])):
        return origin
    return origin + offsets[list(best)] * step
