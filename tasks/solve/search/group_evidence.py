"""How clearly the space group of a solution won against the others that were compared."""

import gemmi

from tasks.solve.groups.symmetry_from_phases import GroupFit
from tasks.solve.models import GroupEvidence
from tasks.solve.search.candidates import ENANTIOMORPHS, Candidate

PLACES = 9
"""Decimals of a score: products of matrices differ in the sixteenth from process to process, by where arrays lie in
memory (seen by repeating a run); a margin that counts is a thousandth."""


def group_evidence(best: Candidate, candidates: list[Candidate], fits: list[GroupFit]) -> GroupEvidence:
    """Return the rivals of the best candidate's group: the next by its phases, and the next by R1 of a model.

    The enantiomorphic group is no rival: which of the two it is, is a matter of the absolute structure.
    """
    own = best.task.symmetry
    others = [fit for fit in fits if not _same_but_hand(fit.symmetry.symbol, own.symbol)]
    score = next((fit.score for fit in fits if fit.symmetry.hall == own.hall), None)
    rival = max(others, key=lambda fit: fit.score, default=None)
    models = [one for one in candidates if not _same_but_hand(one.task.symmetry.symbol, own.symbol)]
    model = min(models, key=lambda one: one.judgement.figures["r_free"], default=None)
    return GroupEvidence(
        compared=len(others),
        score=None if score is None else round(score, PLACES),
        rival=None if rival is None else rival.symmetry.symbol,
        rival_score=None if rival is None else round(rival.score, PLACES),
        r1_left_out=best.judgement.figures["r_free"],
        model_rival=None if model is None else model.task.symmetry.symbol,
        model_rival_r1_left_out=None if model is None else model.judgement.figures["r_free"],
    )


def _same_but_hand(one: str, other: str) -> bool:
    numbers = gemmi.SpaceGroup(one).number, gemmi.SpaceGroup(other).number
    return one == other or numbers in ENANTIOMORPHS or numbers[::-1] in ENANTIOMORPHS
