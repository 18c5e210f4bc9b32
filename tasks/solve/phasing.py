"""Phases of normalised structure factors: seeded trials of a method, ranked by independent figures of merit."""

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.model import Document
from tasks.solve.figures import figures_of_merit
from tasks.solve.methods import PhasingMethod
from tasks.solve.prepared import PreparedData
from tasks.solve.problem import PhaseProblem, phase_problem


class PhaseSet(NamedTuple):
    """Phases of the measured reflections of a P1 hemisphere."""

    hkl: NDArray[np.int32]
    """(n, 3) in the cell of the data."""
    amplitude: NDArray[np.float64]
    """(n,) |E|."""
    phase_rad: NDArray[np.float64]
    """(n,)"""
    figures: dict[str, float]
    """See `figures_of_merit`."""
    trial: int
    seed: int


class StopRule(Document):
    """When to stop before all trials are done."""

    cfom: float = Field(default=0.55, ge=-1, le=1, description="a trial with cc - r_weak beyond this is good enough")
    good_trials: int = Field(default=1, ge=1, le=1000, description="stop after so many good trials")
    time_budget_s: float = Field(default=120.0, gt=0, description="start no trial after this wall time")


class Trials(NamedTuple):
    """What is fixed for all trials of a run: sent to each worker once."""

    problem: PhaseProblem
    method: PhasingMethod
    seed: int


def phase_p1(
    data: PreparedData,
    *,
    method: PhasingMethod,
    seed: int = 0,
    n_trials: int = 50,
    stop: StopRule | None = None,
    workers: int = 1,
) -> list[PhaseSet]:
    """Phase in P1; return the trials that were run, best ``cfom`` first.

    A trial depends on the seed and its number alone, so that more workers give the same trials; which were run
    before the stop depends on timing only where the time budget ends the search.
    """
    problem = phase_problem(data)
    rule = stop or StopRule()
    found = []
    good = 0
    for result in _run(Trials(problem, method, seed), n_trials, workers, rule.time_budget_s):
        found.append(_phase_set(data, problem, result, seed))
        good += found[-1].figures["cfom"] >= rule.cfom
        if good >= rule.good_trials:
            break
    return sorted(found, key=lambda phases: (-phases.figures["cfom"], phases.trial))


class TrialResult(NamedTuple):
    """Phases in the primitive cell."""

    trial: int
    phase_rad: NDArray[np.float32]
    figures: dict[str, float]


def run_trial(trials: Trials, trial: int) -> TrialResult:
    """Run one trial."""
    rng = np.random.default_rng([trials.seed, trial])
    phase_rad = trials.method.phases(trials.problem, rng)
    return TrialResult(trial, phase_rad, figures_of_merit(trials.problem, phase_rad))


def _run(trials: Trials, n_trials: int, workers: int, budget_s: float) -> Iterator[TrialResult]:
    begun = time.monotonic()
    if workers == 1:
        for trial in range(n_trials):
            yield run_trial(trials, trial)
            if time.monotonic() - begun > budget_s:
                return
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_keep, initargs=(trials,)) as pool:
        yield from _in_order(pool, n_trials, workers, begun + budget_s)


def _in_order(pool: ProcessPoolExecutor, n_trials: int, workers: int, deadline: float) -> Iterator[TrialResult]:
    """Yield results in the order of the trials, a few ahead in work; stop handing out at the deadline."""
    waiting: dict[int, Future[TrialResult]] = {}
    submitted = 0
    try:
        for trial in range(n_trials):
            while submitted < n_trials and len(waiting) < 2 * workers and time.monotonic() < deadline:
                waiting[submitted] = pool.submit(_run_kept, submitted)
                submitted += 1
            if trial not in waiting:
                return
            wait([waiting[trial]], return_when=FIRST_COMPLETED)
            yield waiting.pop(trial).result()
    finally:
        for future in waiting.values():
            future.cancel()


_kept: list[Trials] = []  # of a worker process


def _keep(trials: Trials) -> None:
    _kept[:] = [trials]


def _run_kept(trial: int) -> TrialResult:
    return run_trial(_kept[0], trial)


def _phase_set(data: PreparedData, problem: PhaseProblem, result: TrialResult, seed: int) -> PhaseSet:
    phase = result.phase_rad.astype(np.float64)
    phase = np.where(problem.conjugated[: problem.measured], -phase, phase)
    return PhaseSet(data.hkl, data.e, phase, result.figures, result.trial, seed)
