"""What is claimed of a refined structure, part by part, each with its evidence in words."""

from collections.abc import Sequence
from typing import NamedTuple

import gemmi
import numpy as np

from tasks.crystal.scattering import Radiation
from tasks.integrate import Reflections
from tasks.model import Composition
from tasks.model.claims import Claim, Claims, ClaimState, no_surer
from tasks.model.verdict import ModelFigures, Ruling, Statement
from tasks.refine.draft import ModelFit, UniqueIntensities
from tasks.refine.element_odds import ElementOdds
from tasks.refine.element_rivals import REFUTED, ElementRival
from tasks.refine.lattice_evidence import WeakClass, weakest_class
from tasks.solve import GroupEvidence, Solution

EQUIVALENTS_AGREE = 0.35
"""R of equivalents up to which they bear the Laue group. Chosen, not measured: the sets of the tests have 0.06 to 0.3;
equivalents that are none come to 0.5 and more, as intensities scatter by as much as their mean."""
SUPERFLUOUS = 0.02
"""Mean intensity of a class of reflections over that of the others: with less, and no signal, the cell is a multiple of
the true one. Chosen, not measured: half of what scan noise of 4 % of the mean leaves above 2 sigma."""
WEAK_CLASS = 0.1
"""The same, up to which a smaller cell explains nearly all of the intensities: displacements of 0.1 A from it, or one
light atom in ten, give as much. Chosen, not measured."""
CLEAR_SCORE = 0.75
"""Of the score of a group, up to which another is clearly worse: a subgroup of index 2 has half by construction, as
only its own operations count; this is the middle to one that is as good."""
GOOD_R1: dict[Radiation, float] = {"electron": 0.20, "xray": 0.10}
"""R1 up to which the model leaves no room for a twin or a wrong group: right models of real electron data have 0.12 to
0.20 (one of 0.23 is of frames never scaled), the merohedral twins that were called solved had 0.25 and 0.27."""
VIOLATED, FEW_VIOLATED = 0.2, 2
"""Share of the forbidden reflections that may be seen, and the number that always may: multiple scattering and half
wavelengths make some. Chosen, not measured; right groups beyond it (sucrose of the tests' data) are only likely."""
SURE = 0.95
"""Odds from which an element is called certain: wrong once in twenty. Chosen, not measured."""
SHOWN = 4
"""Sites or rivals that a sentence lists."""
HAND_ESDS = 3.0
"""Esds by which Hooft's y must stand off 0.5, what both hands in equal parts would give."""


class ClaimEvidence(NamedTuple):
    """What claims are made from, beside the ruling."""

    solution: Solution
    figures: ModelFigures
    composition: Composition | None
    intensities: UniqueIntensities | None
    laue_group: str
    r_equivalents: float | None
    """R of equivalents in the Laue group; None where they came merged."""
    odds: tuple[ElementOdds, ...] = ()
    rivals: tuple[ElementRival, ...] = ()
    scale_doubt: str | None = None
    symmetry_doubts: tuple[str, ...] = ()
    """What speaks against the space group after refinement, in words."""


def r_of_equivalents(data: Reflections, intensities: UniqueIntensities | None) -> float | None:
    """Return R of equivalents: R meas of the integration, else R int of the refinement, else None."""
    if data.overall.r_meas is not None:
        return data.overall.r_meas
    return None if intensities is None else intensities.r_int


def claims_of(fit: ModelFit, ruling: Ruling, evidence: ClaimEvidence) -> Claims:
    """Return the claims on a refined model that a ruling was given on."""
    group = _space_group(ruling, evidence)
    lattice = _lattice(fit, ruling, evidence)
    return Claims(
        lattice=lattice,
        space_group=group,
        positions=_in_that_lattice(_positions(ruling, evidence), lattice),
        elements=_elements(fit, ruling, evidence),
        absolute_structure=_in_that_group(_absolute_structure(fit, evidence), group),
    )


