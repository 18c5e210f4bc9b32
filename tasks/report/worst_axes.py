"""Which indices of the intensities a structure's indices are, and which of a crystal those of merged data are.

A refinement may have changed axes, and merging does; what was changed is read off the numbers themselves.
"""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.index_change import Change, changed, index_changes, orbit
from tasks.crystal.symmetry import laue_group_of
from tasks.integrate import Reflections, read_merged, read_unmerged, to_asymmetric_unit
from tasks.refine import FittedIntensities

SAME_DATA = 0.95
"""Correlation of F(obs) with the root of the intensities it was made from, and share of it that is found among them,
above which the axes are believed. Chosen, not measured: both are 1 but for absences, a limit of resolution and the
shares of a twin."""
SAMPLE = 400
"""Reflections looked at, from the strongest to the weakest. Chosen, not measured: amplitudes of so many that belong
together have a correlation of 1, of others one that scatters by 0.05."""
DECIMALS = 9
"""To which angles of one observation agree: both are the same number, read from two files."""


class Axes(NamedTuple):
    """Indices as rows, times ``change``, are those of another table; ``operations`` make equivalents before that."""

    change: Change
    operations: gemmi.GroupOps

    def of(self, hkl: tuple[int, int, int]) -> NDArray[np.int32]:
        """Return what a reflection and its equivalents are (k, 3); those without whole indices are left out."""
        images, whole = changed(orbit(hkl, self.operations), self.change)
        return images[whole]


def axes_of_data(fitted: FittedIntensities, hall: str, data: Reflections) -> Axes | None:
    """Return how a structure's indices become those of the data that it was refined against; None if that is not plain.

    Of all changes that the lattices allow the one is taken by which F^2(obs) is the intensity, times one factor.
    """
    if (group := _named(hall)) is None:
        return None
    laue = laue_group_of(data.laue_group)
    merged = read_merged(data.merged)
    unique = to_asymmetric_unit(merged.hkl, laue).tolist()
    known = {tuple(row): value for row, value in zip(unique, merged.intensity.tolist(), strict=True)}
    rows = np.argsort(fitted.observed)[np.unique(np.linspace(0, len(fitted.hkl) - 1, SAMPLE).astype(int))]
    hkl, observed = fitted.hkl[rows], fitted.observed[rows]
    best: tuple[float, Axes | None] = (SAME_DATA, None)
    for change in index_changes(fitted.unit_cell, group.centring_type(), data.unit_cell, laue.centring_type()):
        indices, whole = changed(hkl, change)
        value = np.array([known.get(tuple(row), np.nan) for row in to_asymmetric_unit(indices, laue).tolist()])
        both = whole & np.isfinite(value)
        if both.mean() < SAME_DATA:
            continue
        correlation = _correlation(observed[both], value[both])
        if correlation > best[0]:
            best = (correlation, Axes(change, group.operations()))
    return best[1]


def axes_of_member(merged: Reflections, member: Reflections) -> Axes | None:
    """Return how the indices of merged data become those of one crystal among them; None if it is not among them.

    Its observations stand in both tables with the same angle: the change is the one that makes their indices the same.
    """
    if member.id not in merged.members:
        return None
    together, alone = read_unmerged(merged.unmerged), read_unmerged(member.unmerged)
    here = np.flatnonzero(together.crystal == merged.members.index(member.id))
    here = here[np.unique(np.linspace(0, max(len(here) - 1, 0), SAMPLE).astype(int))] if len(here) else here
    laue, own = laue_group_of(merged.laue_group), laue_group_of(member.laue_group)
    known = {
        (round(angle, DECIMALS), *row) for angle, row in zip(alone.angle_deg.tolist(), alone.hkl.tolist(), strict=True)
    }
    angles = [round(angle, DECIMALS) for angle in together.angle_deg[here].tolist()]
    changes = index_changes(merged.unit_cell, laue.centring_type(), member.unit_cell, own.centring_type())
    for change in changes if angles else []:
        indices, whole = changed(together.hkl[here], change)
        same = sum((angle, *row) in known for angle, row in zip(angles, indices.tolist(), strict=True))
        if whole.all() and same >= SAME_DATA * len(angles):
            return Axes(change, laue.operations())
    return None


def _named(hall: str) -> gemmi.SpaceGroup | None:
    """Return the group of the tables; None for a setting without a name."""
    return gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(hall))


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the correlation of the roots of intensities; 0 where there is none."""
    if len(first) < 2 or not (np.ptp(first) > 0 and np.ptp(second) > 0):
        return 0.0
    return float(np.corrcoef(np.sqrt(np.maximum(first, 0.0)), np.sqrt(np.maximum(second, 0.0)))[0, 1])
