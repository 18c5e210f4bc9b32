"""A refined model, of whatever engine, becomes a judged document."""

from typing import NamedTuple

from tasks.integrate import CellEsd, Reflections
from tasks.model import Composition
from tasks.model.provenance import Provenance
from tasks.refine.alerts.alert import Alert
from tasks.refine.claims import ClaimEvidence, claims_of, r_of_equivalents
from tasks.refine.draft import ModelFit, UniqueIntensities, density_unit
from tasks.refine.element_odds import ElementOdds, unsettled
from tasks.refine.models import RefinedAtom, Refinement, StructureFiles
from tasks.refine.restraint_models import RestraintPull
from tasks.refine.twinning import about_twin, twin_of
from tasks.refine.verdict import Grounds, judge_refined
from tasks.solve import Solution


class Concluded(NamedTuple):
    """What a refinement comes with beside the fit and the grounds."""

    data: Reflections
    solution: Solution
    warnings: tuple[str, ...]
    files: StructureFiles
    provenance: Provenance
    odds: tuple[ElementOdds, ...] = ()
    restraints: int = 0
    pulls: tuple[RestraintPull, ...] = ()
    unit_cell_esd: CellEsd | None = None
    """Of the fit alone, without the scale."""
    intensities: UniqueIntensities | None = None
    """What it was refined against, where that is known."""
    alerts: tuple[Alert, ...] = ()
    symmetry_doubts: tuple[str, ...] = ()
    """What speaks against the space group after refinement, in words."""


def concluded(fit: ModelFit, grounds: Grounds, made: Concluded) -> Refinement:
    """Return the document of a refinement with the verdict on it."""
    verdict, reasons, scale_doubt, ruling, figures = judge_refined(fit, grounds)
    if (doubt := unsettled(made.odds)) is not None:
        reasons = (*reasons, doubt)
    reasons = (*reasons, *about_twin(fit))
    recovery = grounds.recovery
    evidence = ClaimEvidence(
        solution=made.solution,
        figures=figures,
        composition=grounds.composition,
        intensities=made.intensities,
        laue_group=made.data.laue_group,
        r_equivalents=r_of_equivalents(made.data, made.intensities),
        odds=made.odds,
        rivals=grounds.rivals,
        scale_doubt=scale_doubt,
        symmetry_doubts=made.symmetry_doubts,
    )
    return Refinement(
        id=made.data.id,
        space_group=made.solution.space_group,
        hall=made.solution.hall,
        unit_cell=fit.draft.unit_cell,
        unit_cell_esd=made.unit_cell_esd,
        cell_scale=grounds.cell_scale,
        scale_doubt=scale_doubt,
        formula=Composition(counts=grounds.formula).formula(),
        atoms=refined_atoms(fit, made.odds),
        r1=fit.r1,
        r1_all=fit.r1_all,
        wr2=fit.wr2,
        goof=fit.goof,
        reflections=fit.reflections,
        reflections_observed=fit.reflections_observed,
        parameters=fit.parameters,
        restraints=made.restraints,
        pulls=made.pulls,
        scattering=fit.draft.scattering,
        shift_over_esd_max=fit.shift_over_esd_max,
        density_max=fit.density_max,
        density_min=fit.density_min,
        density_unit=density_unit(grounds.radiation),
        r1_free=None if recovery is None else recovery.r1_free,
        recovery_angstrom=None if recovery is None else recovery.displacement_angstrom,
        extinction=fit.draft.extinction,
        twin=twin_of(fit),
        solvent=fit.draft.solvent,
        weights=fit.draft.weights,
        converged=fit.converged,
        verdict=verdict,
        reasons=reasons,
        claims=claims_of(fit, ruling, evidence),
        warnings=made.warnings,
        alerts=made.alerts,
        provenance=made.provenance,
        **made.files._asdict(),
    )


def refined_atoms(fit: ModelFit, odds: tuple[ElementOdds, ...] = ()) -> tuple[RefinedAtom, ...]:
    """Return the atoms with their standard uncertainties and the odds of their elements."""
    sure = {item.label: item.odds for item in odds}
    return tuple(
        RefinedAtom(
            label=atom.label,
            element=atom.element,
            position=atom.position,
            position_esd=None if row.riding else row.position_esd,
            u_iso_angstrom2=row.u_equivalent,
            u_aniso_angstrom2=atom.u_aniso_angstrom2,
            occupancy=atom.occupancy,
            occupancy_esd=row.occupancy_esd,
            part=atom.part,
            riding=row.riding,
            element_odds=sure.get(atom.label),
        )
        for atom, row in zip(fit.draft.atoms, fit.atoms, strict=True)
    )
