"""Space groups as arrays, and the groups that a Laue class and a lattice allow."""

from functools import lru_cache
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.model import InputError

PROBE = 8
"""Absences are compared up to this |h|, |k| and |l|: a screw or glide in 24ths shows by 6."""


class Operations(NamedTuple):
    """All operations x' = R x + t of a space group, centring included: (g, 3, 3) and (g, 3)."""

    rotations: NDArray[np.float64]
    translations: NDArray[np.float64]


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

    def operations(self) -> Operations:
        """Return all operations."""
        rotations = np.tile(self.rotations, (len(self.centring), 1, 1)).astype(np.float64)
        translations = (self.centring[:, None, :] + self.translations[None, :, :]).reshape(-1, 3)
        return Operations(rotations, translations)


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


def operations_of(group: gemmi.GroupOps) -> Operations:
    """Return the operations of gemmi's group as arrays."""
    listed = list(group)
    return Operations(
        np.array([operation.rot for operation in listed], dtype=np.float64) / gemmi.Op.DEN,
        np.array([operation.tran for operation in listed], dtype=np.float64) / gemmi.Op.DEN,
    )


def operations_from_hall(hall: str) -> Operations:
    """Return the operations of a Hall symbol.

    Raises
    ------
    InputError
        If the symbol is none.
    """
    try:
        return operations_of(gemmi.symops_from_hall(hall))
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{hall!r} is not a Hall symbol") from error


def space_group(symbol: str) -> gemmi.SpaceGroup:
    """Return the table's entry of a Hermann-Mauguin symbol, extended or not.

    Raises
    ------
    InputError
        If the tables have no such setting.
    """
    group = gemmi.find_spacegroup_by_name(symbol)
    if group is None:
        raise InputError(f"no space group setting is called {symbol!r}", "write it like 'P 1 21/c 1'")
    return group


def laue_group_of(symbol: str) -> gemmi.SpaceGroup:
    """Return the symmorphic centrosymmetric group with the rotations and centring of a space group's setting.

    Raises
    ------
    InputError
        If the symbol is unknown, or the setting has no such table entry.
    """
    found = gemmi.find_spacegroup_by_ops(laue_operations(symbol))
    if found is None:
        raise InputError(f"the setting {symbol!r} has no tabulated Laue group", "give a setting of the tables")
    return found


def laue_operations(symbol: str) -> gemmi.GroupOps:
    """Return the operations of the Laue group of a space group's setting, with centring, without translations.

    Raises
    ------
    InputError
        If the symbol is unknown.
    """
    operations = space_group(symbol).operations().derive_symmorphic()
    operations.add_inversion()
    return operations


def symmetry_from_symbol(symbol: str) -> Symmetry:
    """Return the arrays of the space group of a symbol; errors as `space_group`."""
    return symmetry_of(space_group(symbol))


@lru_cache(maxsize=32)
def compatible_groups(laue: gemmi.SpaceGroup) -> tuple[gemmi.SpaceGroup, ...]:
    """Return the table's settings with the rotations (inversion added) and the centring of a Laue group, in its axes.

    All axis permutations and cell choices are among them: P 1 21/n 1 is in, settings on other axes are out. Of settings
    that differ by the origin only, one is kept: of two origin choices the second, with the inversion at the origin,
    else the first listed.
    """
    wanted = laue.operations()
    wanted.add_inversion()
    rotations, centring = _rotations(wanted), _centring(wanted)
    axis = np.arange(-PROBE, PROBE + 1, dtype=np.int32)
    probe = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    kept: dict[tuple[int, frozenset[bytes], bytes], gemmi.SpaceGroup] = {}
    for group in gemmi.spacegroup_table():
        operations = group.operations()
        with_inversion = group.operations()
        with_inversion.add_inversion()
        if _centring(operations) != centring or _rotations(with_inversion) != rotations:
            continue
        # settings of one type with equal rotations and equal absences differ by their origin only
        key = (group.number, _rotations(operations), operations.systematic_absences(probe).tobytes())
        if key not in kept or (group.ext == "2" and kept[key].ext == "1"):
            kept[key] = group
    return tuple(kept.values())


def _rotations(operations: gemmi.GroupOps) -> frozenset[bytes]:
    return frozenset(np.array(operation.rot, dtype=np.int32).tobytes() for operation in operations.sym_ops)


def _centring(operations: gemmi.GroupOps) -> frozenset[tuple[int, ...]]:
    return frozenset(tuple(x % gemmi.Op.DEN for x in shift) for shift in operations.cen_ops)


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
