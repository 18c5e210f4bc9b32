"""What the built-in solvers can be told."""

from pydantic import Field

from tasks.model import Document


class SolveSettings(Document):
    """What both engines have in common."""

    seed: int = Field(default=0, ge=0, description="seed of all random numbers")
    trials: int | None = Field(
        default=None, ge=1, le=100000, description="most phasing trials; None = by the size of the cell"
    )
    batch: int = Field(default=4, ge=1, le=1000, description="trials between two attempts to build models")
    time_limit_s: float = Field(
        default=1800.0,
        gt=0,
        le=86400,
        description="a guard: no new trials after so much CPU time, and the result says so; trials are the effort",
    )
    workers: int | None = Field(
        default=None, ge=1, le=256, description="processes for the trials; None = by the cores, up to 4"
    )
    space_group: str | None = Field(default=None, description="take this group, do not search; as in 'P 1 21/c 1'")
    d_min_angstrom: float | None = Field(
        default=None, gt=0.3, le=3, description="resolution limit; None = from the data"
    )
    cycles: int = Field(default=30, ge=1, le=1000, description="recycling turns per model")
    turns_in_group: int = Field(
        default=250, ge=0, le=100000, description="turns of a dual-space trial in a likely space group; 0 = P1 only"
    )
