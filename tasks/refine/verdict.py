"""How far a refined model can be believed: its figures, measured here, judged by the one rule."""

import math
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import gemmi

from tasks.crystal.scattering import Radiation
from tasks.integrate import CellScale, CountingLoss
from tasks.model import Composition
from tasks.model.verdict import (
    CHANCE_TOPIC,
    R1_REFINED,
    SCALE_TOPIC,
    ModelFigures,
    Ruling,
    Statement,
    Verdict,
    judge,
    with_search,
)
from tasks.refine import checks
from tasks.refine.cell_check import Doubts, cell_doubts
from tasks.refine.draft import ModelFit
from tasks.refine.element_rivals import REFUTED, ElementRival, contradictions
from tasks.refine.outliers import Outliers
from tasks.refine.scale_doubt import ScaleDoubt
from tasks.refine.validation import Recovery

BY_CHANCE = {True: 0.83, False: 0.59}
"""R1 of a random structure against any data, centric and acentric: Wilson, Acta Cryst. 3, 397-398 (1950)."""
MOST_AT_FLOOR = 0.8
"""Share of the atoms at the least displacement from which the radiation is doubted, not single atoms; by judgement."""
LOSS_WITHOUT_EXTINCTION = 0.15
"""Largest share of a spot's electrons not counted, beyond which extinction, which weakens strong reflections likewise,
is not refined: a correction wrong by a tenth then leaves 1.5 % of the strongest, as little as is seen. Chosen, not
measured."""
QUALIFYING_FACTOR = 1.06
"""Of all lengths: up to this a wrong scale qualifies the cell and leaves the structure solved, as atoms and elements do
not depend on it. Cameras are off by as much: published data of L-tyrosine by 3 %, of cinchonine by 5 %. Of the energies
in use the nearest, 100 and 120 keV, differ by 10 % in wavelength: the verdict is doubtful then."""
AGREEING_KINDS = 2
"""Elements whose bonds ask for one factor of all lengths, from which these are wrong rather than the elements."""
NO_COMPOSITION = "the elements are not known, as no composition was given: give --composition"
NOT_RECOVERED = "the shaken structure could not be refined again"


class Grounds(NamedTuple):
    """What a refined model is judged by beside its own fit; `untested` says why there is no recovery."""

    radiation: Radiation
    formula: dict[str, float]
    """Of one formula unit, as found."""
    composition: Composition | None
    recovery: Recovery | None
    untested: str = NOT_RECOVERED
    cell_scale: CellScale | None = None
    wavelength_angstrom: float | None = None
    """Of electrons; None where it is not in doubt."""
    counting: CountingLoss | None = None
    rivals: tuple[ElementRival, ...] = ()
    """Elements that the composition does not name, in place of those it does."""
    search: Mapping[str, float] = MappingProxyType({})
    """Figures of the solution: what other arrangements of the atoms few reflections leave open."""
    undecided: str | None = None
    """Which atoms may as well have each other's names, in words."""
    outliers: Outliers | None = None
    """Reflections to blame for what the model leaves unexplained."""


class RefinedVerdict(NamedTuple):
    """The verdict and its reasons, the worst first; before all a scale of the lengths that makes others follow."""

    verdict: Verdict
    reasons: tuple[str, ...]
    scale_doubt: str | None
    """What speaks against the one scale of all lengths, however small; None if nothing does."""
    ruling: Ruling
    figures: ModelFigures


def judge_refined(fit: ModelFit, grounds: Grounds) -> RefinedVerdict:
    """Return the verdict on a refined model."""
    doubts = cell_doubts(fit, grounds.cell_scale, grounds.wavelength_angstrom, grounds.composition)
    scale = None if doubts.scale is None else str(doubts.scale)
    figures = figures_of(fit, grounds, doubts)
    ruling = judge(figures)
    if ruling.verdict == "solved":
        free = (
            "" if figures.r1_left_out is None else f", {figures.r1_left_out:.3f} for reflections it was not fitted to"
        )
        return RefinedVerdict(
            "solved",
            (
                f"R1 {fit.r1:.3f}{free}, where chance would give {figures.r1_by_chance:.2f}",
                "displacements, distances and composition are in order" + (" but for their scale" if scale else ""),
                *about_counting(grounds.counting),
            ),
            scale,
            ruling,
            figures,
        )
    agreed = grounds.composition is not None and doubts.scale is not None and doubts.scale.kinds >= AGREEING_KINDS
    said = (statement.text for statement in sorted(ruling.objections, key=partial(_gravity, agreed=agreed)))
    remarks = (*_about_radiation(fit, figures), *about_counting(grounds.counting))
    blamed = () if grounds.outliers is None else (str(grounds.outliers),)
    return RefinedVerdict(ruling.verdict, (*blamed, *said, *remarks), scale, ruling, figures)


def _gravity(statement: Statement, *, agreed: bool) -> tuple[bool, ...]:
    """Return what objections are sorted by: unknown elements, as wrong lengths follow, the cell, then the gravest.

    Before all comes chance, which elements and lengths of a model are by then. Where several of the elements told ask
    for one factor of all lengths (`agreed`), that precedes what is said of elements: wrong ones would each ask for
    their own, while wrong lengths give every atom a wrong scattering factor.
    """
    elements, lengths = not statement.caps, statement.topic != SCALE_TOPIC
    first = (lengths, elements) if agreed else (elements, lengths)
    return (statement.topic != CHANCE_TOPIC, *first, not statement.hopeless)


