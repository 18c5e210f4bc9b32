"""A first structure to a refined one."""

from typing import TYPE_CHECKING

from tasks.face import open_face

if TYPE_CHECKING:
    from tasks.refine.draft import (
        AtomFit,
        DensityPeak,
        Draft,
        DraftAtom,
        DraftFit,
        RidingGroup,
        RidingKind,
        UniqueIntensities,
    )
    from tasks.refine.models import RefinedAtom, Refinement, StructureFiles
    from tasks.refine.ports import LeastSquares, Refiner, StructureWriter
    from tasks.refine.structure import RefinedStructure
    from tasks.refine.task import refine_structure
else:
    __getattr__ = open_face(__name__)

__all__ = [
    "AtomFit",
    "DensityPeak",
    "Draft",
    "DraftAtom",
    "DraftFit",
    "LeastSquares",
    "RefinedAtom",
    "RefinedStructure",
    "Refinement",
    "Refiner",
    "RidingGroup",
    "RidingKind",
    "StructureFiles",
    "StructureWriter",
    "UniqueIntensities",
    "refine_structure",
]
