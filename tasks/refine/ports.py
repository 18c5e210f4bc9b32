"""What the refinement stage needs from an engine."""

from pathlib import Path
from typing import Protocol

from tasks.integrate.models import Reflections
from tasks.model import Composition
from tasks.refine.draft import Draft, Fit, Observations
from tasks.refine.models import Refinement
from tasks.solve.models import Solution


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
    """Refines one draft: the numerics that `tasks.refine.strategy` decides about."""

    def fit(
        self,
        draft: Draft,
        observations: Observations,
        *,
        cycles: int,
        update_weights: bool = False,
        held_out: float = 0.0,
        seed: int = 0,
    ) -> Fit:
        """Return the draft after at most so many cycles.

        A part `held_out` of the reflections, chosen by `seed`, takes no part but for the fit's `r1_free`.

        Raises
        ------
        DivergedError
            If the normal equations are singular or an atom runs away.
        """
        ...
