"""Solved models with a wrong part: half of the atoms left out at random, the rest found again.

Layers and frameworks repeat themselves: a part of the structure may be laid over its own image, shifted, and fits the
data well enough to stay. Without half of the atoms it often does not come back. The idea is the random omit of
Sheldrick & Gould, Acta Cryst. B51, 423-431 (1995), after the model is complete.
"""

import numpy as np

from tasks.solve.building.model_building import Built, Task, complete, polish
from tasks.solve.building.ranking import judge_built
from tasks.solve.search.candidates import Candidate
from tasks.solve.search.progress import SearchProgress

GOOD_R_FREE = 0.12
"""Such models have no wrong part that matters."""
TRIES = 8
"""A right model comes back in the first three (`ENOUGH_RETURNS`), a wrong one costs all eight: chosen, some 0.3 s each
for 13 to 22 atoms."""
OMITTED = 0.5
"""Half, so that a wrong part has little left to come back from. Dickite's R1 fell from 0.192 to 0.097 by it."""
TURNS = 15
"""A right model without half of its atoms came back in all of 24 tries (natrolite, tyrosine and cinchonine-dials of
`python -m tests.benchmarks.solve`); 12 others took 4 to 14 turns."""
SAME_R1 = 0.004
"""R1 of a model that came back differed by 0.0008 at most in these tries."""
ENOUGH_RETURNS = 3
"""Tries that lead back to the model: then it is what the data ask for."""
LEAST_GAIN = 0.005
"""R1 of left-out reflections of a model that came back fell by up to 0.0048 by chance in these tries."""
STREAM = 3
"""Of random numbers, beside those of the seed."""


def repair(best: Candidate, progress: SearchProgress, notes: list[str], *, seed: int) -> Candidate:
    """Return the best candidate, or a better model in the same group, ranked first with the notes on it.

    The group is chosen before: guests that fit in a subgroup only because it has more parameters are no evidence.
    """
    figures = best.judgement.figures
    if best.judgement.verdict != "solved" or figures["r_free"] <= GOOD_R_FREE:
        return best
    better = repaired(best, seed=seed)
    if better is best:
        return best
    progress.add([better], progress.fits[id(best)])
    change = f"R1 {best.built.fit.r1:.3f} -> {better.built.fit.r1:.3f}"
    for note in (*notes, f"half of the atoms were left out and found again: {change}"):
        better = progress.settle(better, note, settled=True)
    return better


def repaired(candidate: Candidate, *, seed: int) -> Candidate:
    """Return the best of a model and what tries without half of its atoms lead to."""
    best, returns = candidate, 0
    for number in range(TRIES):
        built = _without_half(candidate.task, best.built, np.random.default_rng([seed, STREAM, number]))
        if abs(built.fit.r1 - best.built.fit.r1) <= SAME_R1:
            returns += 1
            if returns == ENOUGH_RETURNS:
                break
            continue
        if built.fit.r1 > best.built.fit.r1:
            continue
        judgement = judge_built(candidate.task, built)
        gain = best.judgement.figures["r_free"] - judgement.figures["r_free"]
        if judgement.verdict == "solved" and gain >= LEAST_GAIN:
            best, returns = best._replace(built=built, judgement=judgement, value=best.value - gain), 0
    return best


def _without_half(task: Task, built: Built, rng: np.random.Generator) -> Built:
    model = built.fit.model
    kept = np.flatnonzero(rng.random(len(model.element)) >= OMITTED)
    rows = kept if len(kept) else np.array([int(rng.integers(len(model.element)))])
    return complete(task, polish(task, model.take(rows), cycles=TURNS, rng=rng).model)
