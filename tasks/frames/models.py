"""Frames: centred diffraction patterns of one crystal over the tilts."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.events.beam_disc import BeamDisc
from tasks.frames.stack import holds, stored
from tasks.ingest import CountingFound
from tasks.model import Beam, Detector, Document, FileRef, Vector
from tasks.model.experiment import PixelPosition
from tasks.model.provenance import Provenance


class FrameMasks(NamedTuple):
    """The different masks, (k, slow, fast), True where a pixel is valid, and which of them is that of a frame, (n,)."""

    different: NDArray[np.bool_]
    of_frame: NDArray[np.int64]

    def valid_in(self, frame: int) -> NDArray[np.bool_]:
        """Return the valid pixels of one frame, (slow, fast)."""
        return np.asarray(self.different[self.of_frame[frame]])

    def share_valid(self) -> NDArray[np.float64]:
        """Return the share of the frames in which each pixel is valid, (slow, fast)."""
        number = np.bincount(self.of_frame, minlength=len(self.different))
        return np.asarray(np.tensordot(number / number.sum(), self.different, axes=1))


class Frame(Document):
    """One diffraction pattern."""

    number: int = Field(ge=0, description="number in the series; a gap in the numbers is a gap in the rotation")
    angle_deg: float = Field(description="goniometer angle at the start of the exposure; the angle of a still")
    width_deg: float = Field(ge=0, description="rotation during the exposure; 0 for a still")
    counts: float = Field(ge=0, description="sum of all pixels, in electrons where the gain is known")
    beam_found_px: PixelPosition | None = Field(default=None, description="direct beam before centring")
    beam_residual_px: PixelPosition | None = Field(
        default=None, description="(slow, fast): where the direct beam truly lies, less `direct_beam_px` of the series"
    )
    positions: int = Field(default=0, ge=0, description="scan positions summed")
    share: float | None = Field(
        default=None, gt=0, le=1, description="of the crystal's volume, what the summed positions hold; None = unknown"
    )
    aperture_box: tuple[int, int, int, int] | None = Field(
        default=None, description="first row, first column, rows, columns of the scan that enclose the aperture"
    )
    exposures: float | None = Field(default=None, description="camera frames summed; None = loss was not corrected")
    brightness_variance: float = Field(default=0.0, ge=0, description="of the crystal at its positions, over the mean")
    loss: float = Field(
        default=0.0, ge=0, le=1, description="largest share of a spot's electrons lost, corrected or not"
    )
    order: int | None = Field(default=None, ge=0, description="place in the order of acquisition; None = not known")
    accumulated_dose_e_per_A2: float | None = Field(  # noqa: N815 - the unit is written so in the contract
        default=None, gt=0, description="what the specimen had received by the middle of the exposure; None = not known"
    )
    source: str = ""
    warnings: tuple[str, ...] = ()


class FrameSeries(Document):
    """The rotation or tilt series of one crystal, sorted by angle, every frame centred on `direct_beam_px`.

    ``stack`` is an HDF5 file: ``frames`` (n, slow, fast) unsigned integers in the order of `frames`, chunked by
    frame; ``half`` of the same shape where the events were split by a seeded coin (the other half is
    ``frames - half``), absent otherwise; ``mask`` (slow, fast) bool, True where a pixel is valid in every frame; where
    frames differ also ``masks`` (k, slow, fast) and ``mask_of_frame`` (n,), which of them is that of a frame. Where
    electrons were lost to others of the same camera frame, ``correction`` (n, slow, fast) float32 tells how many
    arrived for each that was counted, and ``saturated``, bool of that shape, where that is not known.

    `images`, `half`, `mask`, `masks`, `correction` and `saturated` open this file anew every time.
    """

    id: str = Field(description="crystal-01 ...")
    sample: str
    composition: str | None
    beam: Beam
    detector: Detector
    direct_beam_px: PixelPosition = Field(description="(slow, fast) of every frame after centring")
    disc: BeamDisc | None = Field(default=None, description="of every spot; None = spots are points")
    rotation_axis: Vector
    frames: tuple[Frame, ...]
    stack: FileRef
    gain: float = Field(default=1.0, gt=0, description="detector units per electron")
    pedestal: float = Field(default=0.0, description="value of a pixel without electrons")
    saturation: float | None = Field(default=None, description="largest valid pixel value")
    counting: CountingFound | None = Field(default=None, description="None = not looked at")
    warnings: tuple[str, ...] = ()
    provenance: Provenance

    @property
    def is_still(self) -> bool:
        """Whether the goniometer stood still during every exposure."""
        return all(frame.width_deg == 0 for frame in self.frames)

    @property
    def angle_deg(self) -> NDArray[np.float64]:
        """Goniometer angle of every frame, (n,)."""
        return np.array([frame.angle_deg for frame in self.frames])

    @property
    def images(self) -> NDArray[np.unsignedinteger]:
        """All frames as stored, (n, slow, fast)."""
        return stored(self.stack, "frames")

    @property
    def half(self) -> NDArray[np.unsignedinteger] | None:
        """The first half of the events, (n, slow, fast); None where events were not split."""
        return stored(self.stack, "half") if holds(self.stack, "half") else None

    @property
    def correction(self) -> NDArray[np.float32] | None:
        """Electrons that arrived for each one counted, (n, slow, fast); None where nothing is corrected."""
        return np.asarray(stored(self.stack, "correction"), np.float32) if holds(self.stack, "correction") else None

    @property
    def saturated(self) -> NDArray[np.bool_] | None:
        """Pixels too full to be corrected, (n, slow, fast); None where nothing is corrected."""
        return stored(self.stack, "saturated").astype(bool) if holds(self.stack, "saturated") else None

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The pixels that are valid in every frame, (slow, fast)."""
        return stored(self.stack, "mask").astype(bool)

    @property
    def masks(self) -> FrameMasks:
        """The valid pixels frame by frame."""
        if not holds(self.stack, "masks"):
            return FrameMasks(self.mask[None], np.zeros(len(self.frames), dtype=np.int64))
        return FrameMasks(
            stored(self.stack, "masks").astype(bool), stored(self.stack, "mask_of_frame").astype(np.int64)
        )


class DirectBeams(Document):
    """The direct beam of every tilt of a series, in the order of its scans, and its motion over the scan."""

    px: tuple[PixelPosition, ...] = Field(description="(slow, fast) on the detector, for the middle of the scan")
    measured: tuple[bool, ...] = Field(description="False where that of the neighbours stands in")
    notes: tuple[str, ...]
    descan_px: tuple[PixelPosition, PixelPosition] = Field(
        description="rows: px along slow and fast per scan step along (rows, columns); 0 where no motion is seen"
    )
    counting: CountingFound | None = Field(default=None, description="how the camera counted; None = not looked at")
    disc: BeamDisc | None = Field(default=None, description="of the direct beam; None = a point")
    descan_bend_px: tuple[tuple[float, float, float], tuple[float, float, float]] = Field(
        default=((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        description="rows: px along slow and fast per square step along (row^2, row column, column^2) about the middle",
    )
    warnings: tuple[str, ...] = ()
