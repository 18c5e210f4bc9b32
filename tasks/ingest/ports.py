"""What ingest needs from the outside: readers of event files and of masks."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.ingest.electrons import NOTHING_STATED, Stated
from tasks.model import FileRef


class ScanData(NamedTuple):
    """One scan in memory, flyback dropped; the layout is that of `TiltScan`."""

    offsets: NDArray[np.uint64]
    events: NDArray[np.uint32]
    flyback_events: int
    """Electrons in the flyback columns."""
    frames_per_position: float
    """Camera frames per scan position, on average."""
    metadata: dict[str, str]
    """What the file says about itself, as short texts."""
    frame_offsets: NDArray[np.uint64] | None = None
    """(k + 1,): bounds in `events` of the camera frames that hold any, where a position has several of them."""
    camera_frames: int | None = None
    """Camera frames of a position, the most that any has; None = the file sums what each saw."""
    beside: tuple[Path, ...] = ()
    """Files beside the listed one that hold a part of the scan, or tell about it."""
    beam_px: NDArray[np.float32] | None = None
    """(n_positions, 2): where the direct beam lies at each position, (slow, fast), as a file beside the scan tells."""
    notes: tuple[str, ...] = ()
    """What a person should know about how the scan was read."""


class StoredScan(NamedTuple):
    """What came of one scan that was written into a store; the other fields are those of `ScanData`."""

    events: FileRef
    counts: int
    """Electrons in it."""
    frames_told: bool
    """Whether the store bounds camera frames within positions."""
    flyback_events: int
    frames_per_position: float
    metadata: dict[str, str]
    camera_frames: int | None = None
    beside: tuple[Path, ...] = ()
    beam_px: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = ()


class StoreScan(Protocol):
    """Writes one scan of electron events into a store."""

    def __call__(
        self,
        path: Path,
        *,
        scan_shape: tuple[int, int],
        flyback_columns: int,
        frame_shape: tuple[int, int],
        stated: Stated = NOTHING_STATED,
        store: Path,
        compressed: bool = True,
    ) -> StoredScan:
        """Write every electron of one scan to `store`; `stated` is what the manifest says of how the file holds them.

        Several scans may be read at once, from threads.

        Raises
        ------
        SourceError
            If the file is damaged or contradicts the shapes.
        OSError
            If the store cannot be written: the disk is full.
        """
        ...


class ScanReader(Protocol):
    """Knows one file format of scans."""

    @property
    def engine(self) -> str:
        """Name of the engine, for the provenance."""
        ...

    def storing(self, workers: int = 1) -> AbstractContextManager[StoreScan]:
        """Return a function that reads scans into stores as long as the context lasts, `workers` at a time."""
        ...


class MaskReader(Protocol):
    """Reads the mask of a detector."""

    def read(self, path: Path, *, dataset: str | None, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the pixels that are not to be used, (slow, fast); `dataset` is the place within an HDF5 file.

        Raises
        ------
        SourceError
            If the file is damaged, not safe to read, or not a mask of this shape.
        """
        ...
