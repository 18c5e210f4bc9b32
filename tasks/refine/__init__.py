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
        UniqueIntensities,
    )
    from tasks.refine.geometry import Contact, bonds
    from tasks.refine.hydrogens import with_hydrogens
    from tasks.refine.models import RefinedAtom, Refinement, StructureFiles
    from tasks.refine.observed import ReindexedIntensities
    from tasks.refine.parameters import U_CEILING_ANGSTROM2, U_FLOOR_ANGSTROM2
    from tasks.refine.ports import LeastSquares, Refiner, StructureWriter
    from tasks.refine.settings import RefineSettings
    from tasks.refine.shelx_factors import four_gaussians
    from tasks.refine.structure import RefinedStructure
    from tasks.refine.task import refine_structure
    from tasks.refine.weighting import best_weights
else:
    __getattr__ = open_face(__name__)

__all__ = [
    "U_CEILING_ANGSTROM2",
    "U_FLOOR_ANGSTROM2",
    "Alert",
    "AtomFit",
    "Contact",
    "DensityPeak",
    "Draft",
    "DraftAtom",
    "DraftFit",
    "LeastSquares",
    "ModelFit",
    "RefineSettings",
    "RefinedAtom",
    "RefinedStructure",
    "Refinement",
    "Refiner",
    "ReindexedIntensities",
    "RidingGroup",
    "RidingKind",
    "StructureFiles",
    "StructureWriter",
    "Tensor",
    "UniqueIntensities",
    "best_weights",
    "bonds",
    "four_gaussians",
    "principal_displacements",
    "refine_structure",
    "refined_elsewhere",
    "refinement",
    "with_hydrogens",
]
