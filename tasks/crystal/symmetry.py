"""Space groups as arrays, and the groups that a Laue class and a lattice allow."""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.model import InputError


class Symmetry(NamedTuple):
    """A space group in one setting: x' = R x + t, then the centring vectors.

    ``rotations`` (k, 3, 3) int32, ``translations`` (k, 3), ``centring`` (c, 3), the identity first in each.
    """

    symbol: str
    hall: str
    rotations: NDArray[np.int32]
    translations: NDArray[np.float64]
    centring: NDArray[np.float64]

    @property
    def order(self) -> int:
        """The number of operations with centring."""
        return len(self.rotations) * len(self.centring)

    @property
    def centric(self) -> bool:
        """Whether the point group contains the inversion."""
        return bool((self.rotations == -np.eye(3, dtype=np.int32)).all(axis=(1, 2)).any())

    @property
    def chiral(self) -> bool:
        """Whether the point group has rotations only (a Sohncke group)."""
        return bool((np.linalg.det(self.rotations) > 0).all())

    def operations(self) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return all operations, centring included: (k c, 3, 3) and (k c, 3)."""
        rotations = np.tile(self.rotations, (len(self.centring), 1, 1))
        translations = (self.centring[:, None, :] + self.translations[None, :, :]).reshape(-1, 3)
        return rotations, translations


def symmetry_of(group: gemmi.SpaceGroup) -> Symmetry:
    """Return the arrays of gemmi's space group."""
    operations = group.operations()
    return Symmetry(
        symbol=group.xhm(),
        hall=group.hall,
        rotations=np.array([op.rot for op in operations.sym_ops], dtype=np.int32) // gemmi.Op.DEN,
        translations=np.array([op.tran for op in operations.sym_ops], dtype=np.float64) / gemmi.Op.DEN,
        centring=np.array(list(operations.cen_ops), dtype=np.float64).reshape(-1, 3) / gemmi.Op.DEN,
    )


def symmetry_from_symbol(symbol: str) -> Symmetry:
    """Return the space group of a Hermann-Mauguin symbol, extended or not.

    Raises
    ------
    InputError
        If gemmi does not know the symbol.
    """
    group = gemmi.find_spacegroup_by_name(symbol)
    if group is None:
        raise InputError(f"space group {symbol!r} is not known", "write it like 'P 1 21/c 1'")
    return symmetry_of(group)


def compatible_groups(laue_symbol: str) -> list[Symmetry]:
    """Return every group of the Laue class and lattice of `laue_symbol`, in these axes.

    A group of gemmi's table qualifies if its rotations, completed by the inversion, are those of the Laue group as
    matrices, and its centring vectors are the same: non-standard settings such as P 1 21/n 1 are in, settings on
    other axes are out. Of two origin choices the one with the inversion at the origin is taken.
    """
    laue = symmetry_from_symbol(laue_symbol)
    rotations, centring = _laue_rotations(laue), _vectors(laue)
    axes = np.arange(-6, 7)
    probe = np.stack(np.meshgrid(axes, axes, axes, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)
    found: dict[tuple[int, frozenset[tuple[int, ...]], bytes], Symmetry] = {}
    for group in gemmi.spacegroup_table():
        if group.ext == "1":
            continue
        candidate = symmetry_of(group)
        if _vectors(candidate) == centring and _laue_rotations(candidate) == rotations:
            # settings of one type with equal rotations and equal absences differ by their origin only
            key = (group.number, _as_set(candidate.rotations), absent(probe, candidate).tobytes())
            found.setdefault(key, candidate)
    return list(found.values())


def same_group(first: Symmetry, second: Symmetry, probe: NDArray[np.int32]) -> bool:
    """Tell whether two settings differ by their origin at most: type, rotations and absences of `probe` are equal."""
    if gemmi.SpaceGroup(first.symbol).number != gemmi.SpaceGroup(second.symbol).number:
        return False
    if _as_set(first.rotations) != _as_set(second.rotations):
        return False
    return bool((absent(probe, first) == absent(probe, second)).all())


def laue_of(symmetry: Symmetry) -> NDArray[np.int32]:
    """Return the rotations of the Laue class, (k, 3, 3)."""
    return np.array(sorted(_laue_rotations(symmetry)), dtype=np.int32).reshape(-1, 3, 3)


def _laue_rotations(symmetry: Symmetry) -> frozenset[tuple[int, ...]]:
    return _as_set(np.concatenate([symmetry.rotations, -symmetry.rotations]))


def _as_set(rotations: NDArray[np.int32]) -> frozenset[tuple[int, ...]]:
    return frozenset(tuple(int(value) for value in row) for row in rotations.reshape(-1, 9))


def _vectors(symmetry: Symmetry) -> frozenset[tuple[int, ...]]:
    return frozenset(tuple(int(value) for value in row) for row in np.round(symmetry.centring * 24).astype(int))


def absent(hkl: NDArray[np.int32], symmetry: Symmetry) -> NDArray[np.bool_]:
    """Tell which reflections (n, 3) the group extinguishes, centring included, (n,)."""
    result = np.zeros(len(hkl), dtype=bool)
    for vector in symmetry.centring:
        result |= _fraction(hkl @ vector) > 1e-3
    for rotation, translation in zip(symmetry.rotations, symmetry.translations, strict=True):
        fixed = (hkl @ rotation == hkl).all(axis=1)
        result |= fixed & (_fraction(hkl @ translation) > 1e-3)
    return result


def _fraction(value: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.abs(value - np.round(value))


def epsilon(hkl: NDArray[np.int32], symmetry: Symmetry) -> NDArray[np.float64]:
    """Return how many rotations leave each index (n, 3) unchanged, (n,): the factor of its mean intensity."""
    count = np.zeros(len(hkl))
    for rotation in symmetry.rotations:
        count += (hkl @ rotation == hkl).all(axis=1)
    return count
