"""What least squares is told beside the data, and how hard that pulls."""

from typing import Literal

from pydantic import Field

from tasks.model import Document

RestraintKind = Literal[
    "distance", "one-three distance", "equal distances", "plane", "similar displacements", "rigid bond"
]
"""SHELXL's DFIX, DANG, SADI, FLAT, SIMU and RIGU."""
RESTRAINT_KINDS: tuple[RestraintKind, ...] = (
    "distance",
    "one-three distance",
    "equal distances",
    "plane",
    "similar displacements",
    "rigid bond",
)
"""In the order in which they are listed."""


class RestrainedPair(Document):
    """An atom and an image of another under the space group."""

    first: str = Field(description="label")
    second: str = Field(description="label of the atom that the operation is applied to")
    operation: str = Field(default="x,y,z", description="of the second atom, as in International Tables")

    @property
    def whole(self) -> bool:
        """Whether both stand in the asymmetric unit."""
        return self.operation == "x,y,z"


class Restraint(Document):
    """One statement of chemistry that the model should obey within its standard uncertainty."""

    kind: RestraintKind
    pairs: tuple[RestrainedPair, ...] = Field(default=(), description="one; of equal distances all")
    atoms: tuple[str, ...] = Field(default=(), description="labels of a plane's atoms, four at least")
    target_angstrom: float | None = Field(default=None, gt=0.5, lt=10, description="of a distance")
    esd: float = Field(gt=0, description="angstrom of distances, angstrom^3 of a plane, angstrom^2 of displacements")
    why: str = Field(description="what chemistry it stands for")

    @property
    def labels(self) -> tuple[str, ...]:
        """All atoms that it names."""
        return self.atoms or tuple(label for pair in self.pairs for label in (pair.first, pair.second))


class RestraintPull(Document):
    """How far the refined model stands from its restraints of one kind."""

    kind: RestraintKind
    count: int = Field(description="equations that they add to least squares")
    rms_over_esd: float = Field(description="root mean square of the deviations over their standard uncertainties")
    worst_over_esd: float
    worst_at: str = Field(description="the atoms of the largest deviation")

    def __str__(self) -> str:
        plural = {"plane": "volumes of planes", "similar displacements": "similar displacements"}
        name = plural.get(self.kind, self.kind if self.kind.endswith("s") else f"{self.kind}s")
        off = f"r.m.s. deviation {self.rms_over_esd:.1f} esd, largest {self.worst_over_esd:.1f} at {self.worst_at}"
        return f"{self.count} {name}: {off}"


def tetrahedra(atoms: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the fours of a plane's atoms whose volumes should vanish: the first three, which span it, and another."""
    return [(*atoms[:3], other) for other in atoms[3:]]
