"""Trials in P1 and in likely space groups, and models built from the best, until one is solved or time is up."""

from functools import partial
from typing import NamedTuple

import numpy as np

from tasks.crystal.symmetry import Symmetry
from tasks.solve.building.recycling import Recycled
from tasks.solve.data.prepared import NormalisedHemisphere
from tasks.solve.groups.group_odds import GroupOdds
from tasks.solve.groups.symmetry_from_phases import GroupFit
from tasks.solve.phasing.crew import Crew
from tasks.solve.phasing.methods import DualSpace, FlippingMethod
from tasks.solve.phasing.trials import PhaseSet, StopRule, phase_p1
from tasks.solve.search.candidates import (
    Candidate,
    Effort,
    Means,
    Workshop,
    candidate_in_group,
    candidates_of,
    found_in_group,
    phases_of_model,
)
from tasks.solve.search.progress import SearchProgress
from tasks.solve.search.reporter import Reporter
from tasks.solve.settings import SolveSettings

Methods = tuple[FlippingMethod | DualSpace, ...]
"""Of the batches in P1: a batch of each in the first round, of the last in those that follow."""
BUILT_PER_BATCH = 2
"""Best phase sets of a batch that models are built from. Not sensitive: six sets of `python -m tests.benchmarks.solve`
are solved in as many trials with 1 and with 4."""
FLIPPING_BATCH = 2
"""Trials of charge flipping before dual-space trials. They solve frameworks at once, but few molecules: with 6, six
sets of `python -m tests.benchmarks.solve` take 55 trials in place of 26."""
MOST_BATCHES = 4
"""Of trials in space groups in one round, which cost much less than those in P1; as many as the number of the round."""
STANDS_OUT = 0.7
"""Correlation of E of pseudo-atoms that are built from at once."""
GROUP_STREAM, SYMMETRY_STREAM = 1, 2
"""Of random numbers, beside those of the seed and the number of the trial."""


EFFORT, EFFORT_OF_A_TRIAL = 48000.0, 60.0
"""Trials are this over the atoms in the primitive cell and the second: 570 for 24 atoms, 180 for 200. Shuffled
intensities of brookite (24 atoms) and cinchonine (44) take 0.45 s a trial, so about four minutes of one core, what a
search was given before it was counted in trials; larger cells have fewer, dearer ones."""


def most_trials(settings: SolveSettings, prepared: NormalisedHemisphere) -> int:
    """Return how many trials a search has: those of the settings, or by the size of the cell. No clock is asked."""
    if settings.trials is not None:
        return settings.trials
    atoms = prepared.atoms_per_cell / len(prepared.operations.cen_ops)
    return max(1, round(EFFORT / (EFFORT_OF_A_TRIAL + atoms)))


class Search(NamedTuple):
    """What stays the same during one search."""

    settings: SolveSettings
    most: int
    """Trials."""
    prepared: NormalisedHemisphere
    workshop: Workshop
    progress: SearchProgress
    crew: Crew
    reporter: Reporter

    def time_left(self) -> float:
        """Return the CPU seconds left."""
        return self.settings.time_limit_s - self.crew.clock.seconds()

    def out_of_time(self) -> bool:
        """Tell whether the guard ends the search, and let the result say so."""
        if self.time_left() <= 0 and self.progress.cut_short is None:
            self.progress.cut_short = (
                f"the time limit of {self.settings.time_limit_s:g} CPU seconds ended the search after "
                f"{self.progress.trials} of {self.most} trials: give solve.time_limit_s more"
            )
        return self.time_left() <= 0


def search(
    settings: SolveSettings, methods: Methods, prepared: NormalisedHemisphere, workshop: Workshop, *, name: str = ""
) -> SearchProgress:
    """Phase in batches and build from the best of each until a model is solved, or all trials are made.

    What a trial depends on is its number and what was known when its batch began: neither the number of processes nor
    the speed of the machine changes anything but the time. The time limit is a guard; a search that it ended says so.
    """
    progress = SearchProgress()
    with Crew(settings.workers) as crew:
        most = most_trials(settings, prepared)
        _search(Search(settings, most, prepared, workshop, progress, crew, Reporter(name)), methods)
    return progress


def _search(at: Search, methods: Methods) -> None:
    progress = at.progress
    rounds = 0
    odds = GroupOdds(at.workshop.groups, at.prepared)
    while progress.trials < at.most and not at.out_of_time():
        for method in methods if rounds == 0 else methods[-1:]:
            _phase_and_build(at, method)
            if progress.finished():
                return
        rounds += 1
        if at.settings.turns_in_group:
            wanted = at.settings.batch * min(rounds, MOST_BATCHES)
            _search_groups(at, odds, count=min(wanted, at.most - progress.trials))
        if progress.finished():
            return
        at.reporter.tell(progress, most=at.most)
    if not progress.candidates and progress.last is not None:
        progress.least_correlation = -1.0  # nothing looks like a structure: show the best there is
        _build(at, progress.last)


