"""Heavy elements of which the model has more atoms than the composition told, while another is missing."""

import gemmi

from tasks.model import Composition
from tasks.refine.completion import relabelled
from tasks.refine.draft import DraftAtom, DraftFit, UniqueIntensities
from tasks.refine.ports import LeastSquares
from tasks.refine.progress import RefineProgress, tried_fit
from tasks.refine.structure import formula_of

LIGHTEST = 10
"""Atomic number up to which elements are left to the odds of names: C, N, O and F are exchanged too easily."""
MOST_TRIED = 6
"""Atoms of the surplus element that are given the missing one, those whose displacement asks for it most. Chosen."""
MOST_RENAMED = 4
"""Names changed in one model: more says that the composition is another's. Chosen, not measured."""
ROOM_IN_R1 = 0.005
"""What the composition told may cost in R1 of all data. Chosen, not measured: chlorine for phosphorus costs some 0.003
in a complex of palladium of R1 0.03, and a told count is worth more than the errors that hide so much."""
WHOLE = 0.9
"""Of an atom for each formula unit, from which a count is too many or too few."""


def kept_to_told_counts(
    engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities, composition: Composition | None
) -> RefineProgress:
    """Return the progress with surplus heavy atoms renamed to heavy ones that it lacks, where R1 allows it."""
    if composition is None:
        return progress
    for _ in range(MOST_RENAMED):
        fit = progress.fit
        pair = surplus_and_lack(fit, composition)
        if pair is None:
            break
        trials = [_renamed(engine, fit, intensities, atom, pair[1]) for atom in _suspects(fit, *pair)]
        known = [trial for trial in trials if trial is not None]
        if not known:
            break
        best = min(known, key=lambda trial: trial.r1_all)
        change = f"changed one {pair[0]} to {pair[1]}"
        accepted = best.r1_all <= fit.r1_all + ROOM_IN_R1
        progress = progress.tried(change, "counts of the composition told", best, accepted=accepted)
        if not accepted:
            break
    return progress


def surplus_and_lack(fit: DraftFit, composition: Composition) -> tuple[str, str] | None:
    """Return the heavy element with most atoms too many in a formula unit, and that with most too few; None without."""
    formula, _ = formula_of(fit, composition)
    heavy = sorted(name for name in {*formula, *composition.counts} if gemmi.Element(name).atomic_number > LIGHTEST)
    excess = {name: formula.get(name, 0.0) - composition.counts.get(name, 0.0) for name in heavy}
    if not excess:
        return None
    most, least = max(heavy, key=lambda name: excess[name]), min(heavy, key=lambda name: excess[name])
    return (most, least) if excess[most] >= WHOLE and excess[least] <= -WHOLE else None


def _suspects(fit: DraftFit, surplus: str, lack: str) -> list[DraftAtom]:
    """Return atoms of the surplus element, the loosest first where the missing one is lighter, else the tightest."""
    pivots = {group.pivot for group in fit.draft.riding}
    rows = [
        (row.u_equivalent, atom)
        for atom, row in zip(fit.draft.atoms, fit.atoms, strict=True)
        if atom.element == surplus and atom.label not in pivots
    ]
    lighter = gemmi.Element(lack).atomic_number < gemmi.Element(surplus).atomic_number
    rows.sort(key=lambda item: (-item[0] if lighter else item[0], item[1].label))
    return [atom for _, atom in rows[:MOST_TRIED]]


def _renamed(
    engine: LeastSquares, fit: DraftFit, intensities: UniqueIntensities, suspect: DraftAtom, element: str
) -> DraftFit | None:
    names = [element if atom.label == suspect.label else atom.element for atom in fit.draft.atoms]
    return tried_fit(engine, relabelled(fit.draft, names), intensities)
