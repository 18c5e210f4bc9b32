"""What the manifest states about turning the values and times of a scan's file into electrons at scan positions."""

from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from tasks.model import Counting, Document


class Conversion(Document):
    """How a pixel value that is not counted becomes electrons.

    ``floor((value - pedestal) / units_per_electron + 0.5)``, and none where that is negative or the value lies below
    the threshold. What falls below it is lost, and what noise lifts above it is counted: it is no camera's counting.
    """

    units_per_electron: float = Field(gt=0, le=1e9, description="detector units that one electron adds to a pixel")
    pedestal: float = Field(ge=-1e9, le=1e9, description="value of a pixel without electrons, in detector units")
    threshold: float | None = Field(
        default=None,
        ge=-1e9,
        le=1e9,
        description="value in detector units, pedestal included, below which a pixel holds no electron; null = none",
    )


class Chip(Document):
    """Where one chip of a Timepix3 detector lies."""

    index: int = Field(ge=0, le=255, description="chip index in the file")
    origin_px: tuple[int, int] = Field(description="(slow, fast) px: where the chip begins on the detector")
    turned: bool = Field(default=False, description="by half a turn: its pixel (255, 255) lies at the origin")

    @model_validator(mode="after")
    def _on_detector(self) -> Self:
        if not all(0 <= place < 65536 for place in self.origin_px):
            raise ValueError("origin_px: must lie on the detector")
        return self


class EventClock(Document):
    """How the times of a list of hits become electrons at scan positions.

    An edge of one TDC input marks the start of each scan row, or of each scan position. Within a row the position is
    ``floor((time - start) / dwell_us)``; times after the last column of a row, flyback included, are in no position.
    Hits that touch, also diagonally, within `cluster_ns` are one electron, at the hit with the largest ToT.
    """

    edge: Literal["tdc1-rise", "tdc1-fall", "tdc2-rise", "tdc2-fall"] = Field(
        description="the edge of a TDC input that follows the scan"
    )
    marks: Literal["row", "position"] = Field(description="what begins at each edge")
    dwell_us: float = Field(gt=0, le=1e7, description="time at one scan position, us")
    cluster_ns: float = Field(gt=0, le=1e6, description="hits of one electron lie within this time of each other, ns")
    chips: tuple[Chip, ...] = Field(
        default=(), max_length=256, description="absent: one chip, with index 0, that is the whole detector"
    )


class Stated(NamedTuple):
    """What the manifest states about how a scan's file holds electrons; None = not stated."""

    counting: Counting | None = None
    conversion: Conversion | None = None
    clock: EventClock | None = None


NOTHING_STATED = Stated()
"""As most manifests do of files that hold electrons."""
