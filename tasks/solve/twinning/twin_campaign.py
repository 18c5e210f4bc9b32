"""Laws and Laue groups tried one after the other, until the model of a twin explains the intensities."""

import logging
import time
from typing import NamedTuple

import gemmi
import numpy as np

from tasks.crystal.contents import atom_budget, non_hydrogen
from tasks.crystal.symmetry import symmetry_from_symbol
from tasks.crystal.twin_laws import law_triplet, turned_cell
from tasks.integrate import Reflections, rank_space_groups
from tasks.model import Composition, InputError, UnitCell
from tasks.model.twin import Twin
from tasks.model.verdict import standing
from tasks.solve.building.model_building import polish
from tasks.solve.building.ranking import Judgement
from tasks.solve.building.recycling import Recycled
from tasks.solve.data.prepared import normalised_to_find_atoms
from tasks.solve.models import Solution
from tasks.solve.search.candidates import (
    ENANTIOMORPHS,
    POLISHING_TURNS,
    Workshop,
    open_workshop,
    solution_of_model,
    task_for,
)
from tasks.solve.settings import SolveSettings
from tasks.solve.twinning.descents import WORSE_MERGING, Descent, descents
from tasks.solve.twinning.evidence import h_test
from tasks.solve.twinning.twin_building import BuiltTwin, build_twin, judge_twin
from tasks.solve.twinning.twin_model import TwinTask
from tasks.solve.twinning.twin_trials import search_twin

log = logging.getLogger("apertura.solve")

ROUNDS = 2
"""Of trials in all descents. The four twins of tests/synthetic/twins.py, at 50:50 and 35:65, are solved in the first or
the second."""
TRIALS = (3, 20)
"""In each group in a round, least and most: as many as `TRIAL_WORK` allows. Of the same four every third trial leads to
the structure, in cryolite every sixth, in scheelite, whose tungsten hides its calcium, every tenth."""
TRIAL_WORK = 60000.0
"""Reflections times atoms in the primitive cell, of the trials of a group in a round together. Chosen, not measured,
for some 2 s each."""
SMALL = 20000.0
"""The same of one trial, beyond which there is one round only: of apatite it is 17000."""
LEAST_CORRELATION = 0.5
"""Of E, below which no model is built of a trial: those that led to the structure had 0.55 and more in the same four,
those of shuffled intensities stay below (`search.progress`)."""
TURNS = 100
"""Of a trial: the same trials led to the structure in 3 to 91 turns."""
BUILT_OF = 2
"""One of so many trials of a round in a group, those of the highest correlations, are built models of, but three at
least. In the same four the right one was the first, but in cryolite and scheelite the second or third."""
LEAST_BUILT = 3
"""The least of these."""
MERGING_NOISE = 0.02
"""What two merging R factors of the same data differ by, chosen: descents whose equivalents agree worse than those of
the best by this and by `WORSE_MERGING` are not tried."""
GROUPS = 3
"""Most groups of a descent. Of the same four the right one came first or second by absences."""
LEAST_SCORE = -16.0
"""Groups whose log odds by absences are further behind the first are not tried."""
GOOD_R_FREE = 0.12
"""R1 of left-out reflections of a model after which nothing else is tried: as in `search.repair`, no wrong part."""
MOST_R_FREE = 0.2
"""The same of a model that is believed at all: less than of a single crystal (0.28), as many laws and groups are tried.
The four twins come to 0.02 to 0.11; wrong models of scheelite, without its calcium, to 0.21."""
MOST_ATOMS = 120.0
"""In the primitive cell, for trials of all laws to take seconds: twins of larger structures are told by refinement
only. Chosen, not measured."""
STREAM = 4
"""Of random numbers, beside those of the seed."""
SWAPPED = 0.02
"""Beyond half: within it neither crystal is the larger one, and the axes stay."""
LEAST_FRACTION = 0.03
"""Of the second crystal, to be called a twin, as in a refinement."""
FRACTION = 0.5
"""Of the second crystal, in trials where the H test tells of none: models give a better one at once."""


