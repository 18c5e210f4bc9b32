"""Trials in P1 and in likely space groups, and models built from the best, until one is solved or time is up."""

from functools import partial
from typing import NamedTuple

import numpy as np

from tasks.solve.candidates import (
    Candidate,
    Effort,
    Workshop,
    candidate_in_group,
    candidates_of,
    phases_of_model,
)
from tasks.solve.crew import Crew
from tasks.solve.group_odds import GroupOdds
from tasks.solve.methods import ChargeFlipping, DualSpace
from tasks.solve.phasing import PhaseSet, StopRule, phase_p1
from tasks.solve.prepared import PreparedData
from tasks.solve.progress import Progress
from tasks.solve.settings import SolveSettings
from tasks.solve.symmetry import Symmetry
from tasks.solve.symmetry_from_phases import GroupFit

Methods = tuple[ChargeFlipping | DualSpace, ...]
"""Of the batches in P1: a batch of each in the first round, of the last in those that follow."""
BUILT_PER_BATCH = 2
FLIPPING_BATCH = 2
GROUP_STREAM, SYMMETRY_STREAM = 1, 2
"""Of random numbers, beside those of the seed and the number of the trial."""


class Search(NamedTuple):
    """What stays the same during one search."""

    settings: SolveSettings
    prepared: PreparedData
    workshop: Workshop
    progress: Progress
    crew: Crew

    def time_left(self) -> float:
        """Return the CPU seconds left."""
        return self.settings.time_limit_s - self.crew.clock.seconds()


def search(settings: SolveSettings, methods: Methods, prepared: PreparedData, workshop: Workshop) -> Progress:
    """Phase in batches and build from the best of each until a model is solved, or trials or time are used up.

    What a trial depends on is its number and what was known when its batch began: the number of processes changes
    nothing but the time.
    """
    progress = Progress()
    with Crew(settings.workers) as crew:
        _search(Search(settings, prepared, workshop, progress, crew), methods)
    return progress


def _search(at: Search, methods: Methods) -> None:
    progress = at.progress
    rounds = 0
    odds = GroupOdds(at.workshop.groups, at.prepared)
    while progress.trials < at.settings.trials and at.time_left() > 0:
        for method in methods if rounds == 0 else methods[-1:]:
            _phase_and_build(at, method)
            if progress.finished():
                return
        rounds += 1
        if at.settings.turns_in_group:
            _search_groups(at, odds)
        if progress.finished():
            return
    if not progress.candidates and progress.last is not None:
        progress.least_correlation = -1.0  # nothing looks like a structure: show the best there is
        _build(at, progress.last)


def _phase_and_build(at: Search, method: ChargeFlipping | DualSpace) -> None:
    """Run one batch of trials in P1 and build from the best."""
    settings, progress = at.settings, at.progress
    count = min(settings.batch if method.method == "dual-space" else FLIPPING_BATCH, settings.trials - progress.trials)
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
    blank: PhaseSet
    effort: Effort


def _search_groups(at: Search, odds: GroupOdds) -> None:
    """Run a batch of trials in the likeliest groups, each the more often the likelier it is."""
    settings, progress = at.settings, at.progress
    if progress.finished() or at.time_left() <= 0:
        return
    effort = Effort(settings.turns_in_group, progress.least_correlation)
    wave = [
        GroupTrial(odds.draw(), blank_phases(settings, at.prepared, progress.trials + number), effort)
        for number in range(settings.batch)
    ]
    for trial, result in zip(wave, at.crew.run(partial(run_in_group, at.workshop, settings.seed), wave), strict=False):
        progress.trials += 1
        if result is not None:
            candidate, fits = result
            progress.add([candidate], fits)
            progress.ask_for(candidate.built.correlation)
            if candidate.judgement.verdict != "not-solved":
                rng = np.random.default_rng([settings.seed, SYMMETRY_STREAM, trial.blank.trial])
                _look_for_more_symmetry(at, candidate, trial.blank, fits, rng)
        if progress.finished() or at.time_left() <= 0:
            return


def run_in_group(workshop: Workshop, seed: int, trial: GroupTrial) -> tuple[Candidate, list[GroupFit]] | None:
    """Return what one trial in a space group leads to: see `candidate_in_group`."""
    rng = np.random.default_rng([seed, GROUP_STREAM, trial.blank.trial])
    return candidate_in_group(workshop, trial.symmetry, trial.blank, search=trial.effort, rng=rng)


def blank_phases(settings: SolveSettings, prepared: PreparedData, trial: int) -> PhaseSet:
    """Return the P1 hemisphere without phases."""
    return PhaseSet(prepared.hkl, prepared.e, np.zeros(len(prepared.e)), {}, trial, settings.seed)


def _look_for_more_symmetry(
    at: Search, candidate: Candidate, phases: PhaseSet, fits: list[GroupFit], rng: np.random.Generator
) -> None:
    """Build in larger groups from the phases of a model; the table stays that of the phases it came from."""
    better = phases_of_model(candidate.task, candidate.built, phases)
    order = candidate.task.symmetry.order
    effort = Effort(at.settings.cycles, at.progress.least_correlation)
    more, _ = candidates_of(at.workshop, better, effort=effort, rng=rng, larger_than=order)
    at.progress.add(more, fits)


def _build(at: Search, phases: PhaseSet) -> None:
    """Build from a phase set; then, if that looks like a structure, once more from the phases of its best model."""
    rng = np.random.default_rng([at.settings.seed, phases.seed, phases.trial])
    effort = Effort(at.settings.cycles, at.progress.least_correlation)
    candidates, fits = candidates_of(at.workshop, phases, effort=effort, rng=rng)
    at.progress.add(candidates, fits)
    if candidates and candidates[0].judgement.verdict != "not-solved":
        _look_for_more_symmetry(at, candidates[0], phases, fits, rng)
