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
    extinction: bool = Field(default=True, description="refine extinction where it pays")
    fits: int = Field(default=150, ge=1, le=100000, description="most runs of least squares for changes of the model")
    missed_symmetry: bool = Field(
        default=True, description="refine in a higher space group that the atoms obey, and take it where the data allow"
    )