class TwinFound(NamedTuple):
    """The model of a twin, and how it is said."""

    solution: Solution
    judgement: Judgement
    descent: Descent


class _Model(NamedTuple):
    twin: TwinTask
    found: BuiltTwin
    judgement: Judgement
    descent: Descent

    @property
    def rank(self) -> tuple[int, float]:
        return 0 if self.good else 1 + standing(self.judgement.verdict), self.judgement.figures["r_free"]

    @property
    def believed(self) -> bool:
        return self.good or (self.judgement.verdict == "solved" and self.judgement.figures["r_free"] <= MOST_R_FREE)

    @property
    def good(self) -> bool:
        # doubts of its bonds are left to refinement, and stay in the verdict
        return self.judgement.verdict != "not-solved" and self.judgement.figures["r_free"] <= GOOD_R_FREE


def solve_twin(settings: SolveSettings, data: Reflections, composition: Composition | None) -> TwinFound | None:
    """Return the best model of a twin of two crystals by any law, None where none is solved."""
    tried = [
        (descent, workshop, number)
        for number, descent in enumerate(_that_merge(descents(data)))
        if (workshop := _workshop(settings, data, descent, composition)) is not None
    ]
    best: _Model | None = None
    end = time.process_time() + settings.time_limit_s
    for round_ in range(ROUNDS):
        for descent, workshop, number in tried:
            if (round_ > 0 and _work(workshop) > SMALL) or time.process_time() > end:
                continue
            for model in _round(workshop, descent, seed=(settings.seed, STREAM, number, round_)):
                best = model if best is None or model.rank < best.rank else best
                if best.good:
                    return _found(best, data.unit_cell)
    return _found(best, data.unit_cell) if best is not None and best.believed else None


def _that_merge(every: tuple[Descent, ...]) -> list[Descent]:
    """Return the descents less those in whose groups equivalents agree worse than in that of another."""
    known = [descent.r_merge for descent in every if descent.r_merge is not None]
    limit = max(WORSE_MERGING * min(known), min(known) + MERGING_NOISE) if known else np.inf
    return [descent for descent in every if descent.r_merge is None or descent.r_merge <= limit]


def _work(workshop: Workshop) -> float:
    """Return reflections times atoms in the primitive cell: what the time of a turn goes by."""
    budget = atom_budget(workshop.composition, workshop.cell.volume_angstrom3)
    return len(workshop.merged.hkl) * budget.expected / len(workshop.groups[0].centring)


def _workshop(
    settings: SolveSettings, data: Reflections, descent: Descent, composition: Composition | None
) -> Workshop | None:
    """Return the workshop of the likely groups of a Laue group; None where there is nothing to try."""
    try:
        prepared = normalised_to_find_atoms(
            descent.merged,
            cell=data.unit_cell,
            laue_group=descent.laue.xhm(),
            radiation=data.radiation,
            composition=composition,
            d_min_angstrom=settings.d_min_angstrom,
        )
    except InputError:
        return None
    if prepared.atoms_per_cell / len(prepared.operations.cen_ops) > MOST_ATOMS:
        return None
    ranked = rank_space_groups(prepared.unique, descent.laue, data.unit_cell)
    likely = [row.symbol for row in ranked if row.score >= LEAST_SCORE]
    if settings.space_group is not None:
        wanted = gemmi.SpaceGroup(symmetry_from_symbol(settings.space_group).symbol)
        likely = [symbol for symbol in likely if symbol == wanted.xhm()]
    groups = [symmetry_from_symbol(symbol) for symbol in _one_hand(likely)[:GROUPS]]
    if not groups:
        return None
    return open_workshop(
        prepared.unique,
        groups,
        cell=data.unit_cell,
        radiation=data.radiation,
        composition=composition,
        d_min_angstrom=prepared.d_min_angstrom,
    )


