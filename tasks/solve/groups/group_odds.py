"""In which space groups to search for a structure, and how often in each."""

import gemmi
import numpy as np

from tasks.crystal.symmetry import Symmetry
from tasks.integrate import rank_space_groups
from tasks.solve.data.prepared import NormalisedHemisphere

TEMPERATURE = 2.0
"""Softens the odds: absences of electron data and frequencies of databases are not to be believed too much."""
MOST_GROUPS = 12
"""Searched in. Chosen, not measured: groups are dealt in proportion to their odds, so the last of twelve is hardly
drawn."""


class GroupOdds:
    """Deals groups out in proportion to their odds from absences, statistics and frequency, the likeliest first."""

    def __init__(self, groups: list[Symmetry], prepared: NormalisedHemisphere) -> None:
        laue: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_ops(prepared.operations)
        score: dict[str, float] = {}
        if laue is not None:
            score = {row.hall: row.score for row in rank_space_groups(prepared.unique, laue, prepared.cell)}
        ranked = sorted(groups, key=lambda group: -score.get(group.hall, -60.0))[:MOST_GROUPS]
        self._groups = ranked
        weights = [float(np.exp(max(score.get(group.hall, -60.0), -60.0) / TEMPERATURE)) for group in ranked]
        self._weights = np.array(weights)
        self._dealt = np.zeros(len(weights))

    def draw(self) -> Symmetry:
        """Return the group that is furthest behind its share."""
        index = int(np.argmax(self._weights / (self._dealt + 1.0)))
        self._dealt[index] += 1.0
        return self._groups[index]
