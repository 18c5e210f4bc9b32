"""A tilt series opened for looking: images of the scans, and exact sums of whatever positions are chosen."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import h5py
import numpy as np
from numpy.typing import NDArray

from tasks.apertures import ApertureSet, ScanSpots
from tasks.drawing.angle_maps import angle_image
from tasks.drawing.kept_images import KeptImages
from tasks.drawing.likeness import brightest, misorientation
from tasks.drawing.open_tilt import OpenTilt
from tasks.drawing.virtual_detector import VirtualDetector
from tasks.events.beam_disc import BeamDisc
from tasks.events.position_sums import add_positions
from tasks.events.repeated import repeated_positions
from tasks.events.scan_beam import find_direct_beam, find_disc_beam
from tasks.ingest import TiltSeries, disc_of_series
from tasks.model import SourceError

IMAGES: Mapping[str, str] = MappingProxyType(
    {
        "counts": "all electrons of the position, wherever they hit the detector",
        "bright field": "electrons in the direct beam",
        "dark field": "electrons outside the direct beam: spots and what is scattered diffusely",
        "Bragg": "electrons in the Bragg spots of the scan's sum, above the background there",
        "quality": "Bragg electrons of 3 x 3 positions over their standard deviation; 0 at empty and faulty positions",
        "misorientation": "part of the Bragg electrons that the pattern of the reference does not explain: from 0, as "
        "the reference, to 1, nothing in common or no diffraction; no angle. Reference: the chosen aperture, or else "
        "the brightest place",
    }
)
"""What can be seen of a scan, and what each image is."""

ANGLE = "misorientation angle"
"""The image that only a run has whose crystals were mapped."""

ANGLE_WORDS = (
    "degrees by which a crystal's lattice is turned here against its mean orientation, by its own reflections at all "
    "tilts; black where nothing is measured. Noise alone gives an angle of the size of its sigma: see the report"
)

FROM_A_RUN = {"bright field": "bright_field", "dark field": "dark_field", "Bragg": "bragg", "quality": "quality"}


class Scene:
    """A series for several readers at once; memory is bounded by the tilts that are open.

    Tilts are numbers in ``series.scans``. Images and patterns are of the scan as it was filed, electrons where the
    detector has them: nothing is shifted, corrected or masked.
    """

    def __init__(
        self,
        series: TiltSeries,
        *,
        apertures: ApertureSet | None = None,
        angle_maps: Sequence[Path] = (),
        open_tilts: int = 4,
    ) -> None:
        if open_tilts < 1:
            raise ValueError(f"open_tilts is 1 at least, got {open_tilts}")
        if apertures is not None and (len(apertures.tilt_deg), apertures.scan_shape) != (
            len(series.scans),
            series.scan.shape,
        ):
            raise SourceError("the run's apertures are of another series", "open the run's own series")
        self.series, self.apertures = series, apertures
        self.angle_maps = tuple(angle_maps)
        self._open: OrderedDict[int, OpenTilt] = OrderedDict()
        self._most = open_tilts
        self._lock, self._disc_lock = threading.Lock(), threading.Lock()
        self._images = KeptImages()
        self._valid = series.valid_pixels()
        self._centres: dict[int, tuple[float, float]] = {}
        self._disc: tuple[BeamDisc | None] | None = None

    @property
    def tilt_deg(self) -> tuple[float, ...]:
        """Of every scan, ascending."""
        return tuple(scan.tilt_deg for scan in self.series.scans)

    @property
    def scan_shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.series.scan.shape

    @property
    def step_nm(self) -> float:
        """Between neighbouring positions."""
        return self.series.scan.step_nm

    @property
    def detector_shape(self) -> tuple[int, int]:
        """(slow, fast)."""
        return self.series.detector.shape_px

    @property
    def image_names(self) -> tuple[str, ...]:
        """The images that can be made, for `image`."""
        return (*IMAGES, *((ANGLE,) if self.angle_maps else ()))

    def describe(self, name: str) -> str:
        """Return what an image is, in words; raises KeyError if there is none of that name."""
        return ANGLE_WORDS if name == ANGLE and self.angle_maps else IMAGES[name]

    def valid(self, tilt: int) -> NDArray[np.bool_]:
        """Return the detector's pixels that were measured, (slow, fast)."""
        return self._valid[tilt]

    def centre(self, tilt: int) -> tuple[float, float]:
        """Return the direct beam of the scan's sum, (slow, fast) px; behind a beam stop the pattern's centre."""
        if tilt not in self._centres:
            total, disc = self.glimpse(tilt).total(), self._disc_of_beam()
            if disc is None:
                beam = find_direct_beam(total, start=self._start(), valid=self.valid(tilt))
            else:
                beam = find_disc_beam(total, start=self._start(), disc=disc, valid=self.valid(tilt))
            self._centres[tilt] = (float(beam.centre[0]), float(beam.centre[1]))
        return self._centres[tilt]

    def pattern(self, tilt: int, positions: NDArray[np.bool_]) -> NDArray[np.uint32]:
        """Return the exact sum, (slow, fast), of the electrons at the positions of a mask (ny, nx)."""
        self._check(positions)
        return self.opened(tilt).pattern(positions)

    def pattern_changed(
        self, tilt: int, pattern: NDArray[np.uint32], added: NDArray[np.bool_], removed: NDArray[np.bool_]
    ) -> NDArray[np.uint32]:
        """Return a pattern after some positions came and others went; only the electrons of these are read.

        Parameters
        ----------
        pattern
            Of this tilt, from `pattern` or from here; it is not changed.
        added, removed
            (ny, nx); `added` must not be in the pattern yet, `removed` must be. A position in both stays as it is.
        """
        for mask in (added, removed):
            self._check(mask)
        events, out = self.opened(tilt).events, pattern.copy()
        for some, other, taken_off in ((added, removed, False), (removed, added, True)):
            add_positions(events, np.flatnonzero(some & ~other), out, taken_off=taken_off)
        return out

    def counts(self, tilt: int) -> NDArray[np.uint32]:
        """Return the electrons of every position, (ny, nx)."""
        return self.glimpse(tilt).counts()

    def repeated(self, tilt: int) -> NDArray[np.bool_]:
        """Return (ny, nx): positions whose electrons are those of the one before, written twice.

        The pipeline sums them in no aperture, `pattern` does.
        """
        return repeated_positions(self.glimpse(tilt).events).reshape(self.scan_shape)

    def detector_image(self, tilt: int, detector: VirtualDetector) -> NDArray[np.float32]:
        """Return the electrons of every position that hit a virtual detector, (ny, nx)."""
        return self.glimpse(tilt).inside(detector.region(self.detector_shape)).astype(np.float32)

    def image(self, tilt: int, name: str, *, reference: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """Return an image (ny, nx) of a scan; `describe` says what it is.

        Maps that the run has are the run's, the others are made from the events in the same way. Read-only.

        Parameters
        ----------
        reference
            (ny, nx): positions with which "misorientation" compares; None or empty = the brightest place.

        Raises
        ------
        KeyError
            If there is no image of that name.
        """
        if name not in self.image_names:
            raise KeyError(f"no image {name!r}: {', '.join(self.image_names)}")
        if name == ANGLE:
            return angle_image(self.angle_maps, tilt, self.scan_shape)
        if name == "misorientation":
            spots = self.spots(tilt)
            chosen = brightest(spots) if reference is None or not reference.any() else reference
            return misorientation(spots, chosen)
        kept = self._images.get(tilt, name)
        return self._made(tilt, name) if kept is None else kept

    def spots(self, tilt: int) -> ScanSpots:
        """Return the Bragg spots of a scan, and each position's electrons in them."""
        return self._spots_of(self.opened(tilt), tilt)

    def opened(self, tilt: int) -> OpenTilt:
        """Return a tilt's events; the one that was used longest ago is released when there are too many."""
        with self._lock:
            if tilt in self._open:
                self._open.move_to_end(tilt)
            else:
                self._open[tilt] = OpenTilt(self.series, tilt)
            while len(self._open) > self._most:
                self._open.popitem(last=False)
            return self._open[tilt]

    def glimpse(self, tilt: int) -> OpenTilt:
        """Return a tilt's events for once: no other is released for them, so that all tilts may be gone through."""
        with self._lock:
            if tilt in self._open:
                return self._open[tilt]
            room = len(self._open) < self._most
        return self.opened(tilt) if room else OpenTilt(self.series, tilt)

    def _made(self, tilt: int, name: str) -> NDArray[np.float32]:
        if name == "counts":
            return self._images.keep(tilt, name, self.counts(tilt).astype(np.float32))
        if self.apertures is not None:
            with h5py.File(self.apertures.maps.path, "r") as file:
                if FROM_A_RUN[name] in file:
                    return self._images.keep(tilt, name, np.asarray(file[FROM_A_RUN[name]][tilt], dtype=np.float32))
        maps = self._spots_of(self.glimpse(tilt), tilt).maps
        wanted = FROM_A_RUN if self.apertures is None else {name: FROM_A_RUN[name]}
        made = {each: self._images.keep(tilt, each, maps[of].astype(np.float32)) for each, of in wanted.items()}
        return made[name]

    def _spots_of(self, opened: OpenTilt, tilt: int) -> ScanSpots:
        return opened.spots(self._start(), self.valid(tilt), self._disc_of_beam())

    def _start(self) -> NDArray[np.float64]:
        middle = tuple((n - 1) / 2 for n in self.detector_shape)
        return np.array(self.series.detector.direct_beam_px or middle, dtype=np.float64)

    def _disc_of_beam(self) -> BeamDisc | None:
        with self._disc_lock:
            if self._disc is None:
                self._disc = (disc_of_series(self.series)[0],)
            return self._disc[0]

    def _check(self, positions: NDArray[np.bool_]) -> None:
        if positions.shape != self.scan_shape or positions.dtype != np.bool_:
            raise ValueError(f"a mask is bool {self.scan_shape}, got {positions.dtype} {positions.shape}")
