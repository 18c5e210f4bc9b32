"""What the forward model starts from: a structure and its settings."""

import math
from typing import Annotated, Literal, Self

import gemmi
import numpy as np
from pydantic import Field, model_validator

from tasks.crystal.sites import site_multiplicities
from tasks.crystal.symmetry import operations_of
from tasks.model import Composition, Document, UnitCell, Vector
from tasks.simulate.camera_plan import BeamStop, CameraPlan, ManifestPlan, ScanFaults, SensorFaults

ANGSTROM_PER_NM = 10.0
"""By the definition of the angstrom, 0.1 nm."""


class StructureAtom(Document):
    """One atom of the asymmetric unit."""

    label: str
    element: str
    position: Vector = Field(description="fractional coordinates")
    u_iso_angstrom2: float = Field(default=0.02, ge=0)
    occupancy: float = Field(default=1.0, gt=0, le=1, description="chemical occupancy: 1 on a special position too")


class Structure(Document):
    """A crystal structure: cell, symmetry and the atoms of the asymmetric unit."""

    name: str
    cell: UnitCell
    hall: str = Field(description="Hall symbol of the space group")
    atoms: tuple[StructureAtom, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _known_symmetry(self) -> Self:
        gemmi.symops_from_hall(self.hall)  # raises ValueError on an unknown symbol
        return self

    @property
    def group(self) -> gemmi.GroupOps:
        """All operations of the space group."""
        return gemmi.symops_from_hall(self.hall)

    @property
    def composition(self) -> Composition:
        """Contents of the unit cell."""
        positions = np.array([atom.position for atom in self.atoms])
        copies = site_multiplicities(positions, operations_of(self.group), self.cell)
        counts: dict[str, float] = {}
        for atom, number in zip(self.atoms, copies, strict=True):
            counts[atom.element] = counts.get(atom.element, 0.0) + round(float(number) * atom.occupancy, 6)
        return Composition(counts=counts)


class TiltPlan(Document):
    """At which tilts the scans are taken."""

    start_deg: float = Field(default=-60.0, ge=-90, le=90)
    stop_deg: float = Field(default=60.0, ge=-90, le=90, description="included")
    step_deg: float = Field(default=1.0, gt=0, le=30)
    angles_deg: tuple[Annotated[float, Field(ge=-90, le=90)], ...] = Field(
        default=(), description="explicit tilts instead of start, stop and step"
    )
    jitter_deg: float = Field(default=0.0, ge=0, le=5, description="sigma of the unequal steps; known to the manifest")
    error_deg: float = Field(default=0.0, ge=0, le=5, description="sigma of true minus recorded tilt")
    gaps_deg: tuple[tuple[float, float], ...] = Field(default=(), description="(low, high) ranges without scans")
    repeats: int = Field(default=1, ge=1, le=100, description="scans at each tilt, taken one after the other")
    order: Literal["rising", "dose-symmetric"] = Field(
        default="rising",
        description="in which the scans are taken: drift and damage follow it; dose-symmetric starts at zero tilt and "
        "goes outwards to both sides in turn (Hagen et al., J. Struct. Biol. 197, 191-198, 2017)",
    )

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.stop_deg < self.start_deg:
            raise ValueError(f"stop_deg {self.stop_deg} lies below start_deg {self.start_deg}")
        return self


class ClusterPlan(Document):
    """The crystals of the cluster."""

    crystals: int = Field(default=3, ge=0, le=50, description="number of crystals")
    size_nm: float = Field(default=220.0, gt=1, le=5000, description="mean diameter")
    size_spread: float = Field(default=0.15, ge=0, le=0.5, description="relative sigma of the diameters")
    overlap: float = Field(
        default=0.15, ge=0, le=1, description="how far outlines may overlap at zero tilt, as a part of a diameter"
    )
    height_nm: float = Field(default=100.0, ge=0, le=5000, description="range of the heights of the centres")
    mosaic_deg: float = Field(default=0.3, ge=0, le=3, description="sigma of the orientations within a crystal")
    bad_fraction: float = Field(
        default=0.25, ge=0, lt=1, description="part of the volume of the first crystal that is misoriented"
    )
    bad_misorientation_deg: float = Field(default=4.0, ge=0, le=180)
    bend_deg: float = Field(
        default=0.0, ge=0, le=10, description="by how much the lattice of a crystal turns from one end to the other"
    )
    debris: int = Field(default=0, ge=0, le=200, description="amorphous balls among the crystals")
    debris_size_nm: float = Field(default=80.0, gt=1, le=5000, description="mean diameter of these")
    drift_px: float = Field(default=0.3, ge=0, le=10, description="sigma per tilt of the random walk, scan steps")
    orientations: tuple[tuple[float, float, float], ...] = Field(
        default=(), description="rotation vectors in degrees of the crystals instead of random orientations"
    )


class Instrument(Document):
    """The microscope, its detector and the scan. Frames and axes: the conventions of tasks/ingest/README.md."""

    energy_kev: float = Field(default=300.0, gt=1, le=3000)
    shape_px: tuple[Annotated[int, Field(ge=16, le=8192)], Annotated[int, Field(ge=16, le=8192)]] = (576, 576)
    pixel_size_mm: float = Field(default=0.01, gt=0, le=10)
    camera_length_mm: float = Field(default=110.0, gt=0, le=1e6)
    direct_beam_px: tuple[float, float] | None = Field(default=None, description="(slow, fast); None = the middle")
    record_direct_beam: bool = Field(default=True, description="False writes null into the manifest")
    scan_shape: tuple[Annotated[int, Field(ge=1, le=4096)], Annotated[int, Field(ge=1, le=4096)]] = (64, 64)
    step_nm: float = Field(default=10.0, gt=0, le=1000)
    flyback_columns: int = Field(default=1, ge=0, le=64)
    scan_rotation_deg: float = Field(default=0.0, ge=-360, le=360)
    tilt_axis: Vector = (1.0, 0.0, 0.0)
    scan_drift_steps: tuple[float, float] = Field(
        default=(0.0, 0.0), description="(slow, fast) steps by which the specimen moves evenly while one scan is taken"
    )
    scan_shear_steps: float = Field(
        default=0.0, ge=-64, le=64, description="steps along the fast axis of the last row of a scan against its first"
    )
    probe_nm: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="full width at half maximum of the probe, size of the source included; None: of the Airy disc of "
        "the convergence, 0.51 wavelength / semi-angle (Born & Wolf, Principles of Optics, 8.5.2). For absolute models",
    )
    convergence_mrad: float = Field(default=0.15, ge=0, le=20, description="semi-angle: radius of the discs")
    point_spread_px: float = Field(default=0.5, ge=0, le=20, description="sigma of the detector's blur")
    beam_jitter_px: float = Field(default=0.3, ge=0, le=50, description="sigma per tilt of the direct beam")
    descan_px: tuple[float, float] = Field(
        default=(0.0, 0.0), description="(slow, fast) shift of the direct beam along the whole scan's rows, columns"
    )
    ellipticity: float = Field(default=0.0, ge=0, le=0.2, description="long over short axis of a ring, less 1")
    ellipse_angle_deg: float = Field(default=30.0, description="long axis, counter-clockwise from the fast axis")
    camera: CameraPlan = CameraPlan()
    sensor: SensorFaults = SensorFaults()
    beam_stop: BeamStop | None = None
    scan_faults: ScanFaults = ScanFaults()
    manifest: ManifestPlan = ManifestPlan()

    @model_validator(mode="after")
    def _axis_has_a_length(self) -> Self:
        if not math.hypot(*self.tilt_axis) > 0:
            raise ValueError("tilt_axis has no length")
        return self

    @property
    def beam_centre_px(self) -> tuple[float, float]:
        """The nominal direct beam, (slow, fast)."""
        if self.direct_beam_px is not None:
            return self.direct_beam_px
        return ((self.shape_px[0] - 1) / 2, (self.shape_px[1] - 1) / 2)


