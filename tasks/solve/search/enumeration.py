"""Structures of few reflections: every arrangement of the atoms tried, the best fitted, what else would fit named."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.contacts import contacts_among
from tasks.solve.building.arrangements import Arrangement, arrangements, moduli
from tasks.solve.building.atoms import Model, calculate, multiplicities
from tasks.solve.building.few_reflections import (
    SAME_PATTERN,
    FewReflections,
    Scores,
    explained_by_chance,
    few_reflections,
    scored,
    unexplained_by,
)
from tasks.solve.building.least_squares import Free, refine
from tasks.solve.building.model_building import ISOTROPIC_CYCLES, fitted_as_given
from tasks.solve.building.ranking import judge_built
from tasks.solve.groups.origin import Placement
from tasks.solve.groups.symmetry_from_phases import GroupFit, rank_groups
from tasks.solve.phasing.trials import PhaseSet
from tasks.solve.search.candidates import Candidate, Workshop, phases_of_model, task_for
from tasks.solve.search.progress import SearchProgress

MOST_REFLECTIONS = 80
"""Unique ones; with more the cell is large enough for direct methods, and has too many arrangements."""
FITTED = 12
"""Best kinds of arrangement that least squares refines, one place along a line of each kind. Chosen, not measured."""
TOLD_APART = 10.0
"""Of n ln(ratio of what two arrangements leave unexplained), twice a log likelihood ratio: odds of 150 to 1."""
NOISE = 0.0005
"""Of |E|^2 left unexplained by sigma alone at 2 %: less does not tell models apart."""
EXPLAINED = 0.01
"""Of |E|^2 left unexplained, an R factor of some 0.07, up to which more symmetry is taken: less is no evidence against
it. Prototypes with 8 % noise leave 0.0007 to 0.0045. Chosen, not measured."""
SAME_ANGSTROM = 0.25
"""Between distances of two arrangements that are one structure, of which one has more freedom: less than a bond's
length differs between elements of one kind."""
SHELLS_COMPARED = 8
"""Nearest neighbours of each atom that tell whether two arrangements are one structure: a cube's corners."""
REACH_ANGSTROM = 6.0
"""In which they are looked for: no atom of a crystal has fewer within it but in the heaviest alkali metals."""
LEAST_SEARCHED = 20
"""Unique reflections with which direct methods are tried; with fewer no map tells an atom from a ripple."""


COMMON = Free(u_common=True)
"""What arrangements are compared with: displacements of their own would let more independent atoms fit more noise."""


class FittedArrangement(NamedTuple):
    """An arrangement after least squares; ``pattern`` (n,): |E| of its atoms; ``left``: what it leaves unexplained."""

    arrangement: Arrangement
    model: Model
    pattern: NDArray[np.float64]
    left: float


def enumerated(workshop: Workshop, blank: PhaseSet) -> SearchProgress | None:
    """Return the best arrangement of the composition's atoms on special positions, judged, as a finished search.

    None where there are too many reflections, no composition, or no arrangement that it allows. `blank` holds the P1
    hemisphere. Of arrangements that are one structure the one of most symmetry is taken.
    """
    if workshop.composition is None or len(workshop.merged.hkl) > MOST_REFLECTIONS:
        return None
    found = [a for group in workshop.groups for a in arrangements(workshop.composition, group, workshop.cell)]
    if not found:
        return None
    few = few_reflections(workshop.merged, workshop.cell, workshop.radiation, workshop.composition)
    patterns = moduli(found, few)
    scores = scored(patterns, few)
    fitted = _fitted(workshop, [found[row] for row in _best_of_each_kind(found, scores)], few, scores)
    first = min(fitted, key=lambda one: one.left)
    alike = [
        one
        for one in fitted
        if _same(one, first, workshop)
        and (one.left <= EXPLAINED or not _told_apart(first, one, len(few.hkl)))  # a freedom may fit but noise
    ]
    best = min(alike, key=lambda one: (-one.arrangement.symmetry.order, one.arrangement.free, one.left))
    rivals = [one for one in fitted if not _same(one, best, workshop) and not _told_apart(best, one, len(few.hkl))]
    known = {
        "explained_by_chance": explained_by_chance(patterns, few, scores),
        "unexplained": best.left,
        "rivals": float(len(_distinct(rivals, workshop))),
        "power_ratio": _power_ratio(workshop, best, few, scores),
    }
    progress = SearchProgress()
    candidate, fits = _candidate(workshop, best, blank, known)
    progress.add([candidate], fits)
    progress.trials = len(found)
    return progress


def _best_of_each_kind(found: list[Arrangement], scores: Scores) -> list[int]:
    """Return the best arrangements, one of each group and kind, in order."""
    seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
    rows: list[int] = []
    for row in np.argsort(scores.unexplained, kind="stable"):
        key = (found[row].symmetry.hall, found[row].kind)
        if key not in seen:
            seen.add(key)
            rows.append(int(row))
        if len(rows) == FITTED:
            break
    return rows


