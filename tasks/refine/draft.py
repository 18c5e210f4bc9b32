"""What one run of least squares takes and gives: the model between two steps of a refinement."""

from typing import Literal

from pydantic import Field

from tasks.crystal.scattering import Radiation
from tasks.crystal.scattering_tables import DEFAULT, ScatteringTable, element_of
from tasks.model import Document, FileRef, UnitCell, Vector
from tasks.refine.restraint_models import Restraint, RestraintPull
from tasks.refine.solvent_mask import SolventMask

Tensor = tuple[float, float, float, float, float, float]
"""U11 U22 U33 U12 U13 U23 in angstrom^2, on the CIF's reciprocal-axes basis."""

RidingKind = Literal[
    "tertiary-xh", "secondary-xh2", "planar-xh", "methyl", "terminal-planar-xh2", "linear-xh", "hydroxyl"
]


class DraftAtom(Document):
    """One atom of the asymmetric unit and what of it is refined."""

    label: str
    element: str
    position: Vector
    u_iso_angstrom2: float = 0.03
    u_aniso_angstrom2: Tensor | None = None
    occupancy: float = Field(default=1.0, description="chemical occupancy: 1 on a special position too")
    refine_position: bool = True
    refine_u: bool = True
    part: int = Field(
        default=0,
        ge=-9,
        le=9,
        description="SHELXL's PART: atoms of different parts are never there together; of a negative one, nor an atom "
        "and its images",
    )
    occupancy_group: str | None = Field(
        default=None,
        pattern=r"^-?[a-z0-9]+$",
        description="atoms of one group share one refined occupancy; those of the group with a minus before its name "
        "have the rest to one",
    )
    u_as: str | None = Field(default=None, description="label of the atom whose displacements it shares")


class RidingGroup(Document):
    """Hydrogen atoms whose places follow from the geometry of the atom that carries them."""

    kind: RidingKind
    pivot: str = Field(description="label of the atom that carries the hydrogen atoms")
    hydrogens: tuple[str, ...] = Field(min_length=1, max_length=3, description="their labels")
    bond_length_angstrom: float = Field(gt=0.5, lt=2)
    u_ratio: float = Field(default=1.2, description="U of the hydrogen over the equivalent U of the pivot")


class TwinComponent(Document):
    """One of the crystals of a twin by (pseudo-)merohedry."""

    law: tuple[Vector, Vector, Vector] = Field(
        description="rows: what it diffracts at hkl is what the first diffracts at law @ hkl, as in SHELXL's TWIN"
    )
    fraction: float = Field(ge=0, le=1, description="of the volume; those of all components sum to 1")


class Draft(Document):
    """A structure between two steps of a refinement."""

    hall: str
    unit_cell: UnitCell
    atoms: tuple[DraftAtom, ...]
    riding: tuple[RidingGroup, ...] = ()
    domains: tuple[float, ...] = Field(
        default=(), description="fractions of the domains of a non-merohedral twin, the first included; they sum to 1"
    )
    twin: tuple[TwinComponent, ...] = Field(
        default=(),
        description="none, or two and more: the first is the crystal itself, fractions beside it are refined",
    )
    scattering: ScatteringTable | None = Field(default=None, description="None = that of the radiation")
    ions: tuple[str, ...] = Field(default=(), description="which ion the atoms of an element are, one an element")
    restraints: tuple[Restraint, ...] = Field(default=(), description="what chemistry says of the atoms")
    extinction: float | None = Field(default=None, description="SHELXL's EXTI, refined when it is not None")
    refine_extinction: bool = Field(default=True, description="False holds the extinction at its value")
    weights: tuple[float, float] = Field(default=(0.1, 0.0), description="a and b of SHELXL's weighting scheme")
    scale: float | None = Field(default=None, description="of F(calc)^2 to F(obs)^2; None = found from the data")
    solvent: SolventMask | None = Field(default=None, description="what fills the pores, beside the atoms")

    @property
    def elements(self) -> tuple[str, ...]:
        """The kinds of atom, sorted."""
        return tuple(sorted({atom.element for atom in self.atoms}))

    def scatterer(self, element: str) -> str:
        """Return the ion that the atoms of an element are, or the element."""
        return next((ion for ion in self.ions if element_of(ion) == element), element)

    def table(self, radiation: Radiation) -> ScatteringTable:
        """Return the table of scattering factors."""
        return self.scattering or DEFAULT[radiation]


