"""How well intensities agree that were measured in two halves of the tilts."""

from typing import NamedTuple

import numpy as np

from tasks.crystal.correlation import correlation
from tasks.crystal.symmetry import space_group
from tasks.integrate.merging.equivalents import to_asymmetric_unit
from tasks.integrate.models import Reflections

COMMON_MIN = 30
"""Unique reflections of both halves from which a correlation is told: that of noise scatters by 1 / sqrt(29) = 0.19."""


class HalvesAgreement(NamedTuple):
    """Agreement of amplitudes of the same unique reflections, measured in different scans.

    ``cc`` is Pearson's of |F|, None below 30 reflections in common; ``weak`` that of the weaker half of them, by their
    mean: what strong reflections alone do not carry.
    """

    reflections: int
    cc: float | None
    weak: float | None


def halves_agreement(first: Reflections, second: Reflections) -> HalvesAgreement:
    """Compare two measurements of one crystal in one cell and Laue group.

    Amplitudes, as structures are solved from them; a negative intensity counts as none.
    """
    laue = space_group(first.laue_group)
    tables = []
    for data in (first, second):
        merged = data.unique_reflections
        keys = map(tuple, to_asymmetric_unit(merged.hkl, laue).tolist())
        tables.append(dict(zip(keys, np.sqrt(np.maximum(merged.intensity, 0.0)).tolist(), strict=True)))
    common = sorted(tables[0].keys() & tables[1].keys())
    if len(common) < COMMON_MIN:
        return HalvesAgreement(len(common), None, None)
    one, other = (np.array([table[key] for key in common]) for table in tables)
    weak = np.argsort(one + other, kind="stable")[: len(common) // 2]
    return HalvesAgreement(len(common), correlation(one, other), correlation(one[weak], other[weak]))
