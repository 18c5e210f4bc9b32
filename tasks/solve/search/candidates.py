"""From phase sets to ranked candidate structures: space groups tried, models built, verdicts given."""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.contents import atom_budget
from tasks.crystal.scattering import Radiation, d_star_squared
from tasks.crystal.symmetry import Symmetry
from tasks.integrate import Merged
from tasks.model import Composition, UnitCell
from tasks.model.verdict import standing
from tasks.solve.building.atoms import Model, calculate
from tasks.solve.building.density import plan_map
from tasks.solve.building.model_building import Built, Task, build, complete, polish
from tasks.solve.building.ranking import Judgement, judge_built
from tasks.solve.building.recycling import Recycled, phases_in_group
from tasks.solve.data.observations import normalised_intensity, observe
from tasks.solve.groups.origin import FactorTable
from tasks.solve.groups.symmetry_from_phases import GroupFit, absence_evidence, rank_groups, trial_row
from tasks.solve.models import Atom, Solution, SpaceGroupTrial
from tasks.solve.phasing.trials import PhaseSet
from tasks.solve.search.group_search import search_in_group

GROUPS_TRIED = 4
"""Most likely groups that models are built in, for each phase set. Six sets of `python -m tests.benchmarks.solve` are
solved with 1 too, in 29 trials in place of 26: the others are for phases that mistake the group."""
POLISHING_TURNS = 15
"""At most, for the models of trials in space groups. Not sensitive: six sets of `python -m tests.benchmarks.solve` are
solved in as many trials with 5."""
SCORE_WINDOW = 0.35
"""Groups with less than this part of the best score are not built, unless there are few groups at all."""
SETTLED_SCORE = 0.5
"""A subgroup of index 2 has less than half of the score of a right group, as only its own operations count for it."""
EXPLAINED_R_FREE = 0.2
"""A model that predicts left-out reflections worse may be one of pseudo-symmetry."""
SETTLED_R1 = 0.12
"""Chosen: a right model of a silicate in P1 comes below 0.10 (tests/unit/solve/groups/test_triclinic_groups.py). Of
little weight: beyond it one more model is built."""
SCORE_IN_R1 = 0.03
"""How much R1 the best phase agreement is worth over none, when groups are compared."""
UNTESTED_R1 = 0.1
"""Added to R1 where that of left-out reflections is not known."""


class Workshop(NamedTuple):
    """What stays the same for all phase sets of one data set."""

    merged: Merged
    cell: UnitCell
    radiation: Radiation
    composition: Composition | None
    d_min_angstrom: float
    groups: list[Symmetry]
    absences: dict[str, tuple[float | None, int]]


class Candidate(NamedTuple):
    """A built model with its evidence; ``value``: lower is better."""

    task: Task
    built: Built
    fit: GroupFit
    judgement: Judgement
    value: float
    trial: int


class Effort(NamedTuple):
    """How many turns a trial or a model gets, and the correlation of E below which it is not worth more work."""

    turns: int
    least_correlation: float


class Means(NamedTuple):
    """What building from one phase set may use: its effort, and the random numbers of its trial."""

    effort: Effort
    rng: np.random.Generator


def open_workshop(
    merged: Merged,
    groups: list[Symmetry],
    *,
    cell: UnitCell,
    radiation: Radiation,
    composition: Composition | None,
    d_min_angstrom: float,
) -> Workshop:
    """Return the workshop; `groups` are of one Laue class, that of `merged`, in its axes."""
    d_star_sq = d_star_squared(merged.hkl, cell)
    inside = d_star_sq <= 1.0 / d_min_angstrom**2
    e_squared = normalised_intensity(merged.hkl, merged.intensity, groups[0], d_star_sq)
    absences = absence_evidence(merged.hkl[inside], e_squared[inside], groups)
    return Workshop(merged, cell, radiation, composition, d_min_angstrom, groups, absences)


