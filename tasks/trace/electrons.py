"""Electrons of a crystal's frames, position by position."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.apertures import CrystalAperture
from tasks.events.store import position_blocks
from tasks.frames import DirectBeams, FrameSeries, event_origins
from tasks.ingest import TiltSeries, open_events
from tasks.integrate import Reflections, own_pixels, read_traces
from tasks.model import FileRef, SourceError
from tasks.trace.models import TracedPosition

Pixels = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Slow and fast (k,) of some pixels of a frame."""


class FrameElectrons(NamedTuple):
    """Electrons (n,) of one frame: pixels ``slow`` and ``fast``, and ``owner``: the row of ``positions`` (flat).

    ``tilt`` is the number of the scan that they are of.
    """

    tilt: int
    positions: NDArray[np.int64]
    owner: NDArray[np.int64]
    slow: NDArray[np.int64]
    fast: NDArray[np.int64]


class ElectronSource(NamedTuple):
    """What the frames of a crystal were summed from."""

    series: TiltSeries
    aperture: CrystalAperture
    beams: DirectBeams

    def missing(self) -> str | None:
        """Return which file of the event store or of the aperture is gone; None if all are there."""
        files = [self.aperture.masks, *(scan.events for scan in self.series.scans)]
        return next((str(file.path) for file in files if not file.path.exists()), None)

    def on_frame(self, frames: FrameSeries, frame: int) -> FrameElectrons:
        """Return the electrons of one frame, each with the scan position that it came from.

        Raises
        ------
        SourceError
            If an electron of the store lies outside the frame: they do not belong together.
        """
        tilt = frames.frames[frame].number
        positions = np.flatnonzero(self.aperture.positions_at(tilt).ravel())
        origins = event_origins(self.beams, tilt, self.series.scan.shape, frames.direct_beam_px)[positions]
        scan = open_events(self.series.scans[tilt])
        lengths = np.diff(scan.bounds)[positions]
        parts = [
            part.events[begin:end].copy()
            for part in position_blocks(scan, positions)
            for begin, end in zip(part.begins, part.ends, strict=True)
        ]
        events = np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, dtype=np.int64)
        owner = np.repeat(np.arange(len(positions)), lengths)
        slow, fast = np.divmod(events, self.series.detector.shape_px[1])
        slow, fast = slow + origins[owner, 0], fast + origins[owner, 1]
        shape = frames.detector.shape_px
        if len(events) and (min(slow.min(), fast.min()) < 0 or slow.max() >= shape[0] or fast.max() >= shape[1]):
            raise SourceError(
                f"{self.series.scans[tilt].events.path}: electrons lie outside the frame of {frames.id}",
                "frames and event store are of different runs: run again",
            )
        return FrameElectrons(tilt, positions, owner, slow, fast)

    def by_position(self, frames: FrameSeries, frame: int, spots: Sequence[Pixels]) -> list[tuple[TracedPosition, ...]]:
        """Return, spot by spot, the scan positions that gave electrons to its pixels on one frame; see `on_frame`."""
        _, positions, numbers = self.counted(frames, frame, spots)
        columns = self.series.scan.shape[1]
        return [
            tuple(
                TracedPosition(
                    row=int(positions[k]) // columns, column=int(positions[k]) % columns, counts=int(number[k])
                )
                for k in np.flatnonzero(number)
            )
            for number in numbers
        ]

    def counted(
        self, frames: FrameSeries, frame: int, spots: Sequence[Pixels]
    ) -> tuple[int, NDArray[np.int64], list[NDArray[np.int64]]]:
        """Return the scan of a frame, the crystal's positions there (n,), flat, and the electrons (n,) of each spot."""
        tilt, positions, owner, slow, fast = self.on_frame(frames, frame)
        inside = np.zeros(frames.detector.shape_px, dtype=bool)
        for pixels in spots:
            inside[pixels] = True
        near = np.flatnonzero(inside[slow, fast])  # of all electrons few: the spots look at these alone
        owner, slow, fast = owner[near], slow[near], fast[near]
        numbers = []
        for pixels in spots:
            inside[:] = False
            inside[pixels] = True
            numbers.append(np.bincount(owner[inside[slow, fast]], minlength=len(positions)))
        return tilt, positions, numbers


def kept_traces(reflections: Reflections) -> FileRef:
    """Return the file of what intensities were measured from.

    Raises
    ------
    SourceError
        If none was kept, or it is gone.
    """
    if reflections.traces is None:
        raise SourceError(
            f"{reflections.id}: nothing is kept of the pixels of its reflections (integrated by "
            f"{reflections.provenance.engine})",
            "only the built-in integrator keeps them, since this version: run again with integrate.engine=builtin",
        )
    if not reflections.traces.path.is_file():
        raise SourceError(f"{reflections.traces.path}: gone", "run again in a new folder")
    return reflections.traces


def bragg_by_position(reflections: Reflections, frames: FrameSeries, electrons: ElectronSource) -> NDArray[np.float64]:
    """Return the electrons, (n_tilts, ny, nx), in the own pixels of a crystal's reflections at its positions.

    Of measurements that the rocking curve expects to hold anything; background is counted with them.

    Raises
    ------
    SourceError
        If the intensities keep no pixels: they are of another engine.
    """
    measured = read_traces(kept_traces(reflections))
    bright = measured.where(np.flatnonzero(np.nan_to_num(measured.predicted) > 1.0))
    signal = np.zeros((len(electrons.series.scans), *electrons.series.scan.shape))
    for frame in np.unique(bright.frame).tolist():
        here = bright.where(np.flatnonzero(bright.frame == frame))
        pixels = [own_pixels(centre, core) for centre, core in zip(here.centre, here.core, strict=True)]
        every = np.concatenate([slow for slow, _ in pixels]), np.concatenate([fast for _, fast in pixels])
        (found,) = electrons.by_position(frames, frame, [every])
        for place in found:
            signal[frames.frames[frame].number, place.row, place.column] = place.counts
    return signal
