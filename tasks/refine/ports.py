"""What the refinement stage needs from an engine."""

from pathlib import Path
from typing import Protocol

from tasks.integrate import Reflections
from tasks.model import Composition
from tasks.refine.draft import Draft, DraftFit, UniqueIntensities
from tasks.refine.models import Refinement, StructureFiles
from tasks.refine.observed import ReindexedIntensities
from tasks.refine.solvent_mask import SolventMask
from tasks.refine.structure import RefinedStructure
from tasks.solve import Solution


class Refiner(Protocol):
    """Completes a model and refines it against F^2."""

    @property
    def engine(self) -> str:
        """Name of the engine."""
        ...

    def refine(
        self, data: Reflections, solution: Solution, composition: Composition | None, workdir: Path
    ) -> Refinement:
        """Return the refined model; files go into `workdir`.

        Raises
        ------
        DivergedError
            If least squares runs away.
        """
        ...


class LeastSquares(Protocol):
    """The numerics that `tasks.refine.chain` decides about."""

    @property
    def program(self) -> str:
        """Name and version of what computes, known after the first answer."""
        ...

    def merged(
        self, data: Reflections, solution: Solution, table: ReindexedIntensities, d_min_angstrom: float | None
    ) -> UniqueIntensities:
        """Merge intensities of `data`, in the axes of the solution, under its space group, absences left out.

        Friedel mates are merged for electrons, kept apart for X-rays.

        Raises
        ------
        InputError
            If no reflection is left.
        """
        ...

    def fit(
        self,
        draft: Draft,
        intensities: UniqueIntensities,
        *,
        cycles: int,
        update_weights: bool = False,
        held_out: float = 0.0,
        seed: int = 0,
    ) -> DraftFit:
        """Return the draft after at most so many cycles.

        A part `held_out` of the reflections, chosen by `seed`, takes no part but for the fit's `r1_free`.

        Raises
        ------
        DivergedError
            If the normal equations are singular or an atom runs away.
        """
        ...

    def solvent(self, draft: Draft, intensities: UniqueIntensities) -> SolventMask | None:
        """Return what fills the pores of a draft as it stands, None without a pore that holds something.

        A fit of a draft with a mask adds it to F(calc); one that holds reflections out makes the mask anew without
        them.
        """
        ...


class StructureWriter(Protocol):
    """Writes a refined structure for people and programs."""

    def __call__(self, structure: RefinedStructure, workdir: Path) -> StructureFiles:
        """Write CIF, RES, INS, HKL and FCF into `workdir`; the reflections are those that were refined against."""
        ...
