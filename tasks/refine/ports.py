"""What the refinement stage needs from an engine."""

from pathlib import Path
from typing import Protocol

from tasks.integrate.models import Reflections
from tasks.model import Composition
from tasks.refine.models import Refinement
from tasks.solve.models import Solution


class Refiner(Protocol):
    """Completes a model and refines it against F^2."""

    engine: str

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
