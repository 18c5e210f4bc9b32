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

from tasks.solve.symmetry import Symmetry


class Products(NamedTuple):
    """Pairs of P1 structure factors that rotations relate, per rotation of the Laue class.

    ``hkl`` (n, 3); ``value`` (k, n) complex: F(h) conj F(h R), zero where h R was not measured; ``related`` (k, n):
    whether h R is there and is not h itself.
    """

    hkl: NDArray[np.int32]
    rotations: NDArray[np.int32]
    value: NDArray[np.complex128]
    related: NDArray[np.bool_]


class Placement(NamedTuple):
    """The best origin of one group.

    ``origin`` (3,) fractional, of the group's origin in the frame of the phases; ``agreement`` (k,): mean
    cosine of the phase deviation, per operation, weighted by amplitudes; NaN for the identity.
    """

    origin: NDArray[np.float64]
    agreement: NDArray[np.float64]


Term = tuple[NDArray[np.int32], NDArray[np.complex128], NDArray[np.float64]]


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


def related_products(hkl: NDArray[np.int32], value: NDArray[np.complex128], rotations: NDArray[np.int32]) -> Products:
    """Return the pair products of P1 structure factors (n,) for all rotations (k, 3, 3)."""
    table = FactorTable(hkl, value)
    images = [table.get(hkl @ rotation) for rotation in rotations]
    product = np.array([value * image.conj() for image in images])
    moved = np.array([(hkl @ rotation != hkl).any(axis=1) for rotation in rotations])
    return Products(hkl, rotations, product, moved & (np.abs(product) > 0))


def coarse_origin(
    products: Products, symmetry: Symmetry, grid: tuple[int, int, int]
) -> tuple[NDArray[np.float64], float]:
    """Return the grid point at which the phases agree best with a group, and the mean agreement there."""
    terms = _terms(products, symmetry)
    total = sum(float(np.abs(value).sum()) for _, value, _ in terms)
    if total == 0:
        return np.zeros(3), 0.0
    origin, score = _search(terms, grid)
    return origin, score / total


def place(products: Products, symmetry: Symmetry, origin: NDArray[np.float64], grid: tuple[int, int, int]) -> Placement:
    """Return the placement with its origin refined from a point of `grid`."""
    terms = _terms(products, symmetry)
    for step in (0.5, 0.25, 0.125):
        origin = _improve(terms, origin, step / np.array(grid))
    return Placement(origin, agreement(products, symmetry, origin))


def _terms(products: Products, symmetry: Symmetry) -> list[Term]:
    """Return per operation but the identity: frequencies h - h R, products, and h t."""
    terms = []
    for rotation, translation in zip(symmetry.rotations[1:], symmetry.translations[1:], strict=True):
        row = _row(products.rotations, rotation)
        mask = products.related[row]
        hkl = products.hkl[mask]
        frequency = hkl @ (np.eye(3, dtype=np.int32) - rotation)
        terms.append((frequency, products.value[row, mask], hkl @ translation))
    return terms


def agreement(products: Products, symmetry: Symmetry, origin: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weighted mean cosine of the phase deviations of each operation, (k,); NaN without related pairs.

    The inversion compares a phase with itself, so that its error counts twice: the root makes it comparable. It is
    lowered by a quarter since few equal atoms suffice to make an approximate centre.
    """
    result = np.full(len(symmetry.rotations), np.nan)
    for index, (rotation, translation) in enumerate(zip(symmetry.rotations, symmetry.translations, strict=True)):
        row = _row(products.rotations, rotation)
        mask = products.related[row]
        if not mask.any():
            continue
        value = products.value[row, mask]
        hkl = products.hkl[mask]
        frequency = hkl @ (np.eye(3, dtype=np.int32) - rotation)
        phase = np.exp(-2j * np.pi * (hkl @ translation + frequency @ origin))
        mean = float((value * phase).real.sum() / np.abs(value).sum())
        inverts = bool((rotation == -np.eye(3, dtype=np.int32)).all())
        result[index] = 0.75 * np.sqrt(max(mean, 0.0)) if inverts else mean
    return result


def _row(rotations: NDArray[np.int32], rotation: NDArray[np.int32]) -> int:
    return int(np.flatnonzero((rotations == rotation).all(axis=(1, 2)))[0])


def _search(terms: list[Term], grid: tuple[int, int, int]) -> tuple[NDArray[np.float64], float]:
    """Return the grid point with the highest sum of agreements, and the sum: one transform of folded coefficients."""
    size = int(np.prod(grid))
    folded = np.zeros(size, dtype=np.complex128)
    for frequency, value, shift in terms:
        at = np.ravel_multi_index(tuple((frequency % np.array(grid)).T), grid)
        coefficient = value * np.exp(-2j * np.pi * shift)
        folded += np.bincount(at, coefficient.real, size) + 1j * np.bincount(at, coefficient.imag, size)
    score = fft.fftn(folded.reshape(grid)).real
    best = int(np.argmax(score))
    return np.array(np.unravel_index(best, grid)) / np.array(grid), float(score.ravel()[best])


def _improve(terms: list[Term], origin: NDArray[np.float64], step: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the best of the 27 points around `origin`."""
    offsets = np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    points = np.concatenate([[origin], origin + offsets * step])
    score = np.zeros(len(points))
    for frequency, value, shift in terms:
        phase = np.exp(-2j * np.pi * (frequency @ points.T + shift[:, None]))
        score += (value[:, None] * phase).real.sum(axis=0)
    return points[int(np.argmax(score - 1e-9 * np.abs(score) * (np.arange(len(points)) > 0)))]
