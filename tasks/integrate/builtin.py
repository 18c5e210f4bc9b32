"""The built-in integrator: still tilts and rotations, with no external program."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from tasks.frames import FrameSeries
from tasks.integrate.models import Reflections
from tasks.integrate.settings import IntegrationSettings
from tasks.model.provenance import Provenance


class BuiltinIntegrator(IntegrationSettings):
    """Index, integrate and scale with the built-in kinematical still-tilt model."""

    engine: Literal["builtin"] = "builtin"

    def integrate(self, frames: FrameSeries, workdir: Path) -> Reflections:
        """Return merged intensities with statistics; files go into ``workdir``.

        Raises
        ------
        NotIndexedError
            If there are too few spots or no lattice explains them.
        InputError
            If the frames are empty or not as the series says.
        """
        from tasks.integrate.integration_run import run_integration

        return run_integration(frames, self, workdir, provenance=self._provenance(frames))

    def _provenance(self, frames: FrameSeries) -> Provenance:
        parameters = {
            name: value if isinstance(value, str | int | float | bool | None) else str(value)
            for name, value in self.model_dump(exclude={"engine", "seed", "known_cell"}).items()
        }
        parameters["known_cell"] = None if self.known_cell is None else str(self.known_cell.parameters)
        try:
            release = version("apertura")
        except PackageNotFoundError:
            release = "unknown"
        return Provenance(
            engine=self.engine,
            version=release,
            parameters=parameters,
            inputs={"stack": frames.stack.sha256},
            seed=self.seed,
        )
