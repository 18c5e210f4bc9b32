"""Whether a model obeys a higher symmetry than it was built in, and which of the two to take."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import orthogonalisation
from tasks.crystal.symmetry import Symmetry
from tasks.model import UnitCell
from tasks.solve.groups.symmetry_from_phases import GroupFit, rank_groups
from tasks.solve.phasing.trials import PhaseSet
from tasks.solve.search.candidates import Candidate, Workshop, phases_of_model, rank_key

WITHIN_ANGSTROM = 0.2
"""Root mean square distance of atoms from images of atoms: the errors of a model built on dynamical intensities."""
FURTHEST_ANGSTROM = 0.5
"""Less than half of the shortest distance of two atoms (1.1 A): a further image may be that of a neighbour."""
WITHIN_R_FREE = 0.03
"""Systematic errors let the lower symmetry, with more parameters, predict left-out reflections better by so much."""
WITHIN_R_FREE_SUPPORTED = 0.045
"""And by so much where the phases ask for the higher one by far: guests disordered about its elements are incomplete
in its model, but not in that of a subgroup."""
SUPPORT = 1.5
"""Ratio of scores: 2 or more where the operations that a group has beyond its subgroup of index 2 agree as well as
those they share, 1 where they agree no better than the threshold; this is the middle."""
SAME_R_FREE = 0.005
"""A structure forced into too high a symmetry predicts left-out reflections worse by more than this."""
R1_GAIN = 0.02
"""By so much a model of lower symmetry must fit better to be named. Chosen, not measured; only a remark hangs on it."""


class Rival(NamedTuple):
    """A solved candidate of higher symmetry that predicts nearly as well; whether to take it, and why."""

    candidate: Candidate
    taken: bool
    reason: str


def higher_symmetry(
    best: Candidate, candidates: list[Candidate], fits: list[GroupFit], workshop: Workshop, blank: PhaseSet
) -> Rival | None:
    """Return the largest group that speaks against the one of the best candidate, or None.

    It is taken where it explains all and left-out reflections as well with fewer parameters, where the atoms of the
    best candidate obey it, or where the phases from which that was built support it at least as well: the idea is that
    of PLATON's ADDSYM (Le Page, J. Appl. Cryst. 20, 264-269, 1987), with a condition on R1 of left-out reflections in
    place of one on elements, which may be wrong. Otherwise the two cannot be told apart.

    Parameters
    ----------
    fits
        The table of groups of the best candidate.
    blank
        Holds the P1 hemisphere.
    """
    symmetry, left_out = best.task.symmetry, best.judgement.figures["r_free"]
    score = {fit.symmetry.hall: fit.score for fit in fits}
    own = score.get(symmetry.hall, 0.0)
    rivals = [
        other
        for other in candidates
        if other.task.symmetry.order > symmetry.order
        and other.judgement.verdict == best.judgement.verdict == "solved"
        and other.judgement.figures["r_free"] <= left_out + _tolerance(score.get(other.task.symmetry.hall, 0.0), own)
    ]
    if not rivals:
        return None
    phases = phases_of_model(best.task, best.built, blank)
    for other in sorted(rivals, key=lambda item: (-item.task.symmetry.order, rank_key(item))):
        group = other.task.symmetry
        figures = f"R1 of left-out reflections {other.judgement.figures['r_free']:.3f} against {left_out:.3f}"
        if score.get(group.hall, -np.inf) >= score.get(symmetry.hall, np.inf):
            reason = f"{group.symbol} is taken, not {symmetry.symbol}: the phases support both, {figures}"
            return Rival(other, taken=True, reason=reason)
        if other.judgement.figures["r_free"] <= left_out + SAME_R_FREE and other.built.fit.r1 <= best.built.fit.r1:
            reason = (
                f"{group.symbol} is taken, not {symmetry.symbol}: fewer parameters explain the data as well, {figures}"
            )
            return Rival(other, taken=True, reason=reason)
        if (rms := _obeyed(best, group, workshop, phases)) is not None:
            reason = f"{group.symbol} is taken: atoms found in {symmetry.symbol} obey it within {rms:.2f} A, {figures}"
            return Rival(other, taken=True, reason=reason)
    other = min(rivals, key=rank_key)
    left = f"{other.judgement.figures['r_free']:.3f} against {left_out:.3f}"
    reason = (
        f"against: the space group is not settled between {symmetry.symbol} and {other.task.symmetry.symbol} "
        f"(R1 of left-out reflections {left})"
    )
    return Rival(other, taken=False, reason=reason)


def lower_symmetry(best: Candidate, candidates: list[Candidate]) -> str | None:
    """Return a remark on a smaller group whose solved model explains the data better and predicts them as well."""
    figures, order = best.judgement.figures, best.task.symmetry.order
    rivals = [
        other
        for other in candidates
        if other.task.symmetry.order < order
        and other.judgement.verdict == "solved"
        and other.judgement.figures["r1"] < figures["r1"] - R1_GAIN
        and other.judgement.figures["r_free"] <= figures["r_free"] + SAME_R_FREE
    ]
    if not rivals:
        return None
    other = min(rivals, key=rank_key)
    return (
        f"the lower symmetry {other.task.symmetry.symbol} is not excluded: R1 {other.judgement.figures['r1']:.3f} "
        f"against {figures['r1']:.3f}, of left-out reflections {other.judgement.figures['r_free']:.3f} against "
        f"{figures['r_free']:.3f}, with more parameters"
    )


def _tolerance(score: float, own: float) -> float:
    return WITHIN_R_FREE_SUPPORTED if 0.0 < own <= score / SUPPORT else WITHIN_R_FREE


def _obeyed(best: Candidate, group: Symmetry, workshop: Workshop, phases: PhaseSet) -> float | None:
    """Return the root mean square distance (angstrom) within which the atoms obey a group, None if they do not."""
    value = phases.amplitude * np.exp(1j * phases.phase_rad)
    fits = rank_groups(phases.hkl, value, [group], cell=workshop.cell, absences=workshop.absences)
    if not fits:
        return None
    position = best.built.fit.model.position
    distance = misfits(position, best.task.symmetry, group, fits[0].placement.origin, workshop.cell)
    rms = float(np.sqrt((distance**2).mean()))
    return rms if rms <= WITHIN_ANGSTROM and float(distance.max()) <= FURTHEST_ANGSTROM else None


def misfits(
    position: NDArray[np.float64], own: Symmetry, other: Symmetry, origin: NDArray[np.float64], cell: UnitCell
) -> NDArray[np.float64]:
    """Return how far (angstrom) from an atom the images of atoms (m, 3) under another group lie, (operations, m).

    Parameters
    ----------
    origin
        (3,) of the other group, in the frame of the positions.
    """
    orthogonal = orthogonalisation(cell)
    rotations, translations = own.operations()
    whole = (np.einsum("oij,mj->omi", rotations, position) + translations[:, None, :]).reshape(-1, 3)
    found = np.empty((len(other.rotations), len(position)))
    for row, (rotation, translation) in enumerate(zip(other.rotations, other.translations, strict=True)):
        image = (position - origin) @ rotation.T + translation + origin
        delta = image[:, None, :] - whole[None, :, :]
        delta -= np.round(delta)
        found[row] = np.linalg.norm(delta @ orthogonal.T, axis=2).min(axis=1)
    return found
