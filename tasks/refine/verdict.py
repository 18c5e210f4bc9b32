"""Solved, doubtful or not solved: a rule that must never call a wrong structure solved."""

import math
from typing import Literal

from tasks.model import Composition
from tasks.refine import checks
from tasks.refine.draft import Fit, Observations

Verdict = Literal["solved", "doubtful", "not-solved"]

R1_SOLVED = {"electron": 0.27, "xray": 0.12}
R1_HOPELESS = {"electron": 0.40, "xray": 0.30}
BY_CHANCE = {True: 0.83, False: 0.59}
"""R1 of a random structure against any data, centric and acentric: Wilson, Acta Cryst. 3, 397-398 (1950)."""
CHANCE_FRACTION_SOLVED = 0.62
CHANCE_FRACTION_HOPELESS = 0.85
OBSERVED_PER_PARAMETER = 1.8
ODD_ATOMS_SOLVED = 0.15
ODD_ATOMS_HOPELESS = 0.5
AGREEMENT_SOLVED = 0.75
MODEL_SOLVED = 0.85


def r1_by_chance(fit: Fit, *, centric: bool) -> float:
    """Return the R1 that fitting as many parameters to noise would reach.

    Wilson's value for random atoms, lowered by the square root of the part of the observations that the parameters
    do not use up.
    """
    freedom = max(0.0, 1.0 - fit.parameters / max(1, fit.reflections_observed))
    return BY_CHANCE[centric] * math.sqrt(freedom)


def judge(
    fit: Fit, observations: Observations, *, centric: bool, formula: dict[str, float], composition: Composition | None
) -> tuple[Verdict, tuple[str, ...]]:
    """Return the verdict and its reasons, the worst first.

    `solved` needs all of: R1 low for its radiation and far below what chance gives, enough observed reflections for
    the parameters, nearly all displacements in range, sane distances, and a composition close to the given one.
    `not-solved`: one figure that no right structure shows. Thresholds: `tests/benchmarks/refine`.
    """
    wrong: list[str] = []
    doubts: list[str] = []
    _judge_r1(fit, observations, centric=centric, wrong=wrong, doubts=doubts)
    _judge_atoms(fit, wrong=wrong, doubts=doubts)
    agreement = checks.composition_agreement(formula, composition)
    present = checks.completeness_of_model(formula, composition)
    if present is not None and present < MODEL_SOLVED:
        doubts.append(f"the model has {present:.0%} of the atoms of the composition")
    elif agreement is not None and agreement < AGREEMENT_SOLVED:
        doubts.append(f"elements agree with {agreement:.0%} of the composition")
    if wrong or len(doubts) > 3:
        return "not-solved", (*wrong, *doubts)
    if doubts:
        return "doubtful", tuple(doubts)
    chance = r1_by_chance(fit, centric=centric)
    reason = f"R1 {fit.r1:.3f} where chance would give {chance:.2f}; displacements, distances and composition in order"
    return "solved", (reason,)


def _judge_r1(fit: Fit, observations: Observations, *, centric: bool, wrong: list[str], doubts: list[str]) -> None:
    chance = r1_by_chance(fit, centric=centric)
    limit = R1_SOLVED[observations.radiation]
    if fit.r1 > R1_HOPELESS[observations.radiation]:
        wrong.append(f"R1 {fit.r1:.3f}: no right structure is that far from its data")
    elif fit.r1 > CHANCE_FRACTION_HOPELESS * chance:
        wrong.append(f"R1 {fit.r1:.3f} is what so many parameters reach by chance ({chance:.2f})")
    elif fit.r1 > limit:
        doubts.append(f"R1 {fit.r1:.3f} is above {limit:.2f}")
    elif fit.r1 > CHANCE_FRACTION_SOLVED * chance:
        doubts.append(f"R1 {fit.r1:.3f} is not far enough below what chance gives ({chance:.2f})")
    per_parameter = fit.reflections_observed / fit.parameters
    if per_parameter < OBSERVED_PER_PARAMETER:
        doubts.append(f"{per_parameter:.1f} observed reflections per parameter: too few to tell right from wrong")
    if not fit.converged and fit.shift_over_esd_max > 0.5:
        doubts.append(f"not converged: shift/esd {fit.shift_over_esd_max:.1f}")


def _judge_atoms(fit: Fit, *, wrong: list[str], doubts: list[str]) -> None:
    heavy = len(checks.heavy_atoms(fit))
    if heavy == 0:
        wrong.append("no atoms")
        return
    odd = len(checks.odd_displacements(fit)) / heavy
    if odd > ODD_ATOMS_HOPELESS:
        wrong.append(f"{odd:.0%} of the atoms have impossible displacements")
    elif odd > ODD_ATOMS_SOLVED:
        doubts.append(f"{odd:.0%} of the atoms have odd displacements")
    if close := checks.too_close(fit):
        doubts.append(f"atoms nearer than a bond: {', '.join(close[:3])}")
    impossible = set(checks.impossible_bonds(fit)) | set(checks.lonely(fit))
    if len(impossible) > max(1, heavy // 10):
        doubts.append(f"{len(impossible)} atoms with impossible or no neighbours")
