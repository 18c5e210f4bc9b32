"""Refined structures."""

from typing import NamedTuple

from pydantic import Field

from tasks.integrate import CellEsd, CellScale
from tasks.model import Document, FileRef, UnitCell, Vector
from tasks.model.claims import Claims
from tasks.model.provenance import Provenance
from tasks.model.twin import Twin
from tasks.model.verdict import Verdict
from tasks.refine.alerts.alert import Alert
from tasks.refine.draft import DensityUnit
from tasks.refine.restraint_models import RestraintPull
from tasks.refine.solvent_mask import SolventMask


class RefinedAtom(Document):
    """One atom of the asymmetric unit after least squares."""

    label: str
    element: str
    position: Vector
    position_esd: Vector | None = None
    u_iso_angstrom2: float
    u_aniso_angstrom2: tuple[float, float, float, float, float, float] | None = Field(
        default=None, description="U11 U22 U33 U12 U13 U23"
    )
    occupancy: float = 1.0
    occupancy_esd: float | None = None
    part: int = Field(default=0, description="of a disorder: atoms of different parts are never there together")
    riding: bool = False
    element_odds: float | None = Field(
        default=None, ge=0, le=1, description="odds of the element against the others of the composition"
    )


class StructureFiles(NamedTuple):
    """The files of a refined structure."""

    cif: FileRef
    res: FileRef
    ins: FileRef
    hkl: FileRef
    fcf: FileRef
    fab: FileRef | None = None


class Refinement(Document):
    """The result of least squares on F^2, judged."""

    id: str
    space_group: str
    hall: str
    unit_cell: UnitCell
    unit_cell_esd: CellEsd | None = Field(default=None, description="of the fit alone, without the scale")
    cell_scale: CellScale | None = Field(default=None, description="None = not known")
    scale_doubt: str | None = Field(default=None, description="what speaks against the scale of all lengths, in words")
    formula: str = Field(description="contents of the asymmetric unit times symmetry over Z, Hill order")
    atoms: tuple[RefinedAtom, ...]
    r1: float = Field(description="on F for I > 2 sigma")
    r1_all: float
    wr2: float
    goof: float
    reflections: int = Field(description="unique reflections used")
    reflections_observed: int = Field(description="with I > 2 sigma")
    parameters: int
    restraints: int = 0
    scattering: str | None = Field(default=None, description="table of scattering factors; None = not known")
    pulls: tuple[RestraintPull, ...] = Field(default=(), description="of the restraints, by their kinds")
    shift_over_esd_max: float
    density_max: float = Field(description="highest peak of the difference density, in `density_unit`")
    density_min: float
    density_unit: DensityUnit | None = Field(
        default=None, description="electrons (X-rays) or angstrom of scattering length (electrons) per angstrom^3"
    )
    r1_free: float | None = Field(
        default=None, description="R1 of reflections held out while the shaken structure was refined again"
    )
    recovery_angstrom: float | None = Field(
        default=None, description="how far from where it was the shaken structure came to rest, root mean square"
    )
    extinction: float | None = None
    twin: Twin | None = Field(default=None, description="None = a single crystal")
    solvent: SolventMask | None = Field(default=None, description="what fills the pores and is no atoms")
    weights: Vector | tuple[float, float] = (0.1, 0.0)
    converged: bool
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    claims: Claims | None = Field(default=None, description="what is claimed, part by part")
    warnings: tuple[str, ...] = ()
    alerts: tuple[Alert, ...] = Field(default=(), description="of validation, A before B before C")
    cif: FileRef
    res: FileRef
    ins: FileRef
    hkl: FileRef
    fcf: FileRef
    fab: FileRef | None = Field(default=None, description="the mask of the pores, as SHELXL's ABIN reads it")
    provenance: Provenance
