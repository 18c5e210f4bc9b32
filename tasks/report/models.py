"""What a run came to: everything that the report and results.json are made from."""

from typing import Any, Literal

from pydantic import Field

from tasks.apertures import ApertureSet, CrystalAperture
from tasks.frames import FrameSeries
from tasks.ingest import LostScan, Validity
from tasks.integrate import CombinedSets, JoinedParts, Reflections
from tasks.maps import CrystalMaps
from tasks.model import ApertureError, Document, FileRef
from tasks.model.claims import Claims
from tasks.model.verdict import Verdict
from tasks.refine import Misfit, Refinement
from tasks.report.worst_models import WorstFitting
from tasks.solve import Solutions

Status = Literal["solved", "not-solved", "not-indexed", "no-crystals"]


CLEARLY = 0.95
"""Ratio of 1 - CC1/2, or of R1, below which one set of positions is said to be better than another."""


class Failure(Document):
    """Where the work on one crystal, or on the whole series, stopped."""

    stage: str
    code: str
    message: str
    advice: str

    @classmethod
    def of(cls, stage: str, error: ApertureError) -> "Failure":
        """Record a typed error."""
        return cls(stage=stage, code=error.code, message=error.message, advice=error.advice)


class SourceSummary(Document):
    """The source, as it was read."""

    kind: Literal["tilt series", "rotation series", "intensities"]
    path: str
    sample: str
    composition: str | None
    compositions: tuple[str, ...] = Field(default=(), description="of the phases it may hold, where there are several")
    energy_kev: float | None
    files: int
    counts_total: int | None = None
    tilt_deg: tuple[float, ...] = ()
    lost: tuple[LostScan, ...] = ()
    metadata: dict[str, str] = {}
    sha256: str = Field(description="over the manifest and all files")


class ApertureQuality(Document):
    """What the positions of one aperture give, integrated by the built-in engine to one resolution limit.

    ``r1`` and ``r1_all`` are of the structure refined against these intensities; None where it is not solved.
    """

    positions: int
    observations: int
    unique: int
    completeness: float
    i_over_sigma: float | None
    cc_half: float | None
    r_meas: float | None
    r1: float | None = None
    r1_all: float | None = None


class ApertureGain(Document):
    """The chosen aperture beside the one of all positions within the crystal's outline."""

    d_min_angstrom: float
    chosen: ApertureQuality
    all_positions: ApertureQuality | None = Field(description="None if they gave no intensities: see `failure`")
    failure: Failure | None = None

    @property
    def better(self) -> Literal["chosen", "all positions"] | None:
        """Which of the two gives the better data by CC1/2 and R1 (if there is a structure) both; None if neither."""
        if (other := self.all_positions) is None:
            return "chosen"
        here, ratios = self.chosen, []
        if here.cc_half is not None and other.cc_half is not None:
            ratios.append((1.0 - other.cc_half) / max(1.0 - here.cc_half, 1e-6))
        if here.r1 is not None and other.r1 is not None:
            ratios.append(other.r1 / max(here.r1, 1e-6))
        if ratios and max(ratios) < CLEARLY:
            return "all positions"
        return "chosen" if ratios and min(ratios) > 1 / CLEARLY else None


class PhaseTrial(Document):
    """What a crystal came to with the contents of one of several phases; R factors are fractions."""

    composition: str
    verdict: Verdict
    formula: str | None = Field(default=None, description="of the refined model; None without one")
    space_group: str | None = None
    r1: float | None = None
    r1_left_out: float | None = Field(default=None, description="of reflections left out of the fit")
    reason: str = ""