def _phase_and_build(at: Search, method: FlippingMethod | DualSpace) -> None:
    """Run one batch of trials in P1 and build from the best."""
    settings, progress = at.settings, at.progress
    count = min(settings.batch if method.method == "dual-space" else FLIPPING_BATCH, at.most - progress.trials)
    if count < 1:
        return
    found = phase_p1(
        at.prepared,
        method=method,
        seed=settings.seed + 7919 * progress.trials,
        n_trials=count,
        stop=StopRule(time_budget_s=max(at.time_left(), 1e-3)),
        crew=at.crew,
    )
    progress.trials += max(1, len(found))
    progress.last = found[0] if found else progress.last
    for phases in found[:BUILT_PER_BATCH]:
        _build(at, phases)
        if progress.finished():
            return


class GroupTrial(NamedTuple):
    """One trial in a space group."""

    symmetry: Symmetry
    number: int
    effort: Effort


class FoundInGroup(NamedTuple):
    """What a trial in a space group led to."""

    trial: GroupTrial
    atoms: Recycled


def _search_groups(at: Search, odds: GroupOdds, *, count: int) -> None:
    """Run a wave of trials in the likeliest groups, each the more often the likelier it is, and build from the best.

    What stands out is built at once, and may end the search; of the rest only the best of each group.
    """
    settings, progress = at.settings, at.progress
    effort = Effort(settings.turns_in_group, progress.least_correlation)
    wave = [GroupTrial(odds.draw(), progress.trials + number, effort) for number in range(count)]
    found: dict[str, FoundInGroup] = {}
    for trial, atoms in zip(wave, at.crew.run(partial(run_in_group, at.workshop, settings.seed), wave), strict=True):
        progress.trials += 1
        if atoms is not None and atoms.correlation >= STANDS_OUT:
            _build_in_group(at, FoundInGroup(trial, atoms))
        elif atoms is not None:
            rival = found.get(trial.symmetry.hall)
            if rival is None or atoms.correlation > rival.atoms.correlation:
                found[trial.symmetry.hall] = FoundInGroup(trial, atoms)
        if progress.finished():
            return
        if at.out_of_time():
            break
    for one in sorted(found.values(), key=lambda item: -item.atoms.correlation):
        if one.atoms.correlation >= progress.least_correlation and not progress.finished():
            _build_in_group(at, one)


def run_in_group(workshop: Workshop, seed: int, trial: GroupTrial) -> Recycled | None:
    """Return what one trial in a space group leads to: see `found_in_group`."""
    rng = np.random.default_rng([seed, GROUP_STREAM, trial.number])
    return found_in_group(workshop, trial.symmetry, Means(trial.effort, rng))


def _build_in_group(at: Search, found: FoundInGroup) -> None:
    """Build a model from what a trial found, and in larger groups where it looks like a structure."""
    blank = blank_phases(at.settings, at.prepared, found.trial.number)
    result = candidate_in_group(at.workshop, found.trial.symmetry, found.atoms.model, blank)
    if result is None:
        return
    candidate, fits = result
    at.progress.add([candidate], fits)
    at.progress.ask_for(candidate.built.correlation)
    if candidate.judgement.verdict != "not-solved" and at.progress.is_new(candidate):
        rng = np.random.default_rng([at.settings.seed, SYMMETRY_STREAM, found.trial.number])
        _look_for_more_symmetry(at, candidate, blank, fits, rng)


def blank_phases(settings: SolveSettings, prepared: NormalisedHemisphere, trial: int) -> PhaseSet:
    """Return the P1 hemisphere without phases."""
    return PhaseSet(prepared.hkl, prepared.e, np.zeros(len(prepared.e)), {}, trial, settings.seed)


def _look_for_more_symmetry(
    at: Search, candidate: Candidate, phases: PhaseSet, fits: list[GroupFit], rng: np.random.Generator
) -> None:
    """Build in larger groups from the phases of a model; the table stays that of the phases it came from."""
    better = phases_of_model(candidate.task, candidate.built, phases)
    order = candidate.task.symmetry.order
    effort = Effort(at.settings.cycles, at.progress.least_correlation)
    more, _ = candidates_of(at.workshop, better, Means(effort, rng), larger_than=order)
    at.progress.add(more, fits)


def _build(at: Search, phases: PhaseSet) -> None:
    """Build from a phase set; then, if that looks like a structure, once more from the phases of its best model."""
    rng = np.random.default_rng([at.settings.seed, phases.seed, phases.trial])
    effort = Effort(at.settings.cycles, at.progress.least_correlation)
    candidates, fits = candidates_of(at.workshop, phases, Means(effort, rng))
    at.progress.add(candidates, fits)
    if candidates and candidates[0].judgement.verdict != "not-solved" and at.progress.is_new(candidates[0]):
        _look_for_more_symmetry(at, candidates[0], phases, fits, rng)
