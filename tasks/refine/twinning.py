"""Twins in a refinement: laws tried, kept where left-out reflections ask for them, and said in words."""

import gemmi
import numpy as np

from tasks.crystal.symmetry import laue_group_of
from tasks.crystal.twin_laws import IDENTITY_LAW, Law, law_of_triplet, law_triplet, twin_laws
from tasks.model import InputError
from tasks.model.twin import Twin
from tasks.refine.draft import Draft, DraftFit, ModelFit, TwinComponent, UniqueIntensities
from tasks.refine.ports import LeastSquares
from tasks.refine.prediction import left_out_r1
from tasks.refine.progress import QUICK_CYCLES, RefineProgress, tried_fit

TRIED_R1 = 0.03
"""R1 below which no law is tried: a twin of a twentieth adds as much to a perfect one. Chosen, not measured."""
START_FRACTION = 0.2
"""From it least squares comes to 0, 0.1, 0.35 and 0.5 alike (tests/unit/cctbx/test_twin_refinement.py, from 0.25)."""
LEAST_FRACTION = 0.03
"""Of the second crystal, to be called a twin. Chosen, not measured: less changes R1 of good data by hundredths, which
multiple scattering does too."""
LEAST_ESDS = 5.0
"""Of the fraction: more than usual, as all errors of a model pull at it."""
LEAST_GAIN = 0.005
"""Of R1 of left-out reflections, absolute."""
LEAST_RELATIVE_GAIN = 0.06
"""The same relative: R1 of left-out reflections of models on real data differs by up to half of it between two draws of
what is left out."""

MOST_LAWS = 6
"""That are tried, the simplest first: a triclinic structure in a cubic lattice has 23. Chosen, not measured."""
DRAWS = 3
"""Of reflections to be left out: of a hundred that is a third of all."""


LISTED = "HKLF 5"
"""Law of a twin whose observations each list their reflections."""


def twin_components(twin: Twin | None) -> tuple[TwinComponent, ...]:
    """Return the components of a twin that was told, none for a single crystal."""
    return () if twin is None else two_components(law_of_triplet(twin.law), twin.fraction)


def two_components(law: Law, fraction: float) -> tuple[TwinComponent, ...]:
    """Return the crystal itself and the one that a law turns it to."""
    return (
        TwinComponent(law=_rows(IDENTITY_LAW), fraction=1.0 - fraction),
        TwinComponent(law=_rows(law), fraction=fraction),
    )


def _rows(law: Law) -> tuple[tuple[float, float, float], ...]:
    return tuple((float(row[0]), float(row[1]), float(row[2])) for row in np.asarray(law))


def laws_for(draft: Draft) -> tuple[Law, ...]:
    """Return the laws by which a structure can be twinned in its lattice."""
    group: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(draft.hall))
    if group is None:
        return ()
    try:
        laue = laue_group_of(group.xhm())
    except InputError:
        return ()
    return tuple(law.law for law in twin_laws(draft.unit_cell, laue))


def twinned(engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities) -> RefineProgress:
    """Return the progress as a twin, where one of the lattice's laws makes left-out reflections agree far better.

    Without a law, with R1 as low as that of a single crystal, or of the domains of a twin, nothing is tried.
    """
    fit = progress.fit
    if fit.draft.twin or fit.r1 < TRIED_R1 or intensities.overlaps is not None:
        return progress
    best: DraftFit | None = None
    for law in laws_for(fit.draft)[:MOST_LAWS]:
        draft = fit.draft.model_copy(update={"twin": two_components(law, START_FRACTION)})
        trial = tried_fit(engine, draft, intensities, 2 * QUICK_CYCLES)
        if trial is not None and (best is None or trial.r1 < best.r1):
            best = trial
    if best is None:
        return progress
    accepted = certain(best) and best.r1 < fit.r1 and _asked_for(engine, fit.draft, best.draft, intensities)
    change = f"refined as a twin by {law_triplet(np.array(best.draft.twin[1].law))}"
    return progress.tried(change, f"fraction {best.draft.twin[1].fraction:.3f}", best, accepted=accepted)


def certain(fit: DraftFit) -> bool:
    """Tell whether the second crystal of a twin is there: more of it than errors make, and not all."""
    if len(fit.draft.twin) < 2 or not fit.twin_esd:
        return False
    least = max(LEAST_FRACTION, LEAST_ESDS * max(fit.twin_esd))
    return all(least <= part.fraction <= 1.0 - least for part in fit.draft.twin[1:])


def _asked_for(engine: LeastSquares, alone: Draft, twin: Draft, intensities: UniqueIntensities) -> bool:
    """Tell whether reflections that were left out, together with those that the law relates, agree far better."""
    before, after = (left_out_r1(engine, draft, intensities, draws=DRAWS) for draft in (alone, twin))
    if before is None or after is None:
        return False
    return after < before - max(LEAST_GAIN, LEAST_RELATIVE_GAIN * before)


def settled(engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities) -> RefineProgress:
    """Return the progress as a single crystal, where hardly anything is left of the second one of a twin."""
    fit = progress.fit
    if len(fit.draft.twin) < 2 or certain(fit):
        return progress
    fraction = fit.draft.twin[1].fraction
    alone = tried_fit(engine, fit.draft.model_copy(update={"twin": ()}), intensities)
    accepted = alone is not None and alone.r1 < fit.r1 + LEAST_GAIN
    return progress.tried("refined as a single crystal", f"the fraction is {fraction:.3f}", alone, accepted=accepted)


def twin_of(fit: ModelFit) -> Twin | None:
    """Return what is said of a refined twin; None of a single crystal."""
    if len(fit.draft.domains) > 1:
        return Twin(law=LISTED, fraction=1.0 - fit.draft.domains[0])
    if len(fit.draft.twin) < 2:
        return None
    part = fit.draft.twin[1]
    esds = fit.twin_esd if isinstance(fit, DraftFit) else ()
    return Twin(law=law_triplet(np.array(part.law)), fraction=part.fraction, fraction_esd=esds[0] if esds else None)


def about_twin(fit: ModelFit) -> tuple[str, ...]:
    """Return in words that a model is one of a twin."""
    twin = twin_of(fit)
    if twin is None:
        return ()
    if twin.law == LISTED:
        return (f"twin: {100 * twin.fraction:.1f} % of the crystal is turned; refined against sums of its domains",)
    esd = "" if twin.fraction_esd is None else f"({max(1, round(1000 * twin.fraction_esd))})"
    return (f"twin: {100 * twin.fraction:.1f}{esd} % of the crystal is turned by the law {twin.law}",)
