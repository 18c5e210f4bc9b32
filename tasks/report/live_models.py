"""What a page shows of a series that is still being measured."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from tasks.model import Document, UnitCell

ENOUGH_COMPLETE = 0.75
"""Of the unique reflections, from which data may be enough to solve. Chosen, not measured: what is left is said."""
ENOUGH_AMPLITUDES = 0.9
"""Correlation of |F| of two halves of the tilts, from which they agree. Chosen, not measured: two measurements that
agree so have each 0.95 with what they measure; all tilts together have more."""
ENOUGH_WEAK = 0.3
"""The same of the weaker half of the reflections: the bound that is usual for CC1/2 (Karplus & Diederichs, Curr. Opin.
Struct. Biol. 34, 60-68, 2015)."""
ENOUGH_D_MIN = 1.2
"""Resolution in angstrom beyond which direct methods rarely solve (Sheldrick, Acta Cryst. A46, 467-473, 1990)."""


class LiveScan(Document):
    """One scan of the series: what came of it."""

    file: str
    tilt_deg: float | None = Field(description="None: of a file that the manifest does not list")
    state: Literal["read", "awaited", "damaged", "not listed"]
    electrons: int | None = None
    dose_e_per_A2: float | None = Field(default=None, description="stated by the manifest")  # noqa: N815 - the name of the contract
    note: str = Field(default="", description="why it is not read, or that it was read again")


class LiveCrystal(Document):
    """One crystal, by the scans so far. Figures of intensities are None until it can be indexed."""

    id: str
    scans: int = Field(ge=0, description="by how many scans these figures are")
    positions: int = Field(ge=0, description="at most at one tilt")
    tilts: int = Field(ge=0, description="at which it is seen")
    electrons: float | None = None
    reason: str = Field(default="", description="why there are no intensities yet")
    unit_cell: UnitCell | None = None
    space_group: str | None = None
    indexed_fraction: float | None = None
    d_min_angstrom: float | None = None
    completeness: float | None = Field(default=None, description="of the unique reflections to d_min")
    completeness_planned: float | None = Field(default=None, description="foretold with all planned tilts")
    best_tilts: tuple[tuple[float, float], ...] = Field(
        default=(), description="(tilt, completeness foretold with it and those before it)"
    )
    cc_half: float | None = None
    halves_cc: float | None = Field(default=None, description="of |F| measured in two halves of the tilts")
    halves_weak: float | None = Field(default=None, description="the same of the weaker half of the reflections")

    @property
    def enough(self) -> bool:
        """Whether the data so far are likely to be enough to solve: complete, sharp, and the halves agree."""
        return not self.lacking

    @property
    def lacking(self) -> tuple[str, ...]:
        """What is missing for that, in words."""
        if self.unit_cell is None:
            return ("no lattice yet",)
        tests = (
            (self.completeness, ENOUGH_COMPLETE, "complete"),
            (self.halves_cc, ENOUGH_AMPLITUDES, "agreement of the halves"),
            (self.halves_weak, ENOUGH_WEAK, "agreement of the weak reflections"),
        )
        missing = [f"{name} {_text(value)} of {limit:g}" for value, limit, name in tests if (value or 0.0) < limit]
        if self.d_min_angstrom is None or self.d_min_angstrom > ENOUGH_D_MIN:
            missing.append(f"resolution {_text(self.d_min_angstrom)} of {ENOUGH_D_MIN:g} Å")
        return tuple(missing)


class LivePoint(Document):
    """What one look at the scans so far came to, for the curves."""

    scans: int
    crystals: int
    completeness: float | None = Field(description="the best of all crystals")
    halves_cc: float | None


LivePhase = Literal["growing", "complete", "stopped", "interrupted"]


class LiveState(Document):
    """All that is shown of a series that grows."""

    sample: str
    source: str
    phase: LivePhase = "growing"
    updated: str = Field(description="UTC, for people")
    scans: tuple[LiveScan, ...] = ()
    planned: int | None = Field(default=None, description="tilts of the plan; None: nobody has said how many")
    scans_in_apertures: int = Field(default=0, description="by how many scans crystals and apertures are")
    dose_counted_e_per_A2: float | None = Field(  # noqa: N815 - as of the contract
        default=None, description="electrons that were counted, by area: the dose is at least that"
    )
    crystals: tuple[LiveCrystal, ...] = ()
    no_crystals: str = Field(default="", description="why there are none")
    notes: tuple[str, ...] = Field(default=(), description="what a person should know, newest last")
    history: tuple[LivePoint, ...] = ()
    ending: str = Field(default="", description="why it is over, and what to do")

    @property
    def read(self) -> tuple[LiveScan, ...]:
        """The scans that were read."""
        return tuple(scan for scan in self.scans if scan.state == "read")

    @property
    def dose_stated(self) -> float | None:
        """The sum of the doses that the manifest states, if it does of all scans that were read."""
        doses = [scan.dose_e_per_A2 for scan in self.read]
        known = [dose for dose in doses if dose is not None]
        return sum(known) if known and len(known) == len(doses) else None


def best_of(values: Sequence[float | None]) -> float | None:
    """Return the largest of the values that are known."""
    return max((value for value in values if value is not None), default=None)


def _text(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
