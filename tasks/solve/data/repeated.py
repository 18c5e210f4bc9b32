"""Whether measurements of one reflection agree: where they do not, more than one thing was measured."""

import gemmi
import numpy as np

from tasks.integrate import Unmerged

MOST_DISAGREEMENT = 0.3
"""R_meas of a reflection and its Friedel mate, beyond which they are not of one crystal. Real electron data have 0.09
(cinchonine, DIALS), 0.14 (XDS), 0.17 (LuAG) and 0.19 (tyrosine), X-ray data to 0.04 (sucrose), two crystals merged to
0.45 and 0.67 (the cases merged-quartz and merged-forsterite of tests.benchmarks.adversarial)."""
TIMES_EXPECTED = 3.0
"""By how much that must exceed what the stated errors give: weak data disagree for their noise alone. Chosen, not
measured."""
LEAST_REPEATED = 50
"""Reflections measured twice or more that are asked for: R_meas of so many is known to 14 % (1 / sqrt(50))."""


def measurements_disagree(data: Unmerged) -> str | None:
    """Return in words that repeated measurements, Friedel mates included, disagree far beyond their errors; else None.

    No symmetry but the Laue group -1 is used, so that a wrong Laue group is no cause.
    """
    hkl = np.array(data.hkl)
    gemmi.SpaceGroup("P -1").switch_to_asu(hkl)
    _, member, count = np.unique(hkl, axis=0, return_inverse=True, return_counts=True)
    member = member.reshape(-1)
    repeated = count[member] > 1
    if np.count_nonzero(count > 1) < LEAST_REPEATED:
        return None
    mean = np.bincount(member, weights=data.intensity) / count
    total = float(np.abs(mean[member][repeated]).sum())
    spread = np.abs(data.intensity - mean[member]) * np.sqrt(count[member] / np.maximum(count[member] - 1, 1))
    found = float(spread[repeated].sum()) / total
    expected = float(np.sqrt(2 / np.pi) * data.sigma[repeated].sum()) / total
    if not found > max(MOST_DISAGREEMENT, TIMES_EXPECTED * expected):
        return None
    return (
        f"measurements of the same reflection disagree by {found:.0%}, where their errors give {expected:.0%}: "
        "more than one crystal or phase was merged, or indices are wrong in part"
    )