def _one_hand(symbols: list[str]) -> list[str]:
    """Return the symbols less the second of each enantiomorphic pair: both fit equally well."""
    partner = dict(ENANTIOMORPHS) | {second: first for first, second in ENANTIOMORPHS}
    kept: list[str] = []
    numbers: set[int] = set()
    for symbol in symbols:
        number = gemmi.SpaceGroup(symbol).number
        if partner.get(number) not in numbers:
            kept.append(symbol)
            numbers.add(number)
    return kept


def _round(workshop: Workshop, descent: Descent, *, seed: tuple[int, ...]) -> list[_Model]:
    """Return the models that a round of trials in every group leads to."""
    models = []
    test = h_test(descent.merged, descent.laue, descent.law.law)
    fraction = test.fraction_centric if test is not None and test.tells else FRACTION
    count = int(np.clip(TRIAL_WORK / _work(workshop), *TRIALS))
    for place, symmetry in enumerate(workshop.groups):
        task = task_for(workshop, symmetry)
        if len(task.observed.hkl) == 0:
            continue
        twin = TwinTask(task, descent.law.law)
        trials = [
            search_twin(twin, fraction, turns=TURNS, rng=np.random.default_rng([*seed, place, number]))
            for number in range(count)
        ]
        ranked: list[Recycled] = sorted(trials, key=lambda trial: -trial.correlation)
        for number, trial in enumerate(ranked[: max(LEAST_BUILT, count // BUILT_OF)]):
            if len(trial.model.element) == 0 or trial.correlation < LEAST_CORRELATION:
                break
            rng = np.random.default_rng([*seed, place, count + number])
            start = polish(task, trial.model, cycles=POLISHING_TURNS, rng=rng).model
            if len(start.element) == 0:
                continue
            found = build_twin(twin, start)
            models.append(_Model(twin, found, _with_elements(judge_twin(twin, found), found, workshop), descent))
    return models


def _with_elements(judgement: Judgement, found: BuiltTwin, workshop: Workshop) -> Judgement:
    """Return the judgement, doubtful where a model has nothing of an element of the composition."""
    elements = found.built.fit.model.element
    absent = [name for name in non_hydrogen(workshop.composition) if name not in elements]
    if judgement.verdict != "solved" or not absent:
        return judgement
    return judgement._replace(verdict="doubtful", reasons=(f"against: the model has no {', '.join(absent)}",))


def _found(model: _Model, cell: UnitCell) -> TwinFound:
    """Return the solution of a model, in the axes of the larger of the two crystals."""
    task, built, law = model.twin.task, model.found.built, model.twin.law
    fraction = model.found.fraction
    solution = solution_of_model(task, built, model.judgement)
    if fraction > FRACTION + SWAPPED:
        cell = turned_cell(cell, law)
        law, fraction = np.asarray(np.linalg.inv(law), dtype=np.float64), 1.0 - fraction
        rows = tuple((float(row[0]), float(row[1]), float(row[2])) for row in model.twin.law)
        solution = solution.model_copy(update={"to_solution_cell": rows, "unit_cell": cell})
    twin: Twin | None = None
    why = f"the intensities merge in a higher Laue group than {model.descent.laue.xhm()}"
    if fraction >= LEAST_FRACTION:
        twin = Twin(law=law_triplet(law), fraction=round(fraction, 4))
        said = f"a twin: {fraction:.0%} of the crystal by the law {twin.law}"
        said += f", which is why {why}" if model.descent.lowered else ""
    else:
        said = f"{why}, which a part of the atoms obeys" if model.descent.lowered else "no twin"
    solution = solution.model_copy(update={"twin": twin, "reasons": (said, *solution.reasons)})
    log.info("%s, R1 %.3f: %s", solution.space_group, solution.r1, said)
    return TwinFound(solution, model.judgement, model.descent)
