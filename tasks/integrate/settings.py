"""What the built-in integrator can be told."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from tasks.model import Document, UnitCell


class IntegrationSettings(Document):
    """What is searched, what is refined, and how far the data go."""

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
    second_domain: bool = Field(
        default=True, description="look for a second lattice of the same kind (a twin), and integrate both together"
    )
    seed: int = Field(default=0, ge=0, description="seed of random choices")


class PatchworkSettings(Document):
    """Which crystals are joined into one set of intensities."""

    clusters: tuple[Annotated[tuple[str, ...], Field(min_length=2, max_length=1000)], ...] = Field(
        default=(),
        max_length=100,
        description="names of crystals that may be joined, each set for itself; none: all are tried with each other",
    )
    index_faint: bool = Field(
        default=True,
        description="index crystals that join no others, or do not index alone, by the cell and orientation of others",
    )

    @model_validator(mode="after")
    def _no_crystal_twice(self) -> Self:
        named = [name for names in self.clusters for name in names]
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)}: named more than once")
        return self