def _fitted(
    workshop: Workshop, chosen: list[Arrangement], few: FewReflections, scores: Scores
) -> list[FittedArrangement]:
    fitted = []
    for arrangement in chosen:
        task = task_for(workshop, arrangement.symmetry)
        if len(task.observed.hkl) == 0:
            continue
        start = arrangement.model(scores.u_iso_angstrom2)
        model = refine(start, task.observed, task.symmetry, free=COMMON, cycles=ISOTROPIC_CYCLES).model
        fitted.append(_compared(workshop, arrangement, model, few, scores))
    return fitted


def _compared(
    workshop: Workshop, arrangement: Arrangement, model: Model, few: FewReflections, scores: Scores
) -> FittedArrangement:
    amplitude = np.abs(
        calculate(
            few.hkl, model, arrangement.symmetry, cell=workshop.cell, radiation=few.radiation, d_star_sq=few.d_star_sq
        )
    )
    return FittedArrangement(arrangement, model, *unexplained_by(amplitude, few, scores.u_iso_angstrom2))


def _told_apart(better: FittedArrangement, worse: FittedArrangement, count: int) -> bool:
    """Tell whether the data prefer one arrangement for certain."""
    return count * math.log((worse.left + NOISE) / (better.left + NOISE)) > TOLD_APART


def _same(one: FittedArrangement, other: FittedArrangement, workshop: Workshop) -> bool:
    """Tell whether two arrangements are one structure: the same |E|, and the same surroundings of each element."""
    cosine = float(one.pattern @ other.pattern) / float(np.linalg.norm(one.pattern) * np.linalg.norm(other.pattern))
    if cosine < SAME_PATTERN:
        return False
    mine, yours = _surroundings(one, workshop), _surroundings(other, workshop)
    if [row[0] for row in mine] != [row[0] for row in yours]:
        return False
    return all(
        names == others and np.allclose(near, far, atol=SAME_ANGSTROM)
        for (_, names, near), (_, others, far) in zip(mine, yours, strict=True)
    )


def _surroundings(one: FittedArrangement, workshop: Workshop) -> list[tuple[str, tuple[str, ...], tuple[float, ...]]]:
    """Return for each atom of the cell its element, and elements and distances of its nearest neighbours, sorted."""
    model, symmetry = one.model, one.arrangement.symmetry
    near = contacts_among(
        model.position, symmetry.operations(), workshop.cell, within_angstrom=REACH_ANGSTROM, same_angstrom=0.1
    )
    count = np.rint(multiplicities(model.position, symmetry, workshop.cell)).astype(int)
    rows: list[tuple[str, tuple[str, ...], tuple[float, ...]]] = []
    for row, (name, times) in enumerate(zip(model.element, count, strict=True)):
        mine = near.first == row
        order = sorted(
            zip(np.round(near.distance[mine], 2), (model.element[k] for k in near.second[mine]), strict=True)
        )[:SHELLS_COMPARED]
        names = tuple(sorted(element for _, element in order))
        rows += [(name, names, tuple(float(distance) for distance, _ in order))] * int(times)
    return sorted(rows)


def _distinct(rivals: list[FittedArrangement], workshop: Workshop) -> list[FittedArrangement]:
    kept: list[FittedArrangement] = []
    for one in rivals:
        if not any(_same(one, other, workshop) for other in kept):
            kept.append(one)
    return kept


def _power_ratio(workshop: Workshop, best: FittedArrangement, few: FewReflections, scores: Scores) -> float:
    """Return by what factor the scattering powers of two elements differ most from what was told; 1 if that is chance.

    Scattering powers are set free: with few reflections of right positions, wrong elements show in nothing else.
    """
    element = best.model.element
    if len(set(element)) < 2:
        return 1.0
    task = task_for(workshop, best.arrangement.symmetry)
    told, free = (
        refine(best.model, task.observed, task.symmetry, free=Free(u_iso=True, occupancy=occupancy), cycles=20).model
        for occupancy in (False, True)
    )
    before, after = (_compared(workshop, best.arrangement, model, few, scores) for model in (told, free))
    if not _told_apart(after, before, len(few.hkl)):
        return 1.0
    count = multiplicities(free.position, task.symmetry, workshop.cell)
    rows = [np.array([other == name for other in element]) for name in sorted(set(element))]
    power = [math.log(np.average(free.occupancy[row], weights=count[row])) for row in rows]
    return math.exp(max(power) - min(power))


def _candidate(
    workshop: Workshop, best: FittedArrangement, blank: PhaseSet, known: dict[str, float]
) -> tuple[Candidate, list[GroupFit]]:
    symmetry = best.arrangement.symmetry
    task = task_for(workshop, symmetry)
    built = fitted_as_given(task, best.model)
    phases = phases_of_model(task, built, blank)
    value = phases.amplitude * np.exp(1j * phases.phase_rad)
    fits = rank_groups(phases.hkl, value, workshop.groups, cell=workshop.cell, absences=workshop.absences)
    own = next((fit for fit in fits if fit.symmetry.hall == symmetry.hall), None)
    if own is None:
        nowhere = Placement(np.zeros(3), np.full(len(symmetry.rotations), np.nan))
        own = GroupFit(symmetry, nowhere, 0.0, 0.0, 0.0, *workshop.absences[symmetry.hall])
    others = [fit for fit in fits if fit.symmetry.hall != symmetry.hall]
    judgement = judge_built(task, built, known=known)
    return Candidate(task, built, own, judgement, built.fit.r1, blank.trial), [own, *others]
