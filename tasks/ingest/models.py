"""What ingest hands on: a tilt series with its events on disk."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.model import Beam, Counting, Detector, Document, FileRef, Vector
from tasks.model.provenance import Provenance


class ScanGrid(Document):
    """The raster of probe positions."""

    shape: tuple[int, int] = Field(description="(rows, columns) without flyback")
    step_nm: float = Field(gt=0)
    rotation_deg: float = Field(
        description="from the detector's fast axis to the scan's fast axis, counter-clockwise as displayed"
    )


class TiltScan(Document):
    """One scan: its events in compressed sparse rows, in a store of its own (`tasks.events.store_file`).

    The events of scan position i (row * columns + column) are the flat detector pixels (row * n_columns + column) of
    its electrons; repeated values are several electrons. Where positions have several camera frames, the store bounds
    the events of every one that holds any.
    """

    tilt_deg: float
    source: str = Field(description="file name within the source folder")
    events: FileRef = Field(description="the event store")
    counts: int = Field(ge=0, description="electrons in the positions that are kept (flyback dropped)")
    frames_per_position: float = Field(default=1.0, ge=0, description="camera frames per scan position, on average")
    frames_told: bool = Field(default=False, description="whether the store bounds camera frames within positions")
    entries_are_frames: bool = Field(default=True, description="False: the file sums the camera frames of a position")
    flyback_counts: int = Field(default=0, ge=0, description="electrons in the flyback columns, dropped")
    order: int | None = Field(default=None, description="0, 1, 2, ... as the scans were measured; None = not known")
    dose_e_per_A2: float | None = Field(default=None, description="electrons per square angstrom; None = not known")  # noqa: N815 - the name of the contract
    repeat: int | None = Field(default=None, description="which of several scans at one tilt")
    beam_px: FileRef | None = Field(
        default=None, description="(n_positions, 2) float32, (slow, fast): the direct beam as told beside the scan"
    )


class LostScan(Document):
    """A listed scan that cannot be used, and why."""

    source: str
    tilt_deg: float
    reason: str


class MaskedPart(Document):
    """Some pixels of the detector that are not used: what they are, where, and in which scans."""

    kind: Literal[
        "stated", "hot pixels", "dead pixels", "hot lines", "rows", "columns", "block", "sector", "shadow", "beam stop"
    ]
    origin: Literal["manifest", "data"] = Field(description="stated by the manifest, or found in the data")
    rectangle_px: tuple[int, int, int, int] = Field(
        description="first row, first column, last row, last column that enclose the pixels, inclusive"
    )
    pixels: int = Field(ge=1)
    scans: tuple[int, ...] = Field(default=(), description="numbers in `TiltSeries.scans`; none = all")


class Validity(Document):
    """Which pixels of the detector were measured, scan by scan.

    ``masks`` is an .npz file: ``valid`` (k, slow, ceil(fast / 8)), the bits of the different masks along the fast
    axis, and ``columns``, how many of them are pixels. None where all pixels are valid in all scans.
    """

    shape_px: tuple[int, int]
    masks: FileRef | None = None
    mask_of_scan: tuple[int, ...] = Field(description="which mask is that of a scan, in the order of the scans")
    share_masked: tuple[float, ...] = Field(description="of the detector's pixels, scan by scan")
    parts: tuple[MaskedPart, ...] = ()

    @property
    def every_mask(self) -> NDArray[np.bool_]:
        """The different masks, (k, slow, fast), True where a pixel is valid; reads the file."""
        if self.masks is None:
            return np.ones((1, *self.shape_px), dtype=bool)
        with np.load(self.masks.path, allow_pickle=False) as file:
            return np.unpackbits(file["valid"], axis=-1, count=int(file["columns"])).astype(bool)

    @property
    def all_valid(self) -> bool:
        """Whether nothing is masked in any scan."""
        return self.masks is None


class TiltSeries(Document):
    """A tilt series of 4D-STEM scans, sorted by tilt."""

    sample: str
    composition: str | None
    compositions: tuple[str, ...] = Field(default=(), description="of the phases a cluster may hold")
    beam: Beam
    detector: Detector
    counting: Counting | None = Field(default=None, description="None = not stated")
    scan: ScanGrid
    tilt_axis: Vector
    scans: tuple[TiltScan, ...]
    lost: tuple[LostScan, ...] = ()
    validity: Validity | None = Field(default=None, description="None = every pixel is taken for valid")
    metadata: dict[str, str] = {}
    warnings: tuple[str, ...] = Field(default=(), description="what a person should know about how scans were read")
    provenance: Provenance

    def valid_pixels(self) -> list[NDArray[np.bool_]]:
        """Return the valid pixels of every scan, (slow, fast); equal masks are one array."""
        if self.validity is None:
            return [np.ones(self.detector.shape_px, dtype=bool)] * len(self.scans)
        masks = self.validity.every_mask
        return [masks[number] for number in self.validity.mask_of_scan]


class CountingFound(Document):
    """How the camera counted."""

    stated: Literal["local-maxima-3x3", "ideal"] | None = Field(description="by the manifest; None = not stated")
    reach_px: int = Field(ge=-1, description="up to which one electron hides another in a camera frame; -1: not at all")
    known: bool = Field(description="False: neither is it stated nor are there enough pairs of electrons to tell")
    frames_per_position: float = Field(ge=0, description="camera frames, on average")
    pairs_found: tuple[int, ...] = Field(description="of electrons in one camera frame, 0, 1, 2, ... px apart, sampled")
    pairs_expected: tuple[float, ...] = Field(description="the same if all electrons were counted")
    note: str | None = Field(
        default=None, description="what the events say against the manifest, or where it is silent"
    )
