"""What ingest hands on: a tilt series with its events on disk."""

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
    """One scan: its events in compressed sparse rows.

    ``offsets`` is a .npy file of (n_positions + 1,) uint64, ``events`` one of (n_events,) uint32: the events of
    scan position i (row * columns + column) are ``events[offsets[i]:offsets[i + 1]]``, each the flat detector
    pixel (row * n_columns + column) of one electron; repeated values are several electrons. ``frames``, (k + 1,)
    uint64, bounds the events of every camera frame that holds any, where positions have several.
    """

    tilt_deg: float
    source: str = Field(description="file name within the source folder")
    offsets: FileRef
    events: FileRef
    counts: int = Field(ge=0, description="electrons in the positions that are kept (flyback dropped)")
    frames_per_position: float = Field(default=1.0, ge=0, description="camera frames per scan position, on average")
    frames: FileRef | None = Field(default=None, description="bounds of camera frames; None = one for each position")
    entries_are_frames: bool = Field(default=True, description="False: the file sums the camera frames of a position")
    flyback_counts: int = Field(default=0, ge=0, description="electrons in the flyback columns, dropped")
    order: int | None = Field(default=None, description="0, 1, 2, ... as the scans were measured; None = not known")
    dose_e_per_A2: float | None = Field(default=None, description="electrons per square angstrom; None = not known")  # noqa: N815 - the name of the contract
    repeat: int | None = Field(default=None, description="which of several scans at one tilt")


class LostScan(Document):
    """A listed scan that cannot be used, and why."""

    source: str
    tilt_deg: float
    reason: str


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
    metadata: dict[str, str] = {}
    provenance: Provenance
