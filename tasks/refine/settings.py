"""What a refinement by our own least squares can be told."""

from typing import Literal

from pydantic import Field

from tasks.crystal.scattering_tables import ScatteringTable
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
    refine_hydrogens: bool = Field(
        default=True, description="refine hydrogen where the data bear it and left-out reflections gain"
    )
    solvent_mask: Literal["auto", "off", "on"] = Field(
        default="auto", description="what fills pores as a mask in F(calc): where left-out reflections gain from it"
    )
    disorder: bool = Field(default=True, description="split and partly occupied sites where left-out reflections gain")
    twins: bool = Field(default=True, description="try twin laws of the lattice where R1 asks for it")
    extinction: bool = Field(default=True, description="refine extinction where it pays")
    scattering: ScatteringTable | None = Field(
        default=None, description="table of scattering factors; None = peng-1996 for electrons, it1992 for X-rays"
    )
    ions: str = Field(
        default="", description="with peng-1998-ions: which ion an element is, as 'Na+ Cl-'; others are neutral"
    )
    direction_scale: bool = Field(
        default=False, description="correct for a smooth scale by direction where left-out reflections gain from it"
    )
    restraints: Literal["auto", "none", "all"] = Field(
        default="auto",
        description="chemistry's restraints: auto = with fewer than 8 reflections per parameter; all = also with more; "
        "kept only where left-out reflections do not suffer",
    )
    fits: int = Field(default=150, ge=1, le=100000, description="most runs of least squares for changes of the model")
    missed_symmetry: bool = Field(
        default=True, description="refine in a higher space group that the atoms obey, and take it where the data allow"
    )
