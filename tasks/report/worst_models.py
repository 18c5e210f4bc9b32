"""The reflections of a structure that fit worst, with what each was measured from."""

from pydantic import Field

from tasks.model import Document
from tasks.refine import Misfit


class CrossingMap(Document):
    """Electrons of a spot by probe position, as a picture: one pixel a position."""

    uri: str = Field(description="PNG as a data URI; transparent where no position is the crystal's")
    tilt_deg: float
    shape: tuple[int, int]
    electrons: int
    positions: int = Field(description="of the crystal at this tilt")
    positions_with_electrons: int
    most: int = Field(description="electrons at one position")


class CrossingEntry(Document):
    """One equivalent of a reflection that crossed the Ewald sphere in a crystal; all by frame, in order of tilt."""

    crystal: str
    hkl: tuple[int, int, int] = Field(description="in the axes of the crystal's own intensities")
    tilt_deg: tuple[float, ...]
    counts: tuple[int, ...] = Field(description="in the spot's own pixels")
    background: tuple[float, ...]
    predicted: tuple[float | None, ...] = Field(description="above background, by the rocking curve")
    used: tuple[bool, ...] = Field(description="whether it is in the intensity")
    map: CrossingMap | None


class WorstReflection(Document):
    """One reflection of the list."""

    misfit: Misfit
    crossings: tuple[CrossingEntry, ...]
    crossings_in_all: int
    traced_as: tuple[tuple[str, tuple[int, int, int]], ...] = Field(
        default=(), description="(crystal, hkl) by which `apertura trace` shows all of it"
    )


class WorstFitting(Document):
    """The list, and what of it cannot be shown."""

    reflections: tuple[WorstReflection, ...]
    notes: tuple[str, ...] = ()
    merged: bool = Field(default=False, description="of merged data: seen in the crystals as measured to be merged")