class AtomFit(Document):
    """What least squares knows of one atom beyond its values."""

    label: str
    position_esd: Vector | None = None
    u_esd: tuple[float, ...] | None = Field(default=None, description="one value, or six of an anisotropic atom")
    u_min_eigenvalue: float = Field(description="smallest principal mean square displacement, angstrom^2")
    u_max_eigenvalue: float
    u_equivalent: float
    multiplicity: int = Field(description="atoms of this site in the cell")
    riding: bool = Field(default=False, description="whether its place follows from that of the atom that carries it")
    occupancy_esd: float | None = None


DensityUnit = Literal["e/A^3", "A/A^3"]


def density_unit(radiation: Radiation) -> DensityUnit:
    """Return the unit of a density: that of the scattering factors, per angstrom^3.

    Electrons for X-rays, angstrom of scattering length for electrons. SHELXL's maps are in the latter too when its SFAC
    lines are electron scattering factors, whatever its listing calls it. Times 47.88 V A^2 it is a potential in volts.
    """
    return "A/A^3" if radiation == "electron" else "e/A^3"


class DensityPeak(Document):
    """A maximum of the difference density."""

    position: Vector
    height: float = Field(description="in the unit of `density_unit`")
    height_sigma: float = Field(description="the same in units of the standard deviation of the map")


class ModelFit(Document):
    """A model after least squares by whatever engine, with the figures that it is judged by."""

    draft: Draft
    atoms: tuple[AtomFit, ...]
    r1: float
    r1_all: float
    wr2: float
    goof: float
    reflections: int
    reflections_observed: int
    parameters: int
    shift_over_esd_max: float
    shift_over_esd_at: str = ""
    converged: bool
    hooft: tuple[float, float] | None = Field(
        default=None, description="Hooft's y, 0 for this hand and 1 for the other, and its esd; None = no Friedel pairs"
    )
    density_max: float = Field(description="of the difference density, in the unit of `density_unit`")
    density_min: float


class DraftFit(ModelFit):
    """The result of one run of our least squares from a draft: with what the next step needs.

    ``table`` is an .npz file with ``hkl`` (n, 3) int32, ``f_sq_obs``, ``sigma``, ``f_sq_calc`` and ``phase_deg`` (n,),
    intensities on the absolute scale; ``f_sq_obs`` may be negative; ``f_sq_calc`` includes extinction. Of a twin they
    are those of the first component: ``f_sq_obs`` is shared out in the proportions of F(calc)^2, as SHELXL does.
    """

    cycles: int
    peaks: tuple[DensityPeak, ...]
    holes: tuple[DensityPeak, ...] = Field(default=(), description="the deepest first, heights positive")
    density_rms: float
    r1_free: float | None = Field(default=None, description="R1 of the observed reflections that were held out")
    reflections_free: int = 0
    extinction_esd: float | None = None
    twin_esd: tuple[float, ...] = Field(default=(), description="of the fractions beside the first")
    goof_restrained: float | None = Field(default=None, description="restraints included; None without any")
    deviations: tuple[tuple[float, ...], ...] = Field(
        default=(), description="of each restraint, actual less target or the difference; empty where it says nothing"
    )
    pulls: tuple[RestraintPull, ...] = Field(default=(), description="of the draft's restraints, by their kinds")
    riding_refused: tuple[str, ...] = Field(default=(), description="pivots whose surroundings do not fit their group")
    table: FileRef

    @property
    def restraints(self) -> int:
        """How many equations the restraints added."""
        return sum(pull.count for pull in self.pulls)


class UniqueIntensities(Document):
    """What a structure is refined against: intensities merged under its space group, absences left out.

    ``table`` is an .npz file with ``hkl`` (n, 3) int32, ``intensity`` and ``sigma`` (n,).
    """

    table: FileRef
    overlaps: FileRef | None = Field(
        default=None,
        description=".npz of `DomainOverlaps` of a non-merohedral twin: refined against in place of `table`",
    )
    radiation: Radiation
    wavelength_angstrom: float
    friedel_merged: bool
    unique: int
    measured: int
    r_int: float | None
    completeness: float
    d_min_angstrom: float
    absences: int = Field(description="measured reflections that the space group forbids")
    absences_violated: int = Field(description="of these, unique ones with I > 3 sigma")
    direction_scale: str | None = Field(default=None, description="in words, the correction by direction; None = none")