def _lattice(fit: ModelFit, ruling: Ruling, evidence: ClaimEvidence) -> Claim:
    against = [statement.text for statement in ruling.against("lattice")]
    weak = _weakest(fit, evidence.intensities)
    if weak is not None and weak.mean < SUPERFLUOUS and weak.i_over_sigma < 1.0:
        smaller = f"a cell {weak.times} times smaller explains all"
        against.append(f"no reflections with {weak.condition} were seen: {smaller}")
    if against:
        return Claim(state="open", why="; ".join(against))
    doubts = [] if evidence.scale_doubt is None else [evidence.scale_doubt]
    if weak is not None and weak.mean < WEAK_CLASS:
        doubts.append(
            f"reflections with {weak.condition} have {weak.mean:.1%} of the intensity of the others: a cell "
            f"{weak.times} times smaller explains nearly all"
        )
    if ruling.against("positions"):
        doubts.append("the bonds, which tell its lengths, are in doubt themselves")
    r = evidence.r_equivalents
    if r is None:
        doubts.append(f"equivalents in {evidence.laue_group} were merged before: whether they agree is not known")
    elif r > EQUIVALENTS_AGREE:
        doubts.append(f"equivalents in {evidence.laue_group} differ by R {r:.2f}")
    if doubts:
        return Claim(state="likely", why="; ".join(doubts))
    return Claim(
        state="settled",
        why=f"equivalents in {evidence.laue_group} agree (R {r:.3f}), no smaller cell explains the intensities, and "
        "bonds have their lengths",
    )


def _weakest(fit: ModelFit, intensities: UniqueIntensities | None) -> WeakClass | None:
    if intensities is None:
        return None
    with np.load(intensities.table.path, allow_pickle=False) as file:
        return weakest_class(
            file["hkl"], file["intensity"], file["sigma"], hall=fit.draft.hall, cell=fit.draft.unit_cell
        )


def _space_group(ruling: Ruling, evidence: ClaimEvidence) -> Claim:
    symbol, groups = evidence.solution.space_group, evidence.solution.groups
    doubts = (*evidence.symmetry_doubts, *_said_of_groups(evidence.solution))
    if doubts:
        return Claim(state="open", why="; ".join(doubts))
    if ruling.verdict == "not-solved":
        return Claim(state="open", why=f"{symbol} is that of a model which is not the structure")
    if groups is None or groups.compared == 0 or groups.score is None:
        return Claim(state="likely", why=f"{symbol} was given: no other was compared")
    state, why = _compared(groups, symbol)
    forbidden = evidence.intensities
    if forbidden is not None and forbidden.absences:
        why += f"; {forbidden.absences_violated} reflections of {forbidden.absences} that it forbids have I > 3 sigma"
        if forbidden.absences_violated > max(FEW_VIOLATED, VIOLATED * forbidden.absences):
            state = no_surer(state, "likely")
    figures = evidence.figures
    if figures.r1 > GOOD_R1[figures.radiation]:
        state, why = no_surer(state, "likely"), f"{why}; R1 {figures.r1:.2f} leaves room for a twin or another group"
    return Claim(state=no_surer(state, "settled" if not ruling.against("positions") else "likely"), why=why)


def _compared(groups: GroupEvidence, symbol: str) -> tuple[ClaimState, str]:
    """Return whether the phases speak for one group alone, and what they say."""
    score = groups.score or 0.0
    if groups.rival is None or groups.rival_score is None:
        return "settled", f"no other group of {groups.compared} compared agrees with the phases"
    why = (
        f"{groups.compared} other groups compared: the phases agree with {symbol} by {score:.2f}, with {groups.rival} "
        f"by {groups.rival_score:.2f}"
    )
    clear = score > 0 and groups.rival_score <= CLEAR_SCORE * score
    return ("settled" if clear else "likely"), why


def _said_of_groups(solution: Solution) -> tuple[str, ...]:
    """Return what the search has said against its own choice of the group."""
    marks = ("is not settled between", "is not excluded")
    return tuple(
        reason.removeprefix("against: ") for reason in solution.reasons if any(mark in reason for mark in marks)
    )


