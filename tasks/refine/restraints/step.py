"""Whether a model is refined with restraints: few data call for them, left-out reflections decide."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tasks.model import DivergedError, InputError, ProgramFailedError
from tasks.refine.draft import Draft, DraftFit, UniqueIntensities
from tasks.refine.parameters import (
    D_MIN_ANISOTROPIC_ANGSTROM,
    REFLECTIONS_PER_PARAMETER,
    made_anisotropic,
    not_positive_definite,
)
from tasks.refine.ports import LeastSquares
from tasks.refine.progress import QUICK_CYCLES, RefineProgress, tried_fit
from tasks.refine.restraints.geometry import geometric_restraints
from tasks.refine.settings import RefineSettings

TRIES = 5
"""Choices of reflections to leave out: with a fifth each, most reflections are left out once."""
LEFT_OUT = 0.2
"""Part of the reflections that each try leaves out."""
LEAST_MARGIN = 0.002
"""What R1 of left-out reflections may rise by however well it is known, as in `parameters.pays`: a difference that
refinement leaves anyway. Chosen, not measured."""
LEAST_RESTRAINED = 4.0
"""Reflections per parameter below which atoms stay isotropic even with restraints: similar and rigid-bond displacements
together remove about half of the freedom (Thorn, Dittrich & Sheldrick, Acta Cryst. A68, 448-451, 2012). Chosen, not
measured."""


def restrained(
    engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities, settings: RefineSettings
) -> RefineProgress:
    """Return the progress with restraints where data are few and left-out reflections do not suffer from them."""
    fit = progress.fit
    if not called_for(fit, settings):
        return progress
    draft = with_restraints(fit)
    if not draft.restraints or draft.restraints == fit.draft.restraints:
        return progress
    trial = tried_fit(engine, draft, intensities, QUICK_CYCLES)
    if trial is not None:  # bonds that were too far off to be sure may have become so
        trial = tried_fit(engine, with_restraints(trial), intensities, QUICK_CYCLES)
    verdict = None if trial is None else compared(engine, fit.draft, trial.draft, intensities)
    reason = f"{fit.reflections / fit.parameters:.1f} reflections per parameter; {verdict or 'none could be left out'}"
    change = f"restrained with {trial.restraints if trial else 0} equations of chemistry"
    return progress.tried(change, reason, trial, accepted=verdict is not None and verdict.no_worse)


def called_for(fit: DraftFit, settings: RefineSettings) -> bool:
    """Tell whether restraints are to be tried: with few data, or always, or never, as the settings say."""
    return settings.restraints == "all" or (settings.restraints == "auto" and not data_suffice(fit))


def anisotropic_by_restraints(
    engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities, settings: RefineSettings
) -> RefineProgress:
    """Return the progress with anisotropic displacements that the data alone do not bear, held by restraints.

    Atoms of molecules that the restraints of displacements reach, all together; only where left-out reflections gain
    by more than chance.
    """
    fit = progress.fit
    reached = {label for item in fit.draft.restraints if item.kind == "similar displacements" for label in item.labels}
    loose = [a for a in fit.draft.atoms if a.label in reached and a.u_aniso_angstrom2 is None]
    wanted = fit.parameters + 5 * len(loose)
    too_few = fit.reflections < LEAST_RESTRAINED * wanted
    if not (loose and settings.anisotropic) or too_few or intensities.d_min_angstrom > D_MIN_ANISOTROPIC_ANGSTROM:
        return progress
    freed = made_anisotropic(fit.draft, frozenset(a.element for a in loose))
    kept = {a.label: a for a in fit.draft.atoms if a.label not in reached}
    freed = freed.model_copy(update={"atoms": tuple(kept.get(a.label, a) for a in freed.atoms)})
    restraints = geometric_restraints(freed)
    trial = tried_fit(engine, freed.model_copy(update={"restraints": restraints}), intensities, 2 * QUICK_CYCLES)
    if trial is not None and not_positive_definite(trial):
        trial = None
    verdict = None if trial is None else compared(engine, fit.draft, trial.draft, intensities)
    change = f"made {len(loose)} atoms anisotropic with restraints of similar displacements and rigid bonds"
    reason = f"{fit.reflections / wanted:.1f} reflections per parameter then; {verdict or 'not positive definite'}"
    return progress.tried(change, reason, trial, accepted=verdict is not None and verdict.better)


def with_restraints(fit: DraftFit) -> Draft:
    """Return the draft of a fit with the restraints that its geometry calls for."""
    edges = np.array(fit.draft.unit_cell.parameters[:3])
    esds = [np.array(row.position_esd) * edges for row in fit.atoms if row.position_esd is not None and not row.riding]
    esd = float(np.median(esds)) if esds else 0.0
    return fit.draft.model_copy(update={"restraints": geometric_restraints(fit.draft, esd_angstrom=esd)})


def data_suffice(fit: DraftFit) -> bool:
    """Tell whether there are 8 unique reflections for each parameter."""
    return fit.reflections >= REFLECTIONS_PER_PARAMETER * fit.parameters


class LeftOut(NamedTuple):
    """R1 of reflections that were left out of the fit, without a change and with it, and how sure the difference is."""

    before: float
    after: float
    esd: float
    reflections: int

    @classmethod
    def of(cls, rows: Sequence[tuple[float, float, int]]) -> "LeftOut | None":
        """Return the means of R1 before and after and of how many reflections, (tries, 3); None if a try is missing."""
        if len(rows) < TRIES:
            return None
        table = np.array(rows)
        esd = float(np.std(table[:, 1] - table[:, 0], ddof=1) / np.sqrt(TRIES))
        weight = table[:, 2] / table[:, 2].sum()
        return cls(float(weight @ table[:, 0]), float(weight @ table[:, 1]), esd, int(table[:, 2].sum()))

    @property
    def no_worse(self) -> bool:
        """Whether the change costs left-out reflections no more than chance does."""
        return self.after - self.before <= max(self.esd, LEAST_MARGIN)

    @property
    def better(self) -> bool:
        """Whether left-out reflections gain by more than chance."""
        return self.before - self.after > max(self.esd, LEAST_MARGIN)

    def __str__(self) -> str:
        return f"R1 of {self.reflections} left-out reflections {self.before:.4f} -> {self.after:.4f} ({self.esd:.4f})"


def compared(engine: LeastSquares, before: Draft, after: Draft, intensities: UniqueIntensities) -> LeftOut | None:
    """Return how a change serves reflections that neither model was fitted to; None where least squares fails.

    Both are refined without the same reflections, several times; the standard error is that of the mean of the
    differences.
    """
    rows: list[tuple[float, float, int]] = []
    for seed in range(TRIES):
        try:
            one, other = (
                engine.fit(draft, intensities, cycles=2 * QUICK_CYCLES, held_out=LEFT_OUT, seed=seed)
                for draft in (before, after)
            )
        except (DivergedError, InputError, ProgramFailedError):
            return None
        if one.r1_free is not None and other.r1_free is not None:
            rows.append((one.r1_free, other.r1_free, one.reflections_free))
    return LeftOut.of(rows)
