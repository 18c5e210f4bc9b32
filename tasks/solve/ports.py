"""What the solution stage needs from an engine."""

from pathlib import Path
from typing import Protocol

from tasks.integrate import Reflections
from tasks.model import Composition
from tasks.solve.models import Solutions


class Solver(Protocol):
    """Finds phases, space group and a first model."""

    @property
    def engine(self) -> str:
        """Name of the engine."""
        ...

    def solve(self, data: Reflections, composition: Composition | None, workdir: Path) -> Solutions:
        """Return ranked candidates; files go into `workdir`.

        Raises
        ------
        NoSolutionError
            If there is no candidate at all; a poor one is returned with its verdict.
        """
        ...
