"""Solved, doubtful or not solved: a rule that must never call a wrong structure solved."""

import math
from typing import Literal

from tasks.model import Composition
from tasks.refine import checks
from tasks.refine.cell_check import cell_doubt
from tasks.refine.draft import Fit, Observations
from tasks.refine.validation import Recovery

Verdict = Literal["solved", "doubtful", "not-solved"]

R1_SOLVED = {"electron": 0.27, "xray": 0.12}
R1_HOPELESS = {"electron": 0.40, "xray": 0.30}
BY_CHANCE = {True: 0.83, False: 0.59}
"""R1 of a random structure against any data, centric and acentric: Wilson, Acta Cryst. 3, 397-398 (1950)."""
CHANCE_FRACTION_SOLVED = 0.62
CHANCE_FRACTION_HOPELESS = 0.85
R1_FREE_SOLVED = 0.33
R1_FREE_HOPELESS = 0.46
RECOVERY_SOLVED_ANGSTROM = 0.25
OBSERVED_PER_PARAMETER = 1.8
ODD_ATOMS_SOLVED = 0.15
ODD_ATOMS_HOPELESS = 0.5
AGREEMENT_SOLVED = 0.75
MODEL_SOLVED = 0.85
MOST_AT_FLOOR = 0.8


def r1_by_chance(fit: Fit, *, centric: bool) -> float:
    """Return the R1 that fitting as many parameters to noise would reach.

    Wilson's value for random atoms, lowered by the square root of the part of the observations that the parameters
    do not use up.
    """
    freedom = max(0.0, 1.0 - fit.parameters / max(1, fit.reflections_observed))
    return BY_CHANCE[centric] * math.sqrt(freedom)


def judge(
    fit: Fit,
    observations: Observations,
    recovery: Recovery | None,
    *,
    centric: bool,
    formula: dict[str, float],
    composition: Composition | None,
) -> tuple[Verdict, tuple[str, ...]]:
    """Return the verdict and its reasons, the worst first.

    `solved` needs all of: R1 low for its radiation and far below what chance gives; the shaken structure finds its way
    back and predicts reflections it has not seen; enough observed reflections for the parameters; nearly all
    displacements in range; sane distances; a composition close to the given one. `not-solved`: one figure that no
    right structure shows. Measured: right structures against real electron data have a free R1 of 0.19 to 0.25 and
    come back within 0.1 A, models fitted to shuffled intensities 0.45 and more, at 0.3 A and more, while their R1 may
    be as low as 0.28. Multiple scattering flattens intensities and takes displacements to their floor: for electrons
    that alone is no evidence against a structure which predicts what it was not fitted to.
    """
    wrong: list[str] = []
    doubts: list[str] = []
    _judge_r1(fit, observations, centric=centric, wrong=wrong, doubts=doubts)
    _judge_recovery(recovery, wrong=wrong, doubts=doubts)
    flattened = observations.radiation == "electron" and recovery is not None and recovery.r1_free <= R1_FREE_SOLVED
    _judge_atoms(fit, flattened=flattened, wrong=wrong, doubts=doubts)
    agreement = checks.composition_agreement(formula, composition)
    present = checks.completeness_of_model(formula, composition)
    if present is not None and present < MODEL_SOLVED:
        doubts.append(f"the model has {present:.0%} of the atoms of the composition")
    elif agreement is not None and agreement < AGREEMENT_SOLVED:
        doubts.append(f"elements agree with {agreement:.0%} of the composition")
    remark = _about_composition(formula, composition)
    doubted = (*remark, *_about_radiation(fit, observations, recovery))
    if wrong or len(doubts) > 3:
        return "not-solved", (*wrong, *doubts, *doubted)
    if doubts:
        return "doubtful", (*doubts, *doubted)
    chance = r1_by_chance(fit, centric=centric)
    free = "" if recovery is None else f", {recovery.r1_free:.3f} for reflections it was not fitted to"
    return "solved", (
        f"R1 {fit.r1:.3f}{free}, where chance would give {chance:.2f}",
        *(remark or ("displacements, distances and composition are in order",)),
    )


def _about_composition(formula: dict[str, float], composition: Composition | None) -> tuple[str, ...]:
    if composition is None:
        return ("no composition was given: the elements are by the data and bonds alone",)
    absent = checks.elements_not_found(formula, composition)
    return (f"no {', '.join(absent)} was found: is the composition right?",) if absent else ()


def _about_radiation(fit: Fit, observations: Observations, recovery: Recovery | None) -> tuple[str, ...]:
    """Return what speaks for the other radiation: factors of the wrong one take displacements to their limits."""
    heavy = max(1, len(checks.heavy_atoms(fit)))
    if observations.radiation == "electron" and len(checks.at_the_floor(fit)) >= MOST_AT_FLOOR * heavy:
        return ("nearly all displacements are at their floor: are these X-ray intensities, or strongly dynamical?",)
    predicts = recovery is not None and recovery.r1_free <= R1_FREE_SOLVED
    if observations.radiation == "xray" and predicts and fit.r1 > R1_SOLVED["xray"]:
        return (f"R1 {fit.r1:.3f} with a model that predicts left-out reflections: are these electron intensities?",)
    return ()


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


def _judge_recovery(recovery: Recovery | None, *, wrong: list[str], doubts: list[str]) -> None:
    if recovery is None:
        doubts.append("the shaken structure could not be refined again")
        return
    if recovery.r1_free > R1_FREE_HOPELESS:
        wrong.append(f"R1 of reflections it was not fitted to is {recovery.r1_free:.2f}: as good as chance")
    elif recovery.r1_free > R1_FREE_SOLVED:
        doubts.append(f"R1 of reflections it was not fitted to is {recovery.r1_free:.2f}, above {R1_FREE_SOLVED}")
    if recovery.displacement_angstrom > RECOVERY_SOLVED_ANGSTROM:
        doubts.append(f"when shaken the atoms come to rest {recovery.displacement_angstrom:.2f} A away")


def _judge_atoms(fit: Fit, *, flattened: bool, wrong: list[str], doubts: list[str]) -> None:
    heavy = len(checks.heavy_atoms(fit))
    if heavy == 0:
        wrong.append("no atoms")
        return
    odd_atoms = set(checks.odd_displacements(fit))
    if flattened:
        odd_atoms -= set(checks.at_the_floor(fit))
    odd = len(odd_atoms) / heavy
    if odd > ODD_ATOMS_HOPELESS:
        wrong.append(f"{odd:.0%} of the atoms have impossible displacements")
    elif odd > ODD_ATOMS_SOLVED:
        doubts.append(f"{odd:.0%} of the atoms have odd displacements")
    if close := checks.too_close(fit):
        doubts.append(f"atoms nearer than a bond: {', '.join(close[:3])}")
    if (doubt := cell_doubt(fit)) is not None and doubt.sure:
        doubts.append(str(doubt))
    impossible = set(checks.impossible_bonds(fit)) | set(checks.lonely(fit))
    if len(impossible) > max(1, heavy // 10):
        doubts.append(f"{len(impossible)} atoms with impossible or no neighbours")
