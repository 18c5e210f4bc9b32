"""Phases of normalised structure factors: seeded trials of a method, ranked by independent figures of merit."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.model import Document
from tasks.solve.data.prepared import NormalisedHemisphere
from tasks.solve.phasing.crew import Crew
from tasks.solve.phasing.figures import figures_of_merit
from tasks.solve.phasing.methods import PhasingMethod
from tasks.solve.phasing.problem import PhaseProblem, phase_problem


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
    """How good trials are carried on, and when to stop.

    Trials run in batches; the best quarter of a batch is carried on for twice the cycles, the best quarter of
    those for four times, and so on (successive halving). The rule, not the speed of the machine, decides what is
    run, unless the time budget ends the search.
    """

    batch: int = Field(default=16, ge=1, le=1000, description="trials started together")
    rounds: int = Field(default=3, ge=1, le=6, description="how often the best quarter is carried on, plus one")
    cfom: float = Field(default=0.5, ge=-1, le=1, description="a trial with cc - r_weak beyond this ends the search")
    carried_cfom: float = Field(
        default=0.36, ge=-1, le=1, description="so does one beyond this that was carried on and has this cc_free too:"
    )
    carried_cc_free: float = Field(default=0.45, ge=-1, le=1, description="its correlation of held-out reflections")
    time_budget_s: float = Field(default=120.0, gt=0, description="start no work after so much CPU time")

    def good(self, trial: "Trial") -> bool:
        """Tell whether a trial ends the search.

        Calibrated on the sets of tests/benchmarks/solve: data shuffled within shells came to a cfom of 0.14 and, in
        the best trials, a cc_free of 0.22; wrong phases of real data to 0.29 and 0.34; right ones from 0.33 and 0.50.
        """
        carried = trial.round >= 2 and trial.cfom >= self.carried_cfom
        return trial.cfom >= self.cfom or (carried and trial.figures["cc_free"] >= self.carried_cc_free)


class Work(NamedTuple):
    """What is the same for all trials."""

    problem: PhaseProblem
    method: PhasingMethod
    seed: int


class Trial(NamedTuple):
    """Where a trial stands."""

    number: int
    round: int
    coefficients: NDArray[np.complex64] | None
    figures: dict[str, float]

    @property
    def cfom(self) -> float:
        """Its rank."""
        return self.figures["cfom"]


def phase_p1(
    data: NormalisedHemisphere,
    *,
    method: PhasingMethod,
    seed: int = 0,
    n_trials: int = 96,
    stop: StopRule | None = None,
    crew: Crew | None = None,
) -> list[PhaseSet]:
    """Phase in P1; return the trials that were run, best ``cfom`` first.

    The trials run where `crew` lets them, by default in this process. Their number and order do not depend on it.
    """
    problem = phase_problem(data)
    return _search(data, Work(problem, method, seed), n_trials, stop or StopRule(), crew or Crew())


def advance(work: Work, trial: Trial) -> Trial:
    """Carry a trial through its next round, of twice the cycles of the one before; keep its best state."""
    rng = np.random.default_rng([work.seed, trial.number, trial.round])
    begin = trial.coefficients
    if begin is None:
        begin = work.method.start(work.problem, rng, number=trial.number)
    states = work.method.advance(work.problem, begin, rng, round_number=trial.round)
    judged = [Trial(trial.number, trial.round + 1, state, _judged(work.problem, state)) for state in states]
    return max(judged, key=lambda state: state.cfom)


def _judged(problem: PhaseProblem, coefficients: NDArray[np.complex64]) -> dict[str, float]:
    return figures_of_merit(problem, np.angle(coefficients[: problem.measured]))


def _search(data: NormalisedHemisphere, work: Work, n_trials: int, stop: StopRule, crew: Crew) -> list[PhaseSet]:
    end = crew.clock.seconds() + stop.time_budget_s
    found: dict[int, Trial] = {}
    for wave in _waves(n_trials, stop, found):
        for trial in crew.run(partial(advance, work), wave):
            if trial.number not in found or trial.cfom > found[trial.number].cfom:
                found[trial.number] = trial
            if stop.good(trial) or crew.clock.seconds() > end:
                return _ranked(data, work, found)
    return _ranked(data, work, found)


def _waves(n_trials: int, stop: StopRule, found: dict[int, Trial]) -> Iterator[list[Trial]]:
    """Yield the trials to run next: a batch of new ones, the best of the batch again, and so on."""
    for begin in range(0, n_trials, stop.batch):
        wave = [Trial(number, 0, None, {}) for number in range(begin, min(begin + stop.batch, n_trials))]
        for _ in range(stop.rounds):
            yield wave
            done = sorted((found[trial.number] for trial in wave), key=lambda trial: -trial.cfom)
            wave = done[: max(1, len(done) // 4)]


def _ranked(data: NormalisedHemisphere, work: Work, found: dict[int, Trial]) -> list[PhaseSet]:
    order = sorted(found.values(), key=lambda trial: (-trial.cfom, trial.number))
    return [_phase_set(data, work, trial) for trial in order]


def _phase_set(data: NormalisedHemisphere, work: Work, trial: Trial) -> PhaseSet:
    if trial.coefficients is None:
        raise ValueError(f"trial {trial.number} was not run")
    phase = np.angle(trial.coefficients[: work.problem.measured]).astype(np.float64)
    phase = np.where(work.problem.conjugated[: work.problem.measured], -phase, phase)
    return PhaseSet(data.hkl, data.e, phase, trial.figures, trial.number, work.seed)
