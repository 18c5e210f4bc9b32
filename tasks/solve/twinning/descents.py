"""Under which Laue group and twin law intensities may be seen.

Two crystals of equal size make intensities that obey the twin law too: they merge in a Laue group that the structure
lacks, twice as large. So beside the laws that the lattice allows for the group in which the data merge, each of its
subgroups of index two is tried, with what it lacks as the law.
"""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import proper_rotations
from tasks.crystal.symmetry import space_group
from tasks.crystal.twin_laws import TwinLaw, law_between, twin_laws
from tasks.integrate import Merged, Reflections, Unmerged, merge_equivalents, read_merged, read_unmerged

COVERED = 0.7
"""Share of the unique reflections of a subgroup that were measured as such, below which the intensities were merged
before in the larger group: those give one half then, and what was not merged gives nearly all."""

WORSE_MERGING = 1.5
"""Of two merging R factors of the same data, over each other: that of a group which the structure lacks is larger by
more. Of crystals of unequal size only the right group merges: 0.05 against 0.12 and more in the four twins of
tests/synthetic/twins.py at 35:65."""


class Descent(NamedTuple):
    """A Laue group, the intensities merged in it, and the law of a twin."""

    laue: gemmi.SpaceGroup
    law: TwinLaw
    merged: Merged
    lowered: bool
    """Whether the intensities merge in a larger group, that has the law."""
    r_merge: float | None
    """Of the observations in `laue`; None where none has an equivalent."""
    r_merge_larger: float | None = None
    """The same in the larger group in which the intensities merge."""

    @property
    def merges_better(self) -> bool:
        """Whether observations agree clearly better than in the larger group: those it adds are no equivalents."""
        if not self.lowered:
            return True
        if self.r_merge is None or self.r_merge_larger is None:
            return False
        return self.r_merge_larger > WORSE_MERGING * self.r_merge


def descents(data: Reflections) -> tuple[Descent, ...]:
    """Return what intensities may be as those of a twin of two crystals: laws of their Laue group, then subgroups."""
    laue = space_group(data.laue_group)
    merged = read_merged(data.merged)
    unmerged = read_unmerged(data.unmerged)
    agreement = r_merge(unmerged, laue)
    own = [Descent(laue, law, merged, False, agreement) for law in twin_laws(data.unit_cell, laue)]
    lower = []
    for subgroup in halves_of(laue):
        law = law_between(subgroup, laue)
        intensities = _merged_in(subgroup, laue, unmerged, merged)
        lower.append(Descent(subgroup, law, intensities, True, r_merge(unmerged, subgroup), agreement))
    return (*own, *lower)


def halves_of(laue: gemmi.SpaceGroup) -> tuple[gemmi.SpaceGroup, ...]:
    """Return the Laue groups with half of the rotations of one and its centring, in its axes."""
    whole = {rotation.tobytes() for rotation in proper_rotations(laue)}
    shifts = {tuple(shift) for shift in laue.operations().cen_ops}
    found: dict[frozenset[bytes], gemmi.SpaceGroup] = {}
    for group in gemmi.spacegroup_table():
        if not (group.is_symmorphic() and group.is_centrosymmetric()):
            continue
        operations = group.operations()
        if {tuple(shift) for shift in operations.cen_ops} != shifts or any(any(op.tran) for op in operations.sym_ops):
            continue
        rotations = frozenset(rotation.tobytes() for rotation in proper_rotations(group))
        if 2 * len(rotations) == len(whole) and rotations <= whole:
            found.setdefault(rotations, group)
    return tuple(found.values())


def r_merge(unmerged: Unmerged, laue: gemmi.SpaceGroup) -> float | None:
    """Return the mean difference of observations from those of their equivalents, relative; None without any."""
    unique, member = np.unique(_to_unit(unmerged.hkl, laue), axis=0, return_inverse=True)
    member = member.reshape(-1)
    count = np.bincount(member, minlength=len(unique))
    mean = np.bincount(member, weights=unmerged.intensity, minlength=len(unique)) / count
    repeated = count[member] > 1
    total = float(unmerged.intensity[repeated].sum())
    if not total > 0:
        return None
    others = np.sqrt(count / np.maximum(count - 1.0, 1.0))[member]
    return float((others * np.abs(unmerged.intensity - mean[member]))[repeated].sum()) / total


def _merged_in(subgroup: gemmi.SpaceGroup, laue: gemmi.SpaceGroup, unmerged: Unmerged, merged: Merged) -> Merged:
    """Return intensities merged in a subgroup; where they were merged before, each stands for all it was made of."""
    own = merge_equivalents(unmerged, subgroup)
    possible = len(_unique(_orbit(own.hkl, laue), subgroup))
    if len(own.hkl) >= COVERED * possible:
        return own
    unique, first = np.unique(_to_unit(_orbit(merged.hkl, laue), subgroup), axis=0, return_index=True)
    row = first % len(merged.hkl)
    return Merged(unique.astype(np.int32), merged.intensity[row], merged.sigma[row], merged.multiplicity[row])


def _orbit(hkl: NDArray[np.int32], laue: gemmi.SpaceGroup) -> NDArray[np.int32]:
    rotations = [np.array(operation.rot) // gemmi.Op.DEN for operation in laue.operations().sym_ops]
    return np.concatenate([hkl @ rotation for rotation in rotations]).astype(np.int32)


def _to_unit(hkl: NDArray[np.int32], laue: gemmi.SpaceGroup) -> NDArray[np.int32]:
    mapped = np.array(hkl, dtype=np.int32, order="C")
    laue.switch_to_asu(mapped)
    return mapped


def _unique(hkl: NDArray[np.int32], laue: gemmi.SpaceGroup) -> NDArray[np.int32]:
    return np.asarray(np.unique(_to_unit(hkl, laue), axis=0), dtype=np.int32)