def _positions(ruling: Ruling, evidence: ClaimEvidence) -> Claim:
    figures, against = evidence.figures, ruling.against("positions")
    if against or ruling.verdict == "not-solved":
        objections = against or ruling.objections
        open_ = ruling.verdict == "not-solved" or not figures.predicts
        return Claim(state="open" if open_ else "likely", why="; ".join(_texts(objections)))
    why = f"R1 {figures.r1:.3f}"
    if figures.r1_left_out is not None:
        why += f", {figures.r1_left_out:.3f} for reflections the model was not fitted to"
    if figures.r1_by_chance is not None:
        why += f", where chance would give {figures.r1_by_chance:.2f}"
    if figures.recovery_angstrom is not None:
        why += f"; shaken atoms come back within {max(figures.recovery_angstrom, 0.01):.2f} A"
    if evidence.composition is None:
        return Claim(state="likely", why=f"{why}; without a composition it is not known how many atoms there should be")
    if ruling.against("elements"):
        return Claim(state="likely", why=f"{why}; the composition is in doubt, and with it how many atoms there are")
    return Claim(state="settled", why=why)


def _texts(statements: Sequence[Statement]) -> list[str]:
    return [statement.text for statement in statements]


def _elements(fit: ModelFit, ruling: Ruling, evidence: ClaimEvidence) -> Claim:
    against, composition = ruling.against("elements"), evidence.composition
    if against:
        said = _texts(against)
        if composition is None:
            found = ", ".join(element for element in fit.draft.elements if element not in {"H", "D"})
            said.append(f"{found} are guesses by scattering power and bonds: others would do as well")
        return Claim(state="open", why="; ".join(said))
    if ruling.verdict == "not-solved" or composition is None:
        return Claim(state="open", why="they are those of a model which is not the structure")
    named = sorted(element for element in composition.counts if element not in {"H", "D"})
    given = f"{', '.join(named)} by the composition"
    loose = sorted((one for one in evidence.odds if one.odds < SURE), key=lambda one: one.odds)
    near = [rival for rival in evidence.rivals if rival.cost < REFUTED]
    doubts = []
    if loose:
        listed = ", ".join(f"{one.label} ({one.odds:.0%}, else {one.other})" for one in loose[:SHOWN])
        doubts.append(f"not certain at {len(loose)} of {len(evidence.odds)} atoms: {listed}")
    if near:
        listed = ", ".join(f"{rival.other} in place of {rival.element}" for rival in near[:SHOWN])
        doubts.append(f"by the intensities alone {listed} would do as well")
    if len(named) > 1 and not evidence.odds:
        doubts.append("which of them is which atom was not tested")
    if not evidence.rivals:
        doubts.append("other elements were not tested")
    if doubts:
        return Claim(state="likely", why="; ".join((given, *doubts)))
    least = min((one.odds for one in evidence.odds), default=None)
    odds = "" if least is None else f", at every atom with odds of {least:.0%} or more"
    return Claim(state="settled", why=f"{given}{odds}; no other element fits as well in place of one of them")


def _in_that_lattice(positions: Claim, lattice: Claim) -> Claim:
    """Return the claim on the places, which an open lattice leaves likely: whether they are bonded hangs on lengths."""
    if lattice.state != "open" or positions.state != "settled":
        return positions
    return Claim(state="likely", why=f"{positions.why}; but the cell in which they stand is open")


def _in_that_group(hand: Claim, group: Claim) -> Claim:
    """Return the claim on the hand, which is no surer than the group in which there are two, or one."""
    state = no_surer(hand.state, group.state)
    if state == hand.state:
        return hand
    return Claim(state=state, why=f"{hand.why}, if the space group is right, which is {group.state}")


def _absolute_structure(fit: ModelFit, evidence: ClaimEvidence) -> Claim:
    group = gemmi.symops_from_hall(fit.draft.hall)
    if group.is_centrosymmetric():
        return Claim(state="settled", why="the space group has a centre: there is one hand only")
    if evidence.figures.radiation == "electron":
        return Claim(
            state="open", why="electron intensities, refined kinematically, are alike for the structure and its inverse"
        )
    if fit.hooft is None:
        return Claim(state="open", why="no Friedel pairs, or no anomalous scattering, to tell it by")
    y, esd = fit.hooft
    text = f"Hooft's y {y:.2f} with an esd of {esd:.2f} (0 for this hand, 1 for the other)"
    if abs(y - 0.5) < HAND_ESDS * esd:
        return Claim(state="open", why=f"{text}: the anomalous differences are too small to tell")
    if y > 0.5:
        return Claim(state="open", why=f"{text}: the inverted structure is the right one")
    return Claim(state="settled" if abs(y) < HAND_ESDS * esd else "likely", why=text)