def candidates_of(
    workshop: Workshop, phases: PhaseSet, means: Means, *, larger_than: int = 0
) -> tuple[list[Candidate], list[GroupFit]]:
    """Return the models built from one phase set in its most likely groups, and the table of groups.

    Groups of an order up to `larger_than` are not built.
    """
    value = phases.amplitude * np.exp(1j * phases.phase_rad)
    groups = [group for group in workshop.groups if group.order > larger_than]
    if not groups:
        return [], []
    fits = rank_groups(phases.hkl, value, groups, cell=workshop.cell, absences=workshop.absences)
    table = FactorTable(phases.hkl, value)
    floor = SCORE_WINDOW * fits[0].score if len(groups) > 2 else -np.inf  # P1 and P-1: by R1 alone
    chosen = [fit for fit in fits[:GROUPS_TRIED] if fit.score >= min(floor, fits[0].score)]
    found: list[Candidate] = []
    for fit in chosen:
        if any(_settled(candidate, fit) for candidate in found):
            continue
        candidate = _candidate(workshop, fit, table, top=fits[0].score, trial=phases.trial, means=means)
        if candidate is not None:
            found.append(candidate)
    return sorted(found, key=rank_key), fits


def _settled(candidate: Candidate, fit: GroupFit) -> bool:
    """Tell whether a model that was built makes a smaller group with less support needless.

    Phases of a structure laid over its own inverse agree with P-1 about as well as right ones do: P1 is needless only
    beside a model that explains the data.
    """
    figures = candidate.judgement.figures
    if fit.symmetry.order == 1 and max(figures["r1"], figures["r_free"]) > SETTLED_R1:
        return False
    smaller = fit.symmetry.order < candidate.task.symmetry.order and fit.score < SETTLED_SCORE * candidate.fit.score
    explained = candidate.judgement.figures["r_free"] <= EXPLAINED_R_FREE
    return candidate.judgement.verdict == "solved" and explained and smaller


def found_in_group(workshop: Workshop, symmetry: Symmetry, means: Means) -> Recycled | None:
    """Return the pseudo-atoms that one trial of dual-space direct methods in a group leads to.

    None where the trial led to nothing that deserves least squares.
    """
    task = task_for(workshop, symmetry)
    if len(task.observed.hkl) == 0:
        return None
    found = search_in_group(task, turns=means.effort.turns, rng=means.rng)
    if found.correlation < means.effort.least_correlation - 0.1:
        return None
    polished = polish(task, found.model, cycles=POLISHING_TURNS, rng=means.rng)
    return polished if polished.correlation >= means.effort.least_correlation else None


def candidate_in_group(
    workshop: Workshop, symmetry: Symmetry, model: Model, blank: PhaseSet
) -> tuple[Candidate, list[GroupFit]] | None:
    """Return the candidate that pseudo-atoms in a group lead to, and the table of groups by its phases.

    None where the phases do not support the group at all. `blank` holds the P1 hemisphere.
    """
    task = task_for(workshop, symmetry)
    built = complete(task, model)
    phases = phases_of_model(task, built, blank)
    value = phases.amplitude * np.exp(1j * phases.phase_rad)
    fits = rank_groups(phases.hkl, value, workshop.groups, cell=workshop.cell, absences=workshop.absences)
    own = [fit for fit in fits if fit.symmetry.hall == symmetry.hall]
    if not own:
        return None
    judgement = judge_built(task, built)
    return Candidate(task, built, own[0], judgement, _value(judgement, own[0], fits[0].score), blank.trial), fits


def phases_of_model(task: Task, built: Built, phases: PhaseSet) -> PhaseSet:
    """Return the phase set with the phases of a built model.

    Far better than the phases it was built from, they tell the space group anew, and once more from P1.
    """
    fit = built.fit
    calculated = calculate(
        phases.hkl, fit.model, task.symmetry, cell=task.observed.cell, radiation=task.observed.radiation,
        d_star_sq=d_star_squared(phases.hkl, task.observed.cell),
    )  # fmt: skip
    return phases._replace(phase_rad=np.angle(calculated))


def rank_key(candidate: Candidate) -> tuple[int, float]:
    """Return what candidates are sorted by: the verdict, then R1 of left-out reflections with the phase agreement."""
    return standing(candidate.judgement.verdict), candidate.value


