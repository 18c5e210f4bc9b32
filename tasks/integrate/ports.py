"""What the integration stage needs from an engine."""

from pathlib import Path
from typing import Protocol

from tasks.frames import FrameSeries
from tasks.integrate.models import Reflections


class Integrator(Protocol):
    """Indexes, integrates, scales and merges the frames of one crystal."""

    @property
    def engine(self) -> str:
        """Name of the engine."""
        ...

    def integrate(self, frames: FrameSeries, workdir: Path) -> Reflections:
        """Return merged intensities with statistics; files go into `workdir`.

        Raises
        ------
        NotIndexedError
            If no lattice explains the spots.
        ProgramNotFoundError, ProgramFailedError, ProgramTimeoutError
            If an external program is missing or fails.
        """
        ...
