"""One tilt of a series, opened for looking: its events, and what was made of them so far."""

import threading

import numpy as np
from numpy.typing import NDArray

from tasks.apertures import ProposalSettings, ScanSpots, spots_of_scan
from tasks.events.beam_disc import BeamDisc
from tasks.events.position_sums import add_positions, electrons_inside
from tasks.events.store import ScanEvents
from tasks.events.sums import sum_pattern
from tasks.ingest import TiltSeries, open_events
from tasks.model import SourceError


class OpenTilt:
    """Events of one scan, mapped; its spots and its sum are made when asked for and kept while it is open."""

    def __init__(self, series: TiltSeries, tilt: int) -> None:
        self._shape, self._scan_shape = series.detector.shape_px, series.scan.shape
        scan = series.scans[tilt]
        try:
            self.events: ScanEvents = open_events(scan)
        except FileNotFoundError as error:
            raise SourceError(
                f"{scan.events.path.parent}: the events of {scan.source} are no longer there",
                "bring the folder back, or open the source again",
            ) from error
        self._sum_lock, self._spots_lock = threading.Lock(), threading.Lock()
        self._spots: ScanSpots | None = None
        self._total: NDArray[np.uint32] | None = None

    def counts(self) -> NDArray[np.uint32]:
        """Return the electrons of every position, (ny, nx)."""
        return np.diff(self.events.offsets.astype(np.int64)).astype(np.uint32).reshape(self._scan_shape)

    def total(self) -> NDArray[np.uint32]:
        """Return the sum of all positions, (slow, fast); not to be changed."""
        with self._sum_lock:
            if self._total is None:
                self._total = sum_pattern(self.events, self._shape)
            return self._total

    def pattern(self, positions: NDArray[np.bool_]) -> NDArray[np.uint32]:
        """Return the sum over a mask (ny, nx), (slow, fast): of more than half from what it leaves out."""
        chosen = positions.ravel()
        out = np.zeros(self._shape, dtype=np.uint32)
        most = 2 * int(chosen.sum()) > chosen.size
        if most:
            out += self.total()
        add_positions(self.events, np.flatnonzero(~chosen if most else chosen), out, taken_off=most)
        return out

    def inside(self, region: NDArray[np.bool_]) -> NDArray[np.uint32]:
        """Return the electrons of every position in a region of the detector, (ny, nx)."""
        return electrons_inside(self.events, region).reshape(self._scan_shape)

    def spots(self, start: NDArray[np.float64], valid: NDArray[np.bool_], disc: BeamDisc | None) -> ScanSpots:
        """Return the Bragg spots, found as the apertures stage finds them."""
        with self._spots_lock:
            if self._spots is None:
                self._spots = spots_of_scan(
                    self.events, self._shape, self._scan_shape, start=start, settings=ProposalSettings(),
                    valid=valid, disc=disc,
                )  # fmt: skip
            return self._spots
