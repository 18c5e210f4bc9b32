"""The built-in solvers: direct methods and charge flipping in P1, the space group from the phases."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from tasks.integrate.models import Reflections
from tasks.integrate.reflection_file import Merged, read_merged
from tasks.model import Composition, Document, InputError, NoSolutionError
from tasks.model.provenance import Provenance
from tasks.solve.candidates import (
    Candidate,
    Effort,
    Workshop,
    candidate_in_group,
    candidates_of,
    open_workshop,
    phases_of_model,
    rank_key,
    solution_of,
    table_of,
)
from tasks.solve.contents import formula_units
from tasks.solve.cpu_clock import CpuClock
from tasks.solve.diagnosis import suspicions
from tasks.solve.group_odds import GroupOdds
from tasks.solve.methods import ChargeFlipping as FlippingMethod
from tasks.solve.methods import DualSpace
from tasks.solve.models import Solutions
from tasks.solve.phasing import PhaseSet, StopRule, phase_p1
from tasks.solve.prepared import PreparedData, prepare
from tasks.solve.pseudo_symmetry import higher_symmetry
from tasks.solve.solution_file import write_solution
from tasks.solve.symmetry import Symmetry, compatible_groups, same_group, symmetry_from_symbol
from tasks.solve.symmetry_from_phases import GroupFit
from tasks.stage import code_version

FINEST_ANGSTROM = 0.8
"""Data beyond this do not help to find atoms and cost time."""
Methods = tuple[FlippingMethod | DualSpace, ...]
"""Of the batches in P1: a batch of each in the first round, of the last in those that follow."""
TABLE_ROWS = 12
CANDIDATES_KEPT = 5
BUILT_PER_BATCH = 2
UNEXPLAINED_R_FREE = 0.3
"""Beyond, no model explains the data."""
FIRST = -1.0
"""Value of the candidate that is to be ranked first."""
FLIPPING_BATCH = 2
CONFIDENT_R_FREE = 0.24
CONFIDENT_CORRELATION = 0.75
CONFIRMING_TRIALS = 12
"""At least so many trials, or twice as many as it took, go on in search of something better than a weak solution."""
LEAST_CORRELATION = 0.5
"""Structures have more from the first map on; the models of shuffled intensities stay below."""


class SolveSettings(Document):
    """What both engines have in common."""

    seed: int = Field(default=0, ge=0, description="seed of all random numbers")
    trials: int = Field(default=400, ge=1, le=100000, description="most phasing trials")
    batch: int = Field(default=4, ge=1, le=1000, description="trials between two attempts to build models")
    time_limit_s: float = Field(default=240.0, gt=0, le=86400, description="no new trials after so much CPU time")
    workers: int = Field(default=1, ge=1, le=256, description="processes for the trials")
    space_group: str | None = Field(default=None, description="take this group, do not search; as in 'P 1 21/c 1'")
    d_min_angstrom: float | None = Field(
        default=None, gt=0.3, le=3, description="resolution limit; None = from the data"
    )
    cycles: int = Field(default=30, ge=1, le=1000, description="recycling turns per model")
    turns_in_group: int = Field(
        default=250, ge=0, le=100000, description="turns of a dual-space trial in a likely space group; 0 = P1 only"
    )


class DirectMethods(SolveSettings):
    """Dual-space direct methods in P1, then the space group from the phases (Sheldrick, Acta Cryst. A71, 3, 2015)."""

    engine: Literal["direct-methods"] = "direct-methods"

    def solve(self, data: Reflections, composition: Composition | None, workdir: Path) -> Solutions:
        """Return ranked candidates."""
        methods = (FlippingMethod(), DualSpace())
        return _written(_solve(self, methods, data, composition, engine=self.engine), workdir)


class ChargeFlipping(SolveSettings):
    """Charge flipping on E in P1 (Oszlanyi & Suto, Acta Cryst. A64, 123, 2008), then as direct methods."""

    engine: Literal["charge-flipping"] = "charge-flipping"
    turns_in_group: int = Field(default=0, ge=0, le=100000, description="dual-space turns in a space group; 0 = none")
    flips: int = Field(default=300, ge=10, le=100000, description="flipping cycles of one trial")

    def solve(self, data: Reflections, composition: Composition | None, workdir: Path) -> Solutions:
        """Return ranked candidates."""
        methods = (FlippingMethod(cycles=self.flips),)
        return _written(_solve(self, methods, data, composition, engine=self.engine), workdir)


def _written(solutions: Solutions, workdir: Path) -> Solutions:
    for number, candidate in enumerate(solutions.candidates, start=1):
        write_solution(candidate, workdir / f"solution-{number}.cif")
    return solutions


class _Progress:
    """Candidates and group tables gathered so far."""

    def __init__(self) -> None:
        self.candidates: list[Candidate] = []
        self.fits: dict[int, list[GroupFit]] = {}
        self.trials = 0
        self.least_correlation = LEAST_CORRELATION
        self.last: PhaseSet | None = None
        self._first_solved: int | None = None

    def add(self, candidates: list[Candidate], fits: list[GroupFit]) -> None:
        for candidate in candidates:
            self.fits[id(candidate)] = fits
        self.candidates += candidates

    def best(self) -> Candidate | None:
        return min(self.candidates, key=rank_key, default=None)

    def settle(self, candidate: Candidate, reason: str, *, settled: bool) -> Candidate:
        """Rank a candidate first, say why, and make it doubtful where the group is not settled."""
        judgement = candidate.judgement._replace(reasons=(*candidate.judgement.reasons, reason))
        if not settled:
            judgement = judgement._replace(verdict="doubtful", reasons=(reason,))
            others = [other for other in self.candidates if other.judgement.verdict == "solved"]
            for other in others:
                doubtful = other.judgement._replace(verdict="doubtful", reasons=(reason,))
                self.add([other._replace(judgement=doubtful)], self.fits[id(other)])
            self.candidates = [other for other in self.candidates if other.judgement.verdict != "solved"]
        first = candidate._replace(judgement=judgement, value=FIRST)
        self.add([first], self.fits[id(candidate)])
        return first

    def finished(self) -> bool:
        """Tell whether a model is solved beyond doubt, or nothing better was found for long enough."""
        best = self.best()
        if best is None or best.judgement.verdict != "solved":
            return False
        if self._first_solved is None:
            self._first_solved = self.trials
        figures = best.judgement.figures
        if figures["r_free"] <= CONFIDENT_R_FREE and figures["cc"] >= CONFIDENT_CORRELATION:
            return True
        return self.trials >= self._first_solved + max(CONFIRMING_TRIALS, 2 * self._first_solved)


def _solve(
    settings: SolveSettings, methods: Methods, data: Reflections, composition: Composition | None, *, engine: str
) -> Solutions:
    merged = read_merged(data.merged)
    prepared = _prepare(settings, merged, data, composition)
    workshop = open_workshop(
        prepared.unique,
        _groups(settings, data),
        cell=data.unit_cell,
        radiation=data.radiation,
        composition=composition,
        d_min_angstrom=prepared.d_min_angstrom,
    )
    progress = _search(settings, methods, prepared, workshop)
    best = progress.best()
    if best is None:
        raise NoSolutionError(
            f"{data.id}: no map of {progress.trials} trials had peaks to build from",
            "; ".join(prepared.diagnosis.trouble),
        )
    fits, blank = progress.fits[id(best)], _blank(settings, prepared, 0)
    if (rival := higher_symmetry(best, progress.candidates, fits, workshop, blank)) is not None:
        best = progress.settle(rival.candidate if rival.taken else best, rival.reason, settled=rival.taken)
    return _document(settings, data, prepared, progress, best, engine=engine)


def _prepare(
    settings: SolveSettings, merged: Merged, data: Reflections, composition: Composition | None
) -> PreparedData:
    def with_limit(d_min_angstrom: float | None) -> PreparedData:
        return prepare(
            merged, cell=data.unit_cell, laue_group=data.laue_group, radiation=data.radiation,
            composition=composition, d_min_angstrom=d_min_angstrom,
        )  # fmt: skip

    prepared = with_limit(settings.d_min_angstrom)
    if settings.d_min_angstrom is None and prepared.d_min_angstrom < FINEST_ANGSTROM:
        return with_limit(FINEST_ANGSTROM)
    return prepared


def _groups(settings: SolveSettings, data: Reflections) -> list[Symmetry]:
    compatible = compatible_groups(data.laue_group)
    if settings.space_group is None:
        return compatible
    wanted = symmetry_from_symbol(settings.space_group)
    probe = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3), axis=-1).reshape(-1, 3).astype(np.int32)
    same = [group for group in compatible if same_group(group, wanted, probe)]
    if not same:
        raise InputError(
            f"space group {settings.space_group!r} does not belong to the Laue class {data.laue_group!r} of {data.id}",
            "give a group of this class, in the axes of the data",
        )
    return same[:1]


def _search(settings: SolveSettings, methods: Methods, prepared: PreparedData, workshop: Workshop) -> _Progress:
    """Phase in batches and build from the best of each until a model is solved, or trials or time are used up."""
    progress = _Progress()
    clock = CpuClock(settings.workers)
    rounds = 0
    odds = GroupOdds(workshop.groups, prepared)
    while progress.trials < settings.trials:
        left = settings.time_limit_s - clock.seconds()
        if left <= 0:
            break
        for method in methods if rounds == 0 else methods[-1:]:
            _phase_and_build(settings, method, prepared, workshop, progress, left)
            if progress.finished():
                return progress
        rounds += 1
        if settings.turns_in_group:
            _search_groups(settings, prepared, workshop, progress, odds, clock)
        if progress.finished():
            break
    if not progress.candidates and progress.last is not None:
        progress.least_correlation = -1.0  # nothing looks like a structure: show the best there is
        _build(settings, workshop, progress.last, progress)
    return progress


def _phase_and_build(
    settings: SolveSettings,
    method: FlippingMethod | DualSpace,
    prepared: PreparedData,
    workshop: Workshop,
    progress: _Progress,
    seconds: float,
) -> None:
    """Run one batch of trials in P1 and build from the best."""
    count = min(settings.batch if method.method == "dual-space" else FLIPPING_BATCH, settings.trials - progress.trials)
    found = phase_p1(
        prepared,
        method=method,
        seed=settings.seed + 7919 * progress.trials,
        n_trials=count,
        stop=StopRule(time_budget_s=seconds),
        workers=settings.workers,
    )
    progress.trials += max(1, len(found))
    progress.last = found[0] if found else progress.last
    for phases in found[:BUILT_PER_BATCH]:
        _build(settings, workshop, phases, progress)
        if progress.finished():
            return


def _search_groups(
    settings: SolveSettings,
    prepared: PreparedData,
    workshop: Workshop,
    progress: _Progress,
    odds: GroupOdds,
    clock: CpuClock,
) -> None:
    """Run a batch of trials in the likeliest groups, each the more often the likelier it is."""
    for _ in range(settings.batch):
        if progress.finished() or clock.seconds() > settings.time_limit_s:
            return
        symmetry = odds.draw()
        blank = _blank(settings, prepared, progress.trials)
        rng = np.random.default_rng([settings.seed, 1, progress.trials])
        progress.trials += 1
        effort = Effort(settings.turns_in_group, progress.least_correlation)
        result = candidate_in_group(workshop, symmetry, blank, search=effort, rng=rng)
        if result is None:
            continue
        candidate, fits = result
        progress.add([candidate], fits)
        progress.least_correlation = max(progress.least_correlation, min(candidate.built.correlation, 0.7))
        if candidate.judgement.verdict != "not-solved":
            _look_for_more_symmetry(settings, workshop, candidate, blank, fits, progress, rng)


def _blank(settings: SolveSettings, prepared: PreparedData, trial: int) -> PhaseSet:
    """Return the P1 hemisphere without phases."""
    return PhaseSet(prepared.hkl, prepared.e, np.zeros(len(prepared.e)), {}, trial, settings.seed)


def _look_for_more_symmetry(
    settings: SolveSettings,
    workshop: Workshop,
    candidate: Candidate,
    phases: PhaseSet,
    fits: list[GroupFit],
    progress: _Progress,
    rng: np.random.Generator,
) -> None:
    """Build in larger groups from the phases of a model; the table stays that of the phases it came from."""
    better = phases_of_model(candidate.task, candidate.built, phases)
    order = candidate.task.symmetry.order
    more, _ = candidates_of(
        workshop, better, effort=Effort(settings.cycles, progress.least_correlation), rng=rng, larger_than=order
    )
    progress.add(more, fits)


def _build(settings: SolveSettings, workshop: Workshop, phases: PhaseSet, progress: _Progress) -> None:
    """Build from a phase set; then, if that looks like a structure, once more from the phases of its best model."""
    rng = np.random.default_rng([settings.seed, phases.seed, phases.trial])
    candidates, fits = candidates_of(
        workshop, phases, effort=Effort(settings.cycles, progress.least_correlation), rng=rng
    )
    progress.add(candidates, fits)
    if candidates and candidates[0].judgement.verdict != "not-solved":
        _look_for_more_symmetry(settings, workshop, candidates[0], phases, fits, progress, rng)


def _document(
    settings: SolveSettings,
    data: Reflections,
    prepared: PreparedData,
    progress: _Progress,
    best: Candidate,
    *,
    engine: str,
) -> Solutions:
    trouble = prepared.diagnosis.trouble
    if best.judgement.verdict != "solved" and best.judgement.figures["r_free"] > UNEXPLAINED_R_FREE:
        units = formula_units(prepared.composition, prepared.cell.volume_angstrom3)
        trouble = (*trouble, *suspicions(trouble, units))
    ranked = _one_per_group(sorted(progress.candidates, key=rank_key))[:CANDIDATES_KEPT]
    return Solutions(
        id=data.id,
        candidates=tuple(solution_of(candidate) for candidate in ranked),
        space_groups=table_of(progress.fits[id(best)], progress.candidates, rows=TABLE_ROWS),
        trials=progress.trials,
        verdict=best.judgement.verdict,
        margin=_margin(ranked, progress.fits[id(best)]),
        diagnosis=trouble,
        provenance=Provenance(
            engine=engine,
            version=code_version(),
            parameters=settings.model_dump(),
            inputs={"merged": data.merged.sha256},
            seed=settings.seed,
        ),
    )


def _one_per_group(ranked: list[Candidate]) -> list[Candidate]:
    seen: set[str] = set()
    kept = []
    for candidate in ranked:
        if candidate.task.symmetry.hall not in seen:
            seen.add(candidate.task.symmetry.hall)
            kept.append(candidate)
    return kept


def _margin(ranked: list[Candidate], fits: list[GroupFit]) -> str:
    best = ranked[0]
    others = [fit for fit in fits if fit.symmetry.hall != best.task.symmetry.hall]
    left_out = best.judgement.figures["r_free"]
    text = f"{best.task.symmetry.symbol}: R1 {best.built.fit.r1:.3f}, of left-out reflections {left_out:.3f}"
    if others:
        text += f", phase score {best.fit.score:.2f} against {others[0].score:.2f} of {others[0].symmetry.symbol}"
    if len(ranked) > 1:
        second = ranked[1]
        text += f"; next model {second.task.symmetry.symbol} with R1 {second.built.fit.r1:.3f}"
    return text
