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


class DiscFigures(Document):
    """The discs of a convergent beam, and how much they overlap."""

    radius_px: float
    edge_px: float
    stated_px: float | None = Field(description="radius that the manifest's convergence makes; None = not stated")
    scans: int = Field(description="scans whose direct beam shows the radius; 0 = the manifest's is taken")
    overlapped_share: float = Field(ge=0, le=1, description="of the measurements, discs that overlap others")
    set_aside: int = Field(ge=0, description="discs so much on others that their share of the electrons is not told")
    measurements: int = Field(ge=0, description="discs near the sphere")


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
    unit_cell_esd: tuple[float, float, float, float, float, float] | None = None
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
    discs: DiscFigures | None = Field(default=None, description="None where spots are points")
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


class ClusterMember(Document):
    """One crystal of a cluster."""

    id: str
    reindex: tuple[Vector, Vector, Vector] = Field(
        description="rows: hkl in the first member's primitive reduced cell = hkl of this crystal @ matrix"
    )
    correlation: float | None = Field(description="of |E| with the other members merged, in the chosen indexing")
    runner_up: float | None = Field(description="the same for the best other indexing; None = the lattice has no other")
    scale: float = Field(gt=0, description="by which its intensities were multiplied")
    b_angstrom2: float = Field(description="relative temperature factor applied, exp(B / 2 d^2)")


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
