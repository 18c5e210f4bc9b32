"""What the DIALS engine can be told."""

from typing import Self

from pydantic import Field, model_validator

from tasks.model import Document, UnitCell


class DialsSettings(Document):
    """Limits of resolution and of what counts as indexed, what is known of the cell, and means of computing."""

    d_min_angstrom: float | None = Field(
        default=None, gt=0, le=20, description="high-resolution limit; None = where the intensities say nothing more"
    )
    d_max_angstrom: float | None = Field(
        default=None, gt=0, description="spots at lower resolution are not searched, to keep out the halo"
    )
    known_cell: UnitCell | None = Field(default=None, description="unit cell, if it is known")
    space_group: str | None = Field(default=None, description="space group of `known_cell`, if it is known")
    min_spots: int = Field(default=20, ge=6, description="fewer spots are not indexed")
    min_indexed_fraction: float = Field(default=0.25, gt=0, le=1, description="of the spots, by one lattice")
    nproc: int = Field(
        default=1, ge=1, le=256, description="processes of each program; the last digits of DIALS depend on it"
    )
    timeout_s: float = Field(default=3600, gt=0, description="wall time of each program")

    @model_validator(mode="after")
    def _cell_with_group(self) -> Self:
        if self.space_group is not None and self.known_cell is None:
            raise ValueError("space_group needs known_cell: a symbol means nothing without its axes")
        return self
