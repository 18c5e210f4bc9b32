"""Integrated intensities with their statistics."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.model import Document, FileRef, UnitCell, Vector
from tasks.model.provenance import Provenance

if TYPE_CHECKING:
    from tasks.integrate.reflection_file import Merged, Unmerged


class ShellStatistics(Document):
    """Merging statistics of one resolution range; fractions in [0, 1], None where they cannot be computed."""

    d_max_angstrom: float
    d_min_angstrom: float
    observations: int
    unique: int
    completeness: float
    multiplicity: float
    i_over_sigma: float | None = Field(description="mean I/sigma(I) of the merged intensities")
    r_meas: float | None
    r_pim: float | None
    cc_half: float | None
    cc_half_events: float | None = Field(default=None, description="CC1/2 between the two halves of the events")


CellEsd = tuple[float, float, float, float, float, float]
"""Of a, b, c (angstrom), alpha, beta, gamma (degrees)."""


class CellScale(Document):
    """How well the one scale of all lengths is known, which no residual of the fit shows."""

    relative_esd: float = Field(gt=0, description="of all lengths together, over themselves")
    source: Literal["stated", "assumed", "known cell"] = Field(
        description="where that is from: the manifest, 0.01 for want of it, or a cell that calibrates the camera length"
    )
    camera_length_mm: float = Field(gt=0, description="by which the cell was measured, or that a known cell asks for")
    stated_camera_length_mm: float = Field(gt=0, description="of the manifest")
    stated_relative_error: float = Field(gt=0, description="sigma of the manifest's, or 0.01")
    curvature_ratio: float | None = Field(
        default=None, gt=0, description="camera length by the curvature of the Ewald sphere over the one used"
    )
    curvature_relative_esd: float | None = Field(default=None, gt=0, description="of `curvature_ratio`")


class SpaceGroupCandidate(Document):
    """A space group that the intensities allow, and how well."""

    symbol: str = Field(description="extended Hermann-Mauguin symbol with spaces, as gemmi writes it: 'F m -3 m'")
    hall: str
    score: float = Field(description="higher is better; comparable within one list only")
    reasons: tuple[str, ...] = ()


class AxisTest(Document):
    """The two senses of the rotation axis, tried, with the evidence."""

    axis: Vector = Field(description="the winner")
    reversed: bool = Field(description="whether the winner is opposite to the axis that was given")
    indexed_fraction: tuple[float, float] = Field(description="(as given, reversed)")
    rmsd_px: tuple[float | None, float | None]
    verdict: str


class CountingLoss(Document):
    """How the camera counted electrons, and what that cost; measurements are of one reflection on one frame."""

    stated: str | None = Field(description="by the manifest; None = not stated")
    found: str = Field(description="'all electrons', or the local maxima that were counted")
    frames_per_position: float = Field(ge=0, description="camera frames for each scan position")
    worst_loss: float = Field(ge=0, le=1, description="largest share of a spot's electrons that was not counted")
    corrected: int = Field(default=0, ge=0, description="measurements corrected by 2 % or more")
    set_aside: int = Field(default=0, ge=0, description="measurements too full to be corrected")
    uncorrected: float = Field(default=0.0, ge=0, le=1, description="largest loss in what is used, uncorrected")
    missing: tuple[tuple[int, int, int], ...] = Field(
        default=(), description="unique reflections that were set aside wherever they were measured"
    )
    agreement: float | None = Field(
        default=None, description="measurements corrected much over those corrected little, of the same reflections"
    )


class DiscFigures(Document):
    """The discs of a convergent beam, and how much they overlap."""

    radius_px: float
    edge_px: float
    stated_px: float | None = Field(description="radius that the manifest's convergence makes; None = not stated")
    scans: int = Field(description="scans whose direct beam shows the radius; 0 = the manifest's is taken")
    overlapped_share: float = Field(ge=0, le=1, description="of the measurements, discs that overlap others")
    set_aside: int = Field(ge=0, description="discs so much on others that their share of the electrons is not told")
    measurements: int = Field(ge=0, description="discs near the sphere")


class DamagePoint(Document):
    """How much of the intensity at 1 angstrom was left, by the frames of one part of a series."""

    exposure: float = Field(ge=0)
    intensity: float = Field(ge=0, description="as a fraction of that before any exposure")
    esd: float = Field(ge=0)


class DamageCut(Document):
    """What the series is worth up to an exposure, by early measurements that were held out."""

    last: float = Field(ge=0, description="exposure of the last frame kept")
    kept: int = Field(ge=1, description="frames")
    deviation: float = Field(
        ge=0, description="mean square deviation of held-out measurements from what others foretell"
    )
    gain: float = Field(
        description="by how many sigma reflections are foretold better than by all frames (signed ranks)"
    )


class Damage(Document):
    """What the beam did to the crystal in the course of the series.

    Exposures are in electrons per square angstrom (``dose``) or in scans (``order``), from the first scan on. With
    ``modelled`` and, where it has a `half_intensity_dose`, ``cut``, intensities are those before any exposure, but for
    a common scale.
    """

    state: Literal["none", "modelled", "cut", "not known"]
    axis: Literal["dose", "order", "tilt"] | None = None
    last_exposure: float | None = Field(default=None, gt=0, description="of the frame that was measured last")
    fall_off_angstrom2: float | None = Field(
        default=None,
        description="b of exp(-b / d^2), over the whole series; over the range of tilts if the axis is that",
    )
    fall_off_esd_angstrom2: float | None = Field(default=None, ge=0)
    half_intensity_dose: float | None = Field(
        default=None, gt=0, description="exposure that halves intensities at 1 angstrom; None = nothing is modelled"
    )
    scale_loss: float | None = Field(
        default=None,
        description="fall of the logarithm of the scale over the series, where repeats or the crystal's share tell",
    )
    scale_loss_esd: float | None = Field(default=None, ge=0)
    left_out_deg: tuple[float, ...] = Field(default=(), description="tilts left out")
    left_out_reason: str | None = None
    course: tuple[DamagePoint, ...] = ()
    cuts: tuple[DamageCut, ...] = Field(default=(), description="tried, all frames last")
    notes: tuple[str, ...] = ()


class NeighbourIndexing(Document):
    """How a crystal that does not index alone was laid on the lattice of others."""

    reference: str = Field(description="the crystal whose cell, symmetry and geometry were taken")
    start: str | None = Field(description="the crystal whose orientation it nearly has; None: found by the cell alone")
    turn_deg: float | None = Field(default=None, ge=0, description="from that crystal's orientation")
    spots: int = Field(ge=0, description="reflections that were found")
    indexed: int = Field(ge=0, description="of these, on the lattice")
    chance: float = Field(ge=0, description="expected number of orientations tried that index as many by chance")


class Reflections(Document):
    """The intensities of one crystal, or of several merged.

    ``unmerged`` is an .npz file: ``hkl`` (n, 3) int32, ``intensity`` (n,), ``sigma`` (n,), ``angle_deg`` (n,),
    ``crystal`` (n,) int32 (index into `members`), on one scale, outliers removed. ``merged`` is an .npz file:
    ``hkl`` (m, 3) int32 in the asymmetric unit of `laue_group`, ``intensity``, ``sigma``, ``multiplicity`` (m,),
    Friedel mates merged (electron diffraction of light to medium atoms, kinematical). ``hklf4`` is the
    unmerged data in SHELX's HKLF 4 format.

    `hkl`, `intensity`, `sigma`, `unique_reflections` and `observations` open these files anew every time.
    """

    id: str
    members: tuple[str, ...] = Field(description="crystals whose data these are")
    radiation: Literal["electron", "xray"] = "electron"
    wavelength_angstrom: float = Field(gt=0)
    unit_cell: UnitCell
    unit_cell_esd: CellEsd | None = Field(default=None, description="of the fit alone, without the scale")
    cell_scale: CellScale | None = Field(default=None, description="None = not known, as of intensities from a file")
    laue_group: str = Field(description="Hermann-Mauguin symbol of the Laue class with centring: 'F m -3 m'")
    space_group: str = Field(description="symbol of the best candidate")
    candidates: tuple[SpaceGroupCandidate, ...]
    overall: ShellStatistics
    shells: tuple[ShellStatistics, ...]
    indexed_fraction: float | None = None
    spots: int | None = None
    axis_test: AxisTest | None = None
    unmerged: FileRef
    merged: FileRef
    hklf4: FileRef
    mtz: FileRef | None = None
    pictures: FileRef | None = Field(
        default=None,
        description="HDF5 of predicted spots: `frame` (k,) place in the series, `px` (k, 2) (slow, fast), `hkl` (k, 3)",
    )
    traces: FileRef | None = Field(
        default=None, description="HDF5 of what each was measured from, see `Measurements`; None = not kept"
    )
    counting: CountingLoss | None = Field(default=None, description="None = not known")
    discs: DiscFigures | None = Field(default=None, description="None where spots are points")
    damage: Damage | None = Field(default=None, description="None = the engine does not look for it")
    neighbour: NeighbourIndexing | None = Field(default=None, description="None = indexed from its own spots alone")
    overlaps: FileRef | None = Field(
        default=None,
        description=".npz of a non-merohedral twin's observations, see `DomainOverlaps`; the others are shares of them",
    )
    warnings: tuple[str, ...] = ()
    provenance: Provenance

    @property
    def d_min_angstrom(self) -> float:
        """The high-resolution limit."""
        return self.overall.d_min_angstrom

    @property
    def unique_reflections(self) -> "Merged":
        """The merged intensities: hkl (m, 3), intensity, sigma and multiplicity (m,)."""
        from tasks.integrate.reflection_file import read_merged

        return read_merged(self.merged)

    @property
    def observations(self) -> "Unmerged":
        """The single observations: hkl (n, 3), intensity, sigma, angle_deg and crystal (n,)."""
        from tasks.integrate.reflection_file import read_unmerged

        return read_unmerged(self.unmerged)

    @property
    def hkl(self) -> NDArray[np.int32]:
        """Miller indices of the merged intensities, (m, 3)."""
        return self.unique_reflections.hkl

    @property
    def intensity(self) -> NDArray[np.float64]:
        """The merged intensities, (m,), on one arbitrary scale."""
        return self.unique_reflections.intensity

    @property
    def sigma(self) -> NDArray[np.float64]:
        """Standard deviations of the merged intensities, (m,)."""
        return self.unique_reflections.sigma


class JoinedParts(Document):
    """A crystal that bends, measured part by part, each in its own orientation, beside the whole taken in one.

    ``half_sets_one`` and ``half_sets_parts``: correlation of |F| between halves of the crossings, the mean of many
    halves; None where too few reflections were met twice to tell.
    """

    id: str
    parts: int = Field(ge=2)
    scales: tuple[float, ...] = Field(description="by which the intensities of each part were multiplied")
    half_sets_one: float | None
    half_sets_parts: float | None
    half_sets_reflections: int = Field(ge=0, description="that both measurements have in both halves")
    half_sets_won: float | None = Field(description="share of the halves drawn in which the parts agree better")
    better: bool = Field(description="whether the parts' intensities are used")
    joined: Reflections
    one: Reflections

    @property
    def used(self) -> Reflections:
        """The intensities that the structure is solved from."""
        return self.joined if self.better else self.one


class JoiningEvidence(Document):
    """What speaks for one crystal being of the form of others merged, and what joining it does to them."""

    correlation: float | None = Field(description="of |E|, in the best indexing; None = too few in common")
    without_noise: float | None = Field(
        default=None, description="the same, less what the stated sigmas take from it; None = too noisy to tell"
    )
    reflections: int = Field(default=0, ge=0, description="unique, in common with the others merged")
    deviations: float | None = Field(default=None, description="by how many sigma the correlation is above zero")
    held_out: float | None = Field(
        default=None, description="correlation over reflections that did not choose the indexing"
    )
    held_out_deviations: float | None = Field(default=None, description="by how many sigma that is above zero")
    held_out_reflections: int = Field(default=0, ge=0)
    delta_cc_half: float | None = Field(
        default=None,
        description="CC1/2 with it less that without, weighted, over the same reflections; None = too few repeated",
    )


class ClusterMember(Document):
    """One crystal of a cluster; the first is the seed, the others follow in the order in which they joined."""

    id: str
    reindex: tuple[Vector, Vector, Vector] = Field(
        description="rows: hkl in the first member's primitive reduced cell = hkl of this crystal @ matrix"
    )
    correlation: float | None = Field(description="of |E| with the other members merged, in the chosen indexing")
    runner_up: float | None = Field(description="the same for the best other indexing; None = the lattice has no other")
    scale: float = Field(gt=0, description="by which its intensities were multiplied")
    b_angstrom2: float = Field(description="relative temperature factor applied, exp(B / 2 d^2)")
    joining: JoiningEvidence | None = Field(default=None, description="when it joined; None of the seed")
    effect: JoiningEvidence | None = Field(default=None, description="against all others, at the end")
    neighbour: NeighbourIndexing | None = Field(default=None, description="None = it indexed alone")


class CrystalLeftOut(Document):
    """A crystal that was tried and is not a member."""

    id: str
    reason: str
    evidence: JoiningEvidence | None = Field(default=None, description="None = no intensities in this lattice")
    neighbour: NeighbourIndexing | None = None


class ClusterGrowth(Document):
    """Statistics of the first crystals of a cluster merged."""

    crystals: int = Field(ge=1)
    completeness: float
    multiplicity: float
    cc_half: float | None
    r_meas: float | None


class CrystalCluster(Document):
    """Crystals of one form: equal lattice and correlated intensities."""

    id: str
    unit_cell: UnitCell = Field(description="conventional cell of the merged data, or of the only member")
    members: tuple[ClusterMember, ...] = Field(min_length=1)
    merged: Reflections | None = Field(default=None, description="None for a cluster of one")
    growth: tuple[ClusterGrowth, ...] = ()
    left_out: tuple[CrystalLeftOut, ...] = Field(default=(), description="crystals that were tried and did not join")


class CrystalRelation(Document):
    """A crystal that is a part of a larger one."""

    crystal: str
    parent: str
    misorientation_deg: float = Field(ge=0, description="the smallest turn by which the one becomes the other")
    touching: float | None = Field(
        description="share of their common tilts at which the apertures lie side by side; None without common tilts"
    )


class CombinedSets(Document):
    """The crystals of one series, sorted into forms and merged; largest cluster first."""

    clusters: tuple[CrystalCluster, ...]
    pairs: tuple[tuple[str, str, float | None], ...] = Field(
        default=(), description="(crystal, crystal, best correlation of |E|); None = lattices differ or too few common"
    )
    relations: tuple[CrystalRelation, ...] = ()
    notes: tuple[str, ...] = ()
