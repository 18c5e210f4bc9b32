"""A first structure to a refined one."""

from typing import TYPE_CHECKING

from tasks.face import open_face

if TYPE_CHECKING:
    from tasks.refine.alerts.alert import Alert
    from tasks.refine.chain import refined_elsewhere, refinement
    from tasks.refine.displacement import principal_displacements
    from tasks.refine.draft import (
        AtomFit,
        DensityPeak,
        Draft,
        DraftAtom,
        DraftFit,
        ModelFit,
        RidingGroup,
        RidingKind,
        Tensor,
        TwinComponent,
        UniqueIntensities,
    )
    from tasks.refine.geometry import Contact, bonds
    from tasks.refine.hydrogens import with_hydrogens
    from tasks.refine.misfits import FittedIntensities, Misfit, worst_fits
    from tasks.refine.models import RefinedAtom, Refinement, StructureFiles
    from tasks.refine.observed import ReindexedIntensities
    from tasks.refine.parameters import U_CEILING_ANGSTROM2, U_FLOOR_ANGSTROM2
    from tasks.refine.pores import densest_liquid, pore_density
    from tasks.refine.ports import LeastSquares, Refiner, StructureWriter
    from tasks.refine.restraint_models import (
        RESTRAINT_KINDS,
        RestrainedPair,
        Restraint,
        RestraintKind,
        RestraintPull,
        tetrahedra,
    )
    from tasks.refine.settings import RefineSettings
    from tasks.refine.shelx_factors import four_gaussians, four_gaussians_of
    from tasks.refine.solvent_mask import (
        PROBE_ANGSTROM,
        SMALLEST_VOID_ANGSTROM3,
        SolventMask,
        Void,
        solvent_in_words,
    )
    from tasks.refine.structure import RefinedStructure
    from tasks.refine.structure_agreement import Agreement, CalculatedIntensities, agreement
    from tasks.refine.task import refine_structure
    from tasks.refine.twinning import twin_components
    from tasks.refine.weighting import best_weights
else:
    __getattr__ = open_face(__name__)

__all__ = [
    "PROBE_ANGSTROM",
    "RESTRAINT_KINDS",
    "SMALLEST_VOID_ANGSTROM3",
    "U_CEILING_ANGSTROM2",
    "U_FLOOR_ANGSTROM2",
    "Agreement",
    "Alert",
    "AtomFit",
    "CalculatedIntensities",
    "Contact",
    "DensityPeak",
    "Draft",
    "DraftAtom",
    "DraftFit",
    "FittedIntensities",
    "LeastSquares",
    "Misfit",
    "ModelFit",
    "RefineSettings",
    "RefinedAtom",
    "RefinedStructure",
    "Refinement",
    "Refiner",
    "ReindexedIntensities",
    "RestrainedPair",
    "Restraint",
    "RestraintKind",
    "RestraintPull",
    "RidingGroup",
    "RidingKind",
    "SolventMask",
    "StructureFiles",
    "StructureWriter",
    "Tensor",
    "TwinComponent",
    "UniqueIntensities",
    "Void",
    "agreement",
    "best_weights",
    "bonds",
    "densest_liquid",
    "four_gaussians",
    "four_gaussians_of",
    "pore_density",
    "principal_displacements",
    "refine_structure",
    "refined_elsewhere",
    "refinement",
    "solvent_in_words",
    "tetrahedra",
    "twin_components",
    "with_hydrogens",
    "worst_fits",
]