def figures_of(fit: ModelFit, grounds: Grounds, doubts: Doubts) -> ModelFigures:
    """Return the figures of a refined model; `doubts` are what its bonds say against the cell."""
    recovery, heavy = grounds.recovery, len(checks.heavy_atoms(fit))
    odd, floor = set(checks.odd_displacements(fit)), set(checks.at_the_floor(fit))
    chance = r1_by_chance(fit)
    measured = ModelFigures(
        kind="refined",
        radiation=grounds.radiation,
        r1=fit.r1,
        r1_left_out=None if recovery is None else recovery.r1_free,
        untested=grounds.untested,
        r1_over_chance=fit.r1 / chance if chance > 0 else math.inf,
        r1_by_chance=chance,
        observed_per_parameter=fit.reflections_observed / fit.parameters,
        shift_over_esd=fit.shift_over_esd_max,
        converged=fit.converged,
        recovery_angstrom=None if recovery is None else recovery.displacement_angstrom,
        atoms=heavy,
        odd_displacements=len(odd) / heavy if heavy else None,
        odd_above_floor=len(odd - floor) / heavy if heavy else None,
        close_contacts=checks.close_pairs(fit),
        scale_doubts=_grave(doubts.scale, grounds.rivals),
        cell_doubts=(str(doubts.edges),) if doubts.edges is not None and doubts.edges.sure else (),
        bad_neighbours=len(set(checks.impossible_bonds(fit)) | set(checks.lonely(fit))),
        completeness=checks.completeness_of_model(grounds.formula, grounds.composition),
        unknown_elements=_unknown_elements(grounds),
        agreement=checks.composition_agreement(grounds.formula, grounds.composition),
        uncorrected_loss=None if grounds.counting is None else grounds.counting.uncorrected,
        counting_disagreement=_disagreement(grounds.counting),
    )
    return with_search(measured, grounds.search)


def _grave(doubt: ScaleDoubt | None, rivals: tuple[ElementRival, ...]) -> tuple[str, ...]:
    """Return in words a doubt of the scale that is more than a camera length badly known; elements may be wrong too."""
    if doubt is None or max(doubt.factor, 1.0 / doubt.factor) <= QUALIFYING_FACTOR:
        return ()
    near = [f"{rival.other} in place of {rival.element}" for rival in rivals if rival.cost < REFUTED]
    return (f"{doubt}, or other elements than those told, such as {near[0]}" if near else str(doubt),)


def _disagreement(counting: CountingLoss | None) -> float | None:
    if counting is None or counting.agreement is None or not counting.agreement > 0:
        return None
    return abs(math.log(counting.agreement))


def about_counting(counting: CountingLoss | None) -> tuple[str, ...]:
    """Return what remains of the electrons that the camera did not count, in words."""
    if counting is None or not (counting.corrected or counting.set_aside):
        return ()
    gone = f", {len(counting.missing)} reflections missing for it" if counting.missing else ""
    return (
        f"strong reflections lost up to {counting.worst_loss:.0%} of their electrons to others of the same camera "
        f"frame: {counting.corrected} measurements corrected, {counting.set_aside} set aside{gone}; no extinction "
        "was refined"
        if hides_extinction(counting)
        else f"{counting.corrected} measurements were corrected for electrons not counted",
    )


def hides_extinction(counting: CountingLoss | None) -> bool:
    """Tell whether so many electrons were not counted that extinction would stand for what is left of that."""
    return counting is not None and counting.worst_loss > LOSS_WITHOUT_EXTINCTION


def r1_by_chance(fit: ModelFit) -> float:
    """Return the R1 that fitting as many parameters to noise would reach.

    Wilson's value for random atoms, lowered by the square root of the part of the observed reflections that the
    parameters do not use up, nor a mask, which fits as large a part of them as it takes up of the cell.
    """
    centric = gemmi.symops_from_hall(fit.draft.hall).is_centrosymmetric()
    masked = 0.0 if fit.draft.solvent is None else fit.draft.solvent.accessible_share
    freedom = max(0.0, 1.0 - fit.parameters / max(1, fit.reflections_observed) - masked)
    return BY_CHANCE[centric] * math.sqrt(freedom)


def _unknown_elements(grounds: Grounds) -> tuple[str, ...]:
    """Return why it is not known which elements the atoms are, in words."""
    if grounds.composition is None:
        return (NO_COMPOSITION,)
    absent = checks.elements_not_found(grounds.formula, grounds.composition)
    nowhere = (f"no {', '.join(absent)} was found: is the composition right?",) if absent else ()
    many = checks.elements_in_surplus(grounds.formula, grounds.composition)
    surplus = (f"the model has {', '.join(many)}: some are misnamed",) if many else ()
    undecided = () if grounds.undecided is None else (grounds.undecided,)
    return (*nowhere, *surplus, *contradictions(grounds.rivals), *undecided)


def _about_radiation(fit: ModelFit, figures: ModelFigures) -> tuple[str, ...]:
    """Return what speaks for the other radiation: factors of the wrong one take displacements to their limits."""
    heavy = max(1, len(checks.heavy_atoms(fit)))
    if figures.radiation == "electron" and len(checks.at_the_floor(fit)) >= MOST_AT_FLOOR * heavy:
        return ("nearly all displacements are at their floor: are these X-ray intensities, or strongly dynamical?",)
    if figures.radiation == "xray" and figures.predicts and fit.r1 > R1_REFINED["xray"].doubtful:
        return (f"R1 {fit.r1:.3f} with a model that predicts left-out reflections: are these electron intensities?",)
    return ()
