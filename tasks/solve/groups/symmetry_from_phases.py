"""The space group of a set of P1 phases, as a ranked table with reasons."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.symmetry import Symmetry, absent, laue_of
from tasks.model import UnitCell
from tasks.solve.groups.origin import Placement, coarse_origin, place, related_products
from tasks.solve.models import SpaceGroupTrial

STRONGEST = 1200
"""Reflections whose phases are compared, which bounds the time. Not sensitive: six sets of `python -m
tests.benchmarks.solve` are solved in as many trials with 400."""
GRID_ANGSTROM = 0.35
"""Of the origins tried: `place` refines them from half a step on. Not sensitive: six sets of `python -m
tests.benchmarks.solve` are solved in 27 trials with 0.6 in place of 26."""
FINE_FRACTION = 0.4
"""Groups with less than this part of the best mean agreement are dropped."""
ACCEPTED = 0.6
"""An operation counts for a group if it agrees this well, relative to the best operation of all groups."""


class GroupFit(NamedTuple):
    """How well one group explains the phases.

    ``score`` is the mean over the Laue class of (agreement - threshold), so that each confirmed operation
    raises it and each refuted one lowers it; ``absence`` is the mean of E^2 over the reflections that the
    group (not the lattice) extinguishes, None if there are none.
    """

    symmetry: Symmetry
    placement: Placement
    score: float
    mean_agreement: float
    worst_agreement: float
    absence: float | None
    n_absent: int


def rank_groups(
    hkl: NDArray[np.int32],
    structure_factor: NDArray[np.complex128],
    groups: list[Symmetry],
    *,
    cell: UnitCell,
    absences: dict[str, tuple[float | None, int]],
) -> list[GroupFit]:
    """Return the groups, best first.

    Parameters
    ----------
    hkl, structure_factor
        P1 hemisphere (n, 3) and phased amplitudes (n,), normalised ones preferably.
    groups
        Candidates of one Laue class, in the axes of the data.
    absences
        Per Hall symbol what `absence_evidence` says.
    """
    strong = np.argsort(-np.abs(structure_factor), kind="stable")[:STRONGEST]
    products = related_products(hkl[strong], structure_factor[strong], laue_of(groups[0]), grid=_grid(cell))
    coarse = [coarse_origin(products, group) for group in groups]
    floor = FINE_FRACTION * max(mean for _, mean in coarse)
    kept = [
        (group, origin)
        for group, (origin, mean) in zip(groups, coarse, strict=True)
        if mean >= floor or len(group.rotations) == 1
    ]
    groups = [group for group, _ in kept]
    placements = [place(products, group, origin) for group, origin in kept]
    best = max((float(np.nanmax(p.agreement)) for p in placements if np.isfinite(p.agreement).any()), default=0.0)
    order = len(products.rotations)
    fits = [
        _fit(group, placement, threshold=ACCEPTED * max(best, 0.0), order=order, absences=absences[group.hall])
        for group, placement in zip(groups, placements, strict=True)
    ]
    return sorted(fits, key=lambda fit: -fit.score)


def absence_evidence(
    hkl: NDArray[np.int32], e_squared: NDArray[np.float64], groups: list[Symmetry]
) -> dict[str, tuple[float | None, int]]:
    """Return for each group, by Hall symbol, the mean E^2 of its absences and their number."""
    result: dict[str, tuple[float | None, int]] = {}
    for group in groups:
        forbidden = absent(hkl, group)
        count = int(forbidden.sum())
        result[group.hall] = (float(e_squared[forbidden].mean()) if count else None, count)
    return result


def trial_row(fit: GroupFit, r1: float | None = None) -> SpaceGroupTrial:
    """Return the row of the table that people read."""
    reasons = []
    if np.isfinite(fit.placement.agreement).any():
        reasons.append(
            f"phases agree with its operations by {fit.mean_agreement:.2f}, with the worst by {fit.worst_agreement:.2f}"
        )
    if fit.absence is not None:
        reasons.append(f"mean E^2 of its {fit.n_absent} absences {fit.absence:.2f}")
    error = float(np.degrees(np.arccos(np.clip(fit.mean_agreement, -1, 1))))
    return SpaceGroupTrial(
        symbol=fit.symmetry.symbol,
        hall=fit.symmetry.hall,
        score=round(fit.score, 4),
        r1=r1,
        phase_error_deg=round(error, 1),
        reasons=tuple(reasons),
    )


def _fit(
    group: Symmetry,
    placement: Placement,
    *,
    threshold: float,
    order: int,
    absences: tuple[float | None, int],
) -> GroupFit:
    known = placement.agreement[np.isfinite(placement.agreement)]
    score = float((known - threshold).sum()) / max(1, order - 1)
    mean, worst = (float(known.mean()), float(known.min())) if len(known) else (1.0, 1.0)
    absence, count = absences
    return GroupFit(group, placement, score - _absence_penalty(absence, count), mean, worst, absence, count)


def _absence_penalty(absence: float | None, count: int) -> float:
    """Return how much absences that are present count against a group.

    Multiple scattering fills absences of electron data: up to 0.2 of the mean intensity costs nothing, and the
    whole of it costs as much as refuting half of the operations. Few absences count less.
    """
    if absence is None:
        return 0.0
    return 0.3 * float(np.clip((absence - 0.2) / 0.8, 0.0, 1.0)) * count / (count + 5.0)


def _grid(cell: UnitCell) -> tuple[int, int, int]:
    lengths = np.array(cell.parameters[:3])
    n = np.maximum(24, np.ceil(lengths / GRID_ANGSTROM / 12).astype(int) * 12)
    return (int(n[0]), int(n[1]), int(n[2]))
