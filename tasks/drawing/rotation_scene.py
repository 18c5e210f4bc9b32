"""A rotation series, opened for looking: its frames one by one, what all of them have in common, predicted spots."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.ingest import RotationSeriesManifest
from tasks.model import SourceError

FrameImage = Literal["frame", "mean", "maximum", "minimum"]
"""What may be looked at: one frame, or over all frames the mean, the largest and the smallest value of each pixel."""
OPEN_FRAMES = 8
"""Frames kept in memory. Chosen, not measured: enough to go back and forth, 128 MiB at 2048 x 2048 in electrons."""


class ReadFrame(Protocol):
    """Reads one frame of a series."""

    def __call__(self, index: int) -> NDArray[np.number]:
        """Return the frame (slow, fast) as its file holds it.

        Raises
        ------
        SourceError
            If it cannot be read.
        """
        ...


class RotationFrame(NamedTuple):
    """Which exposure a frame is."""

    number: int
    """In the series; a gap in the numbers is a gap in the rotation."""
    angle_deg: float
    """Of the goniometer, the lower end of the exposure."""
    source: str
    """Name of its file."""
    beam_px: tuple[float, float] | None = None
    """(slow, fast) of the direct beam, as a run measured it or the manifest states it; None: neither."""
    counts: float | None = None
    """In electrons, as a run counted them."""


class PredictedSpots(NamedTuple):
    """Where a lattice that was found predicts spots, on the detector as the files hold it."""

    frame: NDArray[np.int64]
    """(k,) places in the frames of the scene."""
    px: NDArray[np.float64]
    """(k, 2) (slow, fast)."""
    hkl: NDArray[np.int32]
    """(k, 3)."""

    def on(self, index: int) -> "PredictedSpots":
        """Return those of one frame."""
        here = self.frame == index
        return PredictedSpots(self.frame[here], self.px[here], self.hkl[here])


class OverAllFrames(NamedTuple):
    """What all frames have in common, pixel by pixel, in electrons; a shadow is dark in all three."""

    mean: NDArray[np.float32]
    maximum: NDArray[np.float32]
    minimum: NDArray[np.float32]
    counts: NDArray[np.float64]
    """(frames,) sum of each frame, in electrons; NaN where it cannot be read."""


class RotationScene:
    """An opened rotation series. Several threads may ask it at once.

    Parameters
    ----------
    frames
        In the order of `read`.
    read
        Reads one of them.
    not_used
        (slow, fast) True: pixels that the manifest states, or a run found, not to be used.
    spots
        Of the run's lattice; None: no run, or nothing indexed.
    """

    def __init__(
        self,
        manifest: RotationSeriesManifest,
        frames: tuple[RotationFrame, ...],
        read: ReadFrame,
        *,
        not_used: NDArray[np.bool_],
        spots: PredictedSpots | None = None,
        open_frames: int = OPEN_FRAMES,
    ) -> None:
        self.manifest = manifest
        self.frames = frames
        self.not_used = not_used
        self.spots = spots
        self._read = read
        self._most = open_frames
        self._open: OrderedDict[int, NDArray[np.float32]] = OrderedDict()
        self._all: OverAllFrames | None = None
        self._guard = threading.Lock()
        self._summing = threading.Lock()

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast) of the detector."""
        return self.manifest.detector.shape_px

    @property
    def angle_deg(self) -> NDArray[np.float64]:
        """Goniometer angle of every frame, (n,)."""
        return np.array([frame.angle_deg for frame in self.frames])

    @property
    def counts(self) -> NDArray[np.float64]:
        """Electrons of every frame, (n,): as a run counted them, or `over_all`; NaN where neither is known."""
        if self._all is not None:
            return self._all.counts
        return np.array([np.nan if frame.counts is None else frame.counts for frame in self.frames])

    @property
    def summed(self) -> bool:
        """Whether all frames were looked at already, so that `over_all` answers at once."""
        return self._all is not None

    def frame(self, index: int) -> NDArray[np.float32]:
        """Return one frame (slow, fast) in electrons, NaN where the file holds no number.

        Raises
        ------
        SourceError
            If it cannot be read, or the series has no such frame.
        """
        if not 0 <= index < len(self.frames):
            raise SourceError(f"frame {index}: the series has {len(self.frames)} frames", "choose one of them")
        with self._guard:
            if index in self._open:
                self._open.move_to_end(index)
                return self._open[index]
        electrons = self._electrons(index)
        with self._guard:
            self._open[index] = electrons
            while len(self._open) > self._most:
                self._open.popitem(last=False)
        return electrons

    def over_all(self, tell: Callable[[int, int], None] | None = None) -> OverAllFrames:
        """Return what all frames that can be read have in common; each is read once, and none is kept.

        Parameters
        ----------
        tell
            Told how many frames were read, and of how many.

        Raises
        ------
        SourceError
            If none can be read.
        """
        with self._summing:
            if self._all is None:
                self._all = self._look_at_all(tell or (lambda _done, _of: None))
            return self._all

    def image(self, index: int, name: FrameImage) -> NDArray[np.float32]:
        """Return one frame, or what all have in common, (slow, fast) in electrons."""
        return self.frame(index) if name == "frame" else getattr(self.over_all(), name)

    def _electrons(self, index: int) -> NDArray[np.float32]:
        detector = self.manifest.detector
        electrons = ((self._read(index) - detector.pedestal) / detector.gain).astype(np.float32)
        electrons.setflags(write=False)
        return electrons

    def _look_at_all(self, tell: Callable[[int, int], None]) -> OverAllFrames:
        total, times = np.zeros(self.shape), np.zeros(self.shape, dtype=np.int64)
        high, low = np.full(self.shape, -np.inf, np.float32), np.full(self.shape, np.inf, np.float32)
        counts = np.full(len(self.frames), np.nan)
        for index in range(len(self.frames)):
            try:
                electrons = self._electrons(index)
            except SourceError:
                continue  # a frame that cannot be read is a gap for the run too
            measured = np.isfinite(electrons)
            np.add(total, electrons, out=total, where=measured)
            times += measured
            np.fmax(high, electrons, out=high)
            np.fmin(low, electrons, out=low)
            counts[index] = float(electrons[measured & ~self.not_used].sum(dtype=np.float64))
            tell(index + 1, len(self.frames))
        if not times.any():
            raise SourceError(f"{self.manifest.sample}: no frame can be read", "check `files` in the manifest")
        with np.errstate(invalid="ignore"):
            mean = np.where(times > 0, total / times, np.nan).astype(np.float32)
        return OverAllFrames(mean, np.where(times > 0, high, np.nan), np.where(times > 0, low, np.nan), counts)