class ScatteringPlan(Document):
    """How the electrons of one pattern are shared out.

    Two models are absolute: what a crystal scatters follows from its structure, its thickness and the energy. The
    third scales it to `bragg_fraction`; it was the first, and what was measured with it can be measured again.
    """

    electrons_per_pattern: float = Field(default=250.0, gt=0, le=1e6, description="incident electrons per position")
    d_min_angstrom: float = Field(default=0.7, gt=0.1, le=20)
    model: Literal["rescaled", "kinematical", "many-beam"] = Field(
        default="rescaled",
        description="rescaled: kinematical, scaled to bragg_fraction; kinematical: absolute; many-beam: absolute, "
        "strong beams by dynamical theory",
    )
    table: Literal["peng-1996", "mott-bethe"] = Field(
        default="peng-1996",
        description="scattering factors: International Tables C 4.3.2.2, which refinement uses too, or those of X-rays "
        "(6.1.1.4) by the Mott-Bethe formula",
    )
    beams: int = Field(default=192, ge=2, le=1000, description="many-beam: how many beams at most are taken together")
    blocks: int = Field(
        default=64, ge=1, le=1024, description="many-beam: orientations that stand for mosaic spread and convergence"
    )
    inelastic_mean_free_path_nm: float | None = Field(
        default=None,
        gt=1,
        description="in the crystals; None: no inelastic scattering; 100 to 200 at 300 keV (Iakoubovskii et al., "
        "Microsc. Res. Tech. 71, 626-631, 2008); absolute models only",
    )
    energy_loss_ev: float = Field(
        default=22.0, gt=1, le=1000, description="mean loss of an inelastic event: the angles follow from it"
    )
    debris_mean_free_path_nm: float = Field(
        default=200.0, gt=1, description="elastic, of the debris and of what the beam has made amorphous"
    )
    bragg_fraction: float = Field(
        default=0.2, ge=0, lt=1, description="rescaled: part scattered by a crystal of mean size, median orientation"
    )
    depletion: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="rescaled: 0: kinematical; 1: reflections cannot take more than the beam has",
    )
    halo_fraction: float = Field(default=0.08, ge=0, lt=0.9, description="support film, around the direct beam")
    halo_scale: float = Field(default=0.025, gt=0, le=2, description="decay of the halo, 1/angstrom")
    background_fraction: float = Field(default=0.04, ge=0, lt=0.9, description="diffuse, over the whole detector")
    background_scale: float = Field(default=0.25, gt=0, le=5, description="decay of the background, 1/angstrom")
    flattening: float = Field(
        default=0.0, ge=0, le=20, description="rescaled: two-beam dynamical flattening: Blackman's A at the mean |F|^2"
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.halo_fraction + self.background_fraction >= 1:
            raise ValueError("halo_fraction and background_fraction leave no electrons")
        if self.model != "rescaled" and (self.depletion or self.flattening):
            raise ValueError(f"depletion and flattening belong to the model 'rescaled', not to {self.model!r}")
        return self


class DamagePlan(Document):
    """What the dose does to the crystals, in the order in which the scans are taken.

    A scan's dose is its electrons per position over the area of a step; a position not scanned gets none of it.
    """

    lifetime_e_per_a2: float | None = Field(
        default=None,
        gt=0,
        description="dose after which 1/e of the crystal is left, the rest amorphous: intensities fall as exp(-D/D_e) "
        "(Hattne et al., Structure 26, 759-766, 2018); None: it does not wear",
    )
    b_factor_per_dose: float = Field(
        default=0.0,
        ge=0,
        description="growth of the displacement factor B in angstrom^2 per electron per angstrom^2: intensities fall "
        "by exp(-B/(2 d^2)) too",
    )

    @property
    def absent(self) -> bool:
        """Whether nothing is damaged."""
        return self.lifetime_e_per_a2 is None and self.b_factor_per_dose == 0


class SimulationSettings(Document):
    """Everything that decides a simulated series besides the structure."""

    seed: int = Field(default=0, ge=0)
    sample: str = Field(default="", max_length=200, description="empty = the structure's name")
    tilts: TiltPlan = TiltPlan()
    cluster: ClusterPlan = ClusterPlan()
    instrument: Instrument = Instrument()
    scattering: ScatteringPlan = ScatteringPlan()
    damage: DamagePlan = DamagePlan()

    @model_validator(mode="after")
    def _absolute_effects(self) -> Self:
        if self.scattering.model != "rescaled":
            return self
        asked = {
            "damage": not self.damage.absent,
            "cluster.bend_deg": self.cluster.bend_deg > 0,
            "cluster.debris": self.cluster.debris > 0,
            "instrument.probe_nm": self.instrument.probe_nm is not None,
            "scattering.inelastic_mean_free_path_nm": self.scattering.inelastic_mean_free_path_nm is not None,
        }
        if wrong := [name for name, is_asked in asked.items() if is_asked]:
            raise ValueError(
                f"{', '.join(wrong)}: scattering.model 'rescaled' knows no such effect; "
                "choose 'kinematical' or 'many-beam'"
            )
        return self

    @property
    def dose_e_per_a2(self) -> float:
        """Electrons per square angstrom that one scan brings to what it covers."""
        return self.scattering.electrons_per_pattern / (ANGSTROM_PER_NM * self.instrument.step_nm) ** 2
