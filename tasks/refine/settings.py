"""What a refinement by our own least squares can be told."""

from pydantic import Field

from tasks.model import Document


class RefineSettings(Document):
    """What a refinement may do beside moving atoms, and against which data."""

    d_min_angstrom: float | None = Field(
        default=None, gt=0.1, le=5, description="leave out data beyond; None = beyond where they fade"
    )
    completion_rounds: int = Field(default=8, ge=0, le=50, description="rounds of dropping, assigning, adding atoms")
    reassign: bool = Field(default=True, description="choose elements anew by fit and composition")
    anisotropic: bool = Field(default=True, description="anisotropic displacements where the data allow")
    hydrogens: bool = Field(default=True, description="riding hydrogen atoms where the geometry is clear")
    twins: bool = Field(default=True, description="try twin laws of the lattice where R1 asks for it")
    extinction: bool = Field(default=True, description="refine extinction where it pays")
