"""Settings of the camera: how it counts, what is broken in it, what stands before it, how its frames go astray."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.model import Document

Pixel = Annotated[int, Field(ge=0, le=8191)]
Share = Annotated[float, Field(ge=0, le=1)]


class CameraPlan(Document):
    """How electrons become counts, camera frame by camera frame.

    Lengths in px, deposits in units of the most probable one. With `local-maxima-3x3` a pixel counts once where it is
    above `threshold` and the largest of its 3 x 3 neighbourhood (Battaglia et al., Ultramicroscopy 175, 2017,
    doi 10.1016/j.ultramic.2016.12.003; stempy's electron counting); `pile_up` says what the pixels hold then.
    """

    counting: Literal["ideal", "local-maxima-3x3"] = Field(
        default="ideal", description="ideal: every electron in its pixel, as often as it comes"
    )
    frames_per_position: int = Field(default=1, ge=1, le=4096, description="camera frames at each probe position")
    pile_up: Literal["charge-sharing", "random-marks", "first-come"] = Field(
        default="charge-sharing",
        description="charge-sharing: random deposits, spread over neighbours, add up; random-marks: of neighbours the "
        "one with the largest of random marks survives (Matern II); first-come: an electron survives unless one that "
        "came earlier and survived is its neighbour (random sequential adsorption)",
    )
    charge_spread_px: float = Field(default=0.4, ge=0.05, le=3, description="sigma of the charge of one electron")
    deposit_width: float = Field(
        default=0.2, ge=0, le=0.3, description="scale of the deposits' distribution (Moyal, Phil. Mag. 46, 263, 1955)"
    )
    noise: float = Field(default=0.02, ge=0, le=1, description="sigma of a pixel's read-out noise")
    threshold: float = Field(default=0.2, ge=0, le=5, description="least charge of a pixel that is counted")
    efficiency: Share = Field(default=1.0, description="part of the electrons that the sensor sees at all")
    efficiency_spread: float = Field(default=0.0, ge=0, le=1, description="sigma of it from pixel to pixel")
    dark_counts: float = Field(default=0.0, ge=0, le=1e4, description="expected in one camera frame, anywhere")
    cosmic_hits: float = Field(default=0.0, ge=0, le=100, description="expected tracks in one camera frame")
    cosmic_length_px: float = Field(default=12.0, ge=1, le=1000, description="mean length of a track")
    cosmic_deposit: float = Field(default=4.0, gt=0, le=100, description="charge of a track in each pixel")


class DeadRegion(Document):
    """Pixels that count nothing: a rectangle, in all or some of the scans, in all or some of their camera frames."""

    rectangle_px: tuple[Pixel, Pixel, Pixel, Pixel] = Field(
        description="first row, first column, last row, last column, inclusive"
    )
    scans: Share = Field(default=1.0, description="probability of each scan to have it")
    frames: Share = Field(default=1.0, description="probability of each camera frame of these scans to have it")

    @model_validator(mode="after")
    def _first_comes_first(self) -> Self:
        first_row, first_column, last_row, last_column = self.rectangle_px
        if last_row < first_row or last_column < first_column:
            raise ValueError(f"rectangle_px {list(self.rectangle_px)} ends before it begins")
        return self

    def within(self, shape: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return the part of the rectangle that lies on a sensor of (rows, columns), which it must touch."""
        first_row, first_column, last_row, last_column = self.rectangle_px
        return first_row, first_column, min(last_row, shape[0] - 1), min(last_column, shape[1] - 1)


class SensorFaults(Document):
    """What is broken in the sensor; which rows, columns, blocks, sectors and pixels is drawn from the seed."""

    regions: tuple[DeadRegion, ...] = Field(default=(), description="dead regions that are chosen, not drawn")
    dead_pixels: int = Field(default=0, ge=0, le=100_000)
    dead_rows: int = Field(default=0, ge=0, le=1000)
    dead_columns: int = Field(default=0, ge=0, le=1000)
    dead_blocks: int = Field(default=0, ge=0, le=100, description="squares of block_px")
    block_px: int = Field(default=16, ge=1, le=1024)
    sector_px: tuple[Annotated[int, Field(ge=1, le=8192)], Annotated[int, Field(ge=1, le=8192)]] = Field(
        default=(144, 576), description="rows and columns of one sector; those of the 4D Camera"
    )
    dead_sectors: int = Field(default=0, ge=0, le=64, description="dead in all scans")
    sector_scans: Share = Field(default=0.0, description="probability of each sector to be missing from a scan")
    sector_frames: Share = Field(default=0.0, description="probability of each sector to be missing from a frame")
    hot_pixels: int = Field(default=0, ge=0, le=100_000)
    hot_rate: Share = Field(default=0.3, description="probability of a hot pixel to count in a camera frame")


class BeamStop(Document):
    """A disc, or a bar that comes from the sensor's edge and ends in that disc, before the sensor."""

    shape: Literal["disc", "bar"] = "disc"
    radius_px: float = Field(default=12.0, gt=0, le=1000, description="of the disc; half the width of the bar")
    centre_px: tuple[float, float] | None = Field(default=None, description="(slow, fast); None = the nominal beam")
    angle_deg: float = Field(
        default=90.0, description="where the bar comes from, counter-clockwise from +fast, row 0 up"
    )
    transmission: Share = Field(default=0.0, description="part of the electrons that pass through it")
    edge_px: float = Field(default=1.0, gt=0, le=50, description="sigma of its edge")


class ScanFaults(Document):
    """What goes wrong with the order of the camera frames in a scan, and with its descan."""

    frames_lost: Share = Field(default=0.0, description="probability of a camera frame to be an empty entry")
    dropped_frames: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="expected positions in a scan whose frames are missing: later ones move up",
    )
    repeated_frames: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="expected positions in a scan that are there twice: later ones move down",
    )
    shifted_rows: Share = Field(default=0.0, description="probability of a row to be shifted along itself")
    row_shift_max: int = Field(default=3, ge=1, le=100, description="largest shift, positions")
    descan_quadratic_px: tuple[float, float] = Field(
        default=(0.0, 0.0),
        description="(slow, fast) shift of the direct beam at the first and last row, column beside the middle one",
    )


class ManifestPlan(Document):
    """What the manifest tells, and what of it is wrong."""

    detector_name: str = Field(default="4D Camera", min_length=1, max_length=200)
    tell: tuple[Literal["counting", "convergence", "order", "dose", "mask", "bad-rectangles"], ...] = Field(
        default=(), description="optional facts that are told; the others are left out"
    )
    camera_length_relative_error: float | None = Field(default=None, gt=0, lt=1, description="None = not told")
    camera_length_factor: float = Field(default=1.0, gt=0.5, lt=2, description="stated camera length over the true one")
    energy_kev: float | None = Field(default=None, gt=1, le=3000, description="stated energy; None = the true one")
    stempy_version: Literal[1, 2, 3] = Field(
        default=3, description="layout of the scans' files; 1 joins the camera frames of a position"
    )

    @model_validator(mode="after")
    def _dose_with_order(self) -> Self:
        if "dose" in self.tell and "order" not in self.tell:
            raise ValueError("tell: a dose is told together with the order")
        return self
