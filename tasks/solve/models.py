"""Structures as solved, before least squares."""

from pydantic import Field

from tasks.model import Document, UnitCell, Vector
from tasks.model.provenance import Provenance
from tasks.model.verdict import Verdict


class Atom(Document):
    """One atom of the asymmetric unit."""

    label: str
    element: str
    position: Vector = Field(description="fractional coordinates")
    u_iso_angstrom2: float = 0.03
    occupancy: float = Field(default=1.0, gt=0, le=1, description="chemical occupancy: 1 on a special position too")
    peak: float | None = Field(
        default=None, description="height of the density peak, in standard deviations of the map"
    )


class SpaceGroupTrial(Document):
    """One row of the space-group table."""

    symbol: str
    hall: str
    score: float
    r1: float | None = None
    phase_error_deg: float | None = Field(default=None, description="mean deviation of the P1 phases from the symmetry")
    reasons: tuple[str, ...] = ()


class GroupEvidence(Document):
    """How the space group of a solution compares with others of its Laue class; enantiomorphs count as one."""

    compared: int = Field(ge=0, description="other groups; 0 = the group was given")
    score: float | None = Field(default=None, description="of the phases for the group")
    rival: str | None = Field(default=None, description="the next by the phases")
    rival_score: float | None = None
    r1_left_out: float = Field(description="of the model")
    model_rival: str | None = Field(default=None, description="the group of the next model")
    model_rival_r1_left_out: float | None = None


class Solution(Document):
    """A candidate structure."""

    space_group: str = Field(description="extended Hermann-Mauguin symbol, gemmi's spelling")
    hall: str
    unit_cell: UnitCell
    to_solution_cell: tuple[Vector, Vector, Vector] = Field(
        default=((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        description="rows: the solution's hkl = matrix @ hkl of the Reflections; identity unless the setting changed",
    )
    atoms: tuple[Atom, ...]
    r1: float = Field(description="on F for I > 2 sigma after the quick isotropic fit, in [0, 1]")
    figures: dict[str, float] = {}
    groups: GroupEvidence | None = Field(default=None, description="None = an engine that does not say")
    verdict: Verdict
    reasons: tuple[str, ...] = ()


class Solutions(Document):
    """All candidates of one data set, best first."""

    id: str
    candidates: tuple[Solution, ...] = Field(min_length=1)
    space_groups: tuple[SpaceGroupTrial, ...]
    trials: int
    verdict: Verdict
    margin: str = Field(description="how far the winner is ahead, in words")
    diagnosis: tuple[str, ...] = Field(default=(), description="what the data's own statistics say")
    provenance: Provenance

    @property
    def best(self) -> Solution:
        """The first of the ranked candidates."""
        return self.candidates[0]
