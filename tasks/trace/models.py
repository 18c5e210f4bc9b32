"""What a reflection was made of."""

from typing import Literal

from pydantic import Field

from tasks.model import Document

State = Literal["used", "left out", "set aside"]


class TracedPixel(Document):
    """One of a spot's own pixels on a frame."""

    slow: int
    fast: int
    counts: int


class TracedPosition(Document):
    """A probe position and the electrons that it gave."""

    row: int
    column: int
    counts: int


class TracedObservation(Document):
    """A reflection on one frame.

    ``counts`` are those of the spot's own pixels in the frame as it was summed: before any background, weight of a
    pixel, scale or correction. They are the sum of those of `pixels`, and of those of `positions`.
    """

    hkl: tuple[int, int, int] = Field(description="of this observation: the reflection or an equivalent of it")
    frame: int = Field(ge=0, description="place in the series")
    tilt_deg: float
    counts: int
    background: float = Field(description="in the same pixels")
    predicted: float | None = Field(description="above the background, all of the spot, by the rocking curve")
    excitation_per_angstrom: float = Field(description="distance from the Ewald sphere before orientations are refined")
    state: State = Field(
        description="used: in the intensity; left out: said too little, or beyond the limit of resolution; set aside: "
        "too little of the spot was measured, or too much of it lost"
    )
    overlapped: bool = Field(description="another strong spot shares pixels with it: both were fitted together")
    pixels: tuple[TracedPixel, ...]
    positions: tuple[TracedPosition, ...] | None = Field(description="None: the electrons are not known by position")


class Trace(Document):
    """A reflection with all observations of it and its equivalents (Friedel mates among them), by tilt."""

    crystal: str
    hkl: tuple[int, int, int]
    laue_group: str
    d_angstrom: float
    intensity: float | None = Field(description="merged, on the scale of the crystal; None = in no intensity")
    sigma: float | None
    counts_total: int
    observations: tuple[TracedObservation, ...]
    notes: tuple[str, ...] = ()