def _candidate(
    workshop: Workshop,
    fit: GroupFit,
    table: FactorTable,
    *,
    top: float,
    trial: int,
    means: Means,
) -> Candidate | None:
    task = task_for(workshop, fit.symmetry)
    if len(task.observed.hkl) == 0:
        return None
    start = phases_in_group(task.observed.hkl, table, fit.symmetry, fit.placement.origin)
    effort = means.effort
    built = build(task, start, cycles=effort.turns, least_correlation=effort.least_correlation, rng=means.rng)
    if built is None:
        return None
    judgement = judge_built(task, built)
    return Candidate(task, built, fit, judgement, _value(judgement, fit, top), trial)


def task_for(workshop: Workshop, symmetry: Symmetry) -> Task:
    """Return the building task in one group."""
    cell = workshop.cell
    observed = observe(
        workshop.merged, symmetry, cell=cell, radiation=workshop.radiation, d_min_angstrom=workshop.d_min_angstrom
    )
    everything = np.concatenate([observed.hkl, observed.missing])
    plan = plan_map(everything, symmetry, cell, workshop.d_min_angstrom)
    return Task(
        observed, symmetry, plan, atom_budget(workshop.composition, cell.volume_angstrom3), workshop.composition
    )


def _value(judgement: Judgement, fit: GroupFit, top: float) -> float:
    """Return what models are compared by, less is better: R1 of left-out reflections, less for agreeing phases."""
    figures = judgement.figures
    r1 = figures["r_free"] if figures["r_free"] < 1.0 else figures["r1"] + UNTESTED_R1
    return r1 - SCORE_IN_R1 * _relative(fit.score, top)


def _relative(score: float, top: float) -> float:
    return 1.0 if top <= 0 else float(np.clip(score / top, 0.0, 1.0))


def solution_of(candidate: Candidate) -> Solution:
    """Return the document of a candidate."""
    return solution_of_model(candidate.task, candidate.built, candidate.judgement)


def solution_of_model(task: Task, built: Built, judgement: Judgement) -> Solution:
    """Return the document of a model that was built and judged."""
    model, symmetry = built.fit.model, task.symmetry
    reasons = list(judgement.reasons)
    if symmetry.chiral:
        reasons.append("the absolute structure is not determined from kinematical data: both hands fit equally well")
    if (other := _enantiomorph(symmetry)) is not None:
        reasons.append(f"the enantiomorphic group {other} with the inverted structure fits equally well")
    return Solution(
        space_group=symmetry.symbol,
        hall=symmetry.hall,
        unit_cell=task.observed.cell,
        atoms=_atoms(model),
        r1=min(1.0, built.fit.r1),
        figures={name: round(value, 5) for name, value in judgement.figures.items()},
        verdict=judgement.verdict,
        reasons=tuple(reasons),
    )


def table_of(fits: list[GroupFit], candidates: list[Candidate], *, rows: int) -> tuple[SpaceGroupTrial, ...]:
    """Return the table of space groups, the winner's first, with the R1 of those that were built."""
    r1: dict[str, float] = {}
    for candidate in candidates:
        hall = candidate.task.symmetry.hall
        r1[hall] = min(r1.get(hall, 1.0), round(candidate.built.fit.r1, 4))
    return tuple(trial_row(fit, r1.get(fit.symmetry.hall)) for fit in fits[:rows])


def _atoms(model: Model) -> tuple[Atom, ...]:
    order: NDArray[np.int64] = np.argsort(-model.peak, kind="stable")
    count: dict[str, int] = {}
    atoms = []
    for row in order:
        name = model.element[row]
        count[name] = count.get(name, 0) + 1
        x, y, z = (float(value) for value in model.position[row])
        atoms.append(
            Atom(
                label=f"{name}{count[name]}",
                element=name,
                position=(x, y, z),
                u_iso_angstrom2=float(model.u_iso[row]),
                occupancy=float(np.clip(model.occupancy[row], 0.01, 1.0)),
                peak=float(model.peak[row]),
            )
        )
    return tuple(atoms)


ENANTIOMORPHS = (
    (76, 78), (91, 95), (92, 96), (144, 145), (151, 153), (152, 154), (169, 170), (171, 172), (178, 179), (180, 181),
    (212, 213),
)  # fmt: skip


def _enantiomorph(symmetry: Symmetry) -> str | None:
    number = gemmi.SpaceGroup(symmetry.symbol).number
    for pair in ENANTIOMORPHS:
        if number in pair:
            return str(gemmi.find_spacegroup_by_number(pair[0] + pair[1] - number).xhm())
    return None