class NestedRegion(Document):
    """A part of a crystal, measured in its geometry and solved by itself."""

    positions: int = Field(description="at every tilt; where the crystal has fewer, all of them")
    electrons: float = Field(description="in its frames at all tilts")
    unit_cells: float = Field(description="under it at one tilt, were the crystal as thick as it is wide")
    unique: int | None = Field(default=None, description="unique reflections; null: it was not measured")
    cc_half: float | None = None
    d_min_angstrom: float | None = Field(default=None, description="as far as its own intensities are significant")
    r1: float | None = Field(default=None, description="of its refined structure; null without one")
    status: Literal["solved", "not-solved", "not-indexed"]
    sufficed: bool = Field(description="solved, by the structure that explains the whole crystal")
    reason: str = Field(default="", description="why it did not suffice")


class NestedStudy(Document):
    """The regions of one crystal, the largest first, until one did not suffice."""

    positions: int = Field(description="of the crystal at a tilt, median")
    electrons: float = Field(description="of the crystal, in its frames at all tilts")
    regions: tuple[NestedRegion, ...] = ()
    fraction: float | None = Field(
        default=None, description="of its electrons that would have sufficed; null: no part that was tried did"
    )
    note: str = Field(default="", description="why nothing was tried")


class CrystalOutcome(Document):
    """One crystal: whatever its chain of stages produced, and why it stopped if it did."""

    id: str
    composition: str | None = Field(default=None, description="contents it was solved with, where there were several")
    phases: tuple[PhaseTrial, ...] = Field(default=(), description="where several phases were tried, the best first")
    aperture: CrystalAperture | None = None
    frames: FrameSeries | None = None
    reflections: Reflections | None = None
    maps: CrystalMaps | None = Field(default=None, description="by probe position, where they were asked for")
    parts: JoinedParts | None = Field(default=None, description="of a crystal whose maps show that it bends")
    solutions: Solutions | None = None
    refinement: Refinement | None = None
    gain: ApertureGain | None = Field(
        default=None, description="None where the aperture leaves out no position, and by parts"
    )
    worst: WorstFitting | None = Field(default=None, description="of the refined structure; None without one")
    nested: NestedStudy | None = Field(default=None, description="parts of it solved alone, where they were asked for")
    failure: Failure | None = None

    @property
    def status(self) -> Literal["solved", "not-solved", "not-indexed"]:
        """Solved only if refinement says so: a plausible wrong answer is the worst outcome."""
        if self.reflections is None:
            return "not-indexed"
        return "solved" if self.refinement is not None and self.refinement.verdict == "solved" else "not-solved"

    @property
    def claims(self) -> Claims | None:
        """What is claimed of the structure; None without a model."""
        return None if self.refinement is None else self.refinement.claims

    @property
    def misfits(self) -> tuple[Misfit, ...]:
        """The reflections that the structure fits worst."""
        return () if self.worst is None else tuple(one.misfit for one in self.worst.reflections)


class RunOutcome(Document):
    """The whole run."""

    source: SourceSummary
    apertures: ApertureSet | None = None
    validity: Validity | None = Field(default=None, description="what of the detector was measured in which scan")
    crystals: tuple[CrystalOutcome, ...] = ()
    merged: CrystalOutcome | None = Field(default=None, description="the best set of merged crystals")
    merged_others: tuple[CrystalOutcome, ...] = Field(default=(), description="further forms, merged")
    combined: CombinedSets | None = Field(default=None, description="which crystals are of one form")
    failure: Failure | None = Field(default=None, description="why there are no crystals")
    settings_changed: dict[str, Any] = {}
    versions: dict[str, str] = {}
    timings_s: dict[str, float] = {}
    notes: tuple[str, ...] = ()
    to_come: tuple[str, ...] = Field(default=(), description="what is computed after this report, which then grows")
    tables: tuple[FileRef, ...] = ()

    @property
    def status(self) -> Status:
        """The best that any crystal, or the merged data, came to."""
        reached = [crystal.status for crystal in (*self.crystals, *self.merged_all)]
        for status in ("solved", "not-solved", "not-indexed"):
            if status in reached:
                return status
        return "no-crystals"

    @property
    def merged_all(self) -> tuple[CrystalOutcome, ...]:
        """All merged sets, the best first."""
        return () if self.merged is None else (self.merged, *self.merged_others)
