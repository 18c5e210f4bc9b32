"""The built-in integrator: still tilts and rotations, with no external program."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pydantic import Field

from tasks.frames.models import FrameSeries
from tasks.integrate.models import Reflections
from tasks.model import Document, UnitCell
from tasks.model.provenance import Provenance


class BuiltinIntegrator(Document):
    """Index, integrate and scale with the built-in kinematical still-tilt model."""

    engine: Literal["builtin"] = "builtin"
    d_min_angstrom: float | None = Field(
        default=None, gt=0.1, le=20, description="high-resolution limit; None = where I/sigma falls below its limit"
    )
    d_max_angstrom: float = Field(default=60.0, gt=1, le=1000, description="low-resolution limit")
    least_i_over_sigma: float = Field(
        default=1.0, ge=0, le=20, description="mean I/sigma of a shell that sets the limit if none is given"
    )
    known_cell: UnitCell | None = Field(
        default=None, description="the cell, if it is known: the lattice must match, the camera length is tied to it"
    )
    max_cell_angstrom: float = Field(
        default=45.0, gt=2, le=200, description="longest axis of the primitive cell sought"
    )
    spot_significance: float = Field(default=5.0, ge=3, le=20, description="Poisson significance of a spot")
    min_spots: int = Field(default=25, ge=6, description="fewer spots are not indexed")
    min_indexed_fraction: float = Field(default=0.3, gt=0, le=1, description="a lattice that explains less is refused")
    axis_search_deg: float = Field(default=12.0, ge=0, le=45, description="error of the axis azimuth that is searched")
    refine_axis: bool = Field(default=True, description="refine the azimuth of the rotation axis")
    refine_ellipse: bool = Field(
        default=True, description="refine elliptical distortion where the crystal system or a known cell allows it"
    )
    seed: int = Field(default=0, ge=0, description="seed of random choices")

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
