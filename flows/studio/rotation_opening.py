"""Opening a rotation series for the studio: its frames, the mask that it has, and what a run found in it."""

import threading
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from adapters.formats.frame_reader import FrameFileReader
from adapters.formats.mask_reader import MaskFileReader
from tasks.drawing import PredictedSpots, RotationFrame, RotationScene
from tasks.frames import Frame, FrameImages, FrameSeries
from tasks.ingest import RotationSeriesManifest, SourceDocument, read_source, stated_mask
from tasks.integrate import Reflections
from tasks.model import SourceError
from tasks.stage import read_document

CRYSTAL = Path("crystals") / "crystal-01"
"""Where a run of a rotation series keeps its one crystal (`flows.pipeline.solve_rotation_series`)."""


class OpenedRotation(NamedTuple):
    """A rotation series, opened."""

    document: SourceDocument
    scene: RotationScene
    mask: NDArray[np.bool_]
    """(slow, fast), True = not to be used: what the manifest's mask file holds, to be drawn on."""
    notes: tuple[str, ...]
    """What a person should know about what is shown."""


class FoundByRun(NamedTuple):
    """What a run says of the frames of its source."""

    frames: dict[int, Frame]
    """By their numbers."""
    spots: PredictedSpots | None
    not_used: NDArray[np.bool_] | None
    notes: tuple[str, ...]


def open_rotation(source: Path, *, run: Path | None = None) -> OpenedRotation:
    """Open a source folder with a ``rotation_series.json``, and what a run of it found.

    Raises
    ------
    SourceError
        If it is no rotation series, its manifest is wrong, or its mask or first frame cannot be read.
    """
    document = read_source(source)
    manifest = document.manifest
    if not isinstance(manifest, RotationSeriesManifest):
        raise SourceError(f"{source}: holds no rotation series", "open it as a tilt series")
    reader = FrameFiles(document, manifest)
    numbers = reader.numbers()
    found = None if run is None else _found_by(run, document, manifest, numbers)
    frames = _frames(document, manifest, numbers, {} if found is None else found.frames)
    not_used = stated_mask(document, MaskFileReader())
    if found is not None and found.not_used is not None:
        not_used |= found.not_used
    scene = RotationScene(manifest, frames, reader, not_used=not_used, spots=None if found is None else found.spots)
    return OpenedRotation(document, scene, _mask_of_file(document), () if found is None else found.notes)


class FrameFiles:
    """Reads the frames of a source one by one; a file that holds all of them is read once and kept."""

    def __init__(self, document: SourceDocument, manifest: RotationSeriesManifest) -> None:
        self._files = document.files
        self._detector = manifest.detector
        self._reader = FrameFileReader()
        self._stack: FrameImages | None = None
        self._guard = threading.Lock()

    def numbers(self) -> list[int]:
        """Return the number of every frame: that of its name, or its place in the one file."""
        if len(self._files) > 1:
            return [int(file.number or 0) for file in self._files]
        return list(range(len(self._whole().images)))

    def __call__(self, index: int) -> NDArray[np.number]:
        """Return one frame (slow, fast), NaN where the file marks a pixel as not measured."""
        found, place = (self._whole(), index) if len(self._files) == 1 else (self._of_file(index), 0)
        if len(self._files) > 1 and len(found.images) != 1:
            raise SourceError(
                f"{self._files[index].name}: holds {len(found.images)} images beside other files",
                "name the one file that holds all frames, or files of one image each",
            )
        image = found.images[place]
        highest = self._detector.saturation
        if found.mark is None or (highest is not None and highest >= found.mark):
            return image
        return np.where(image == found.mark, np.nan, image)

    def _whole(self) -> FrameImages:
        with self._guard:
            if self._stack is None:
                self._stack = self._of_file(0)
            return self._stack

    def _of_file(self, index: int) -> FrameImages:
        file = self._files[index]
        if file.data is None:
            raise SourceError(f"{file.name}: {file.problem}", "restore the file")
        return self._reader.read(file.data.path, shape=self._detector.shape_px)


def _frames(
    document: SourceDocument, manifest: RotationSeriesManifest, numbers: list[int], found: dict[int, Frame]
) -> tuple[RotationFrame, ...]:
    """Return every exposure: as the run found it, else at the angle that the frames stage counts from the first."""
    turn = manifest.oscillation
    frames = []
    for index, number in enumerate(numbers):
        begin = turn.start_deg + (number - numbers[0]) * turn.width_deg
        name = document.files[index].name if len(document.files) > 1 else f"{document.files[0].name}[{index}]"
        one = RotationFrame(
            number, round(min(begin, begin + turn.width_deg), 9), name, manifest.detector.direct_beam_px
        )
        if (of_run := found.get(number)) is not None:
            beam = of_run.beam_found_px or one.beam_px
            one = one._replace(angle_deg=of_run.angle_deg, beam_px=beam, counts=of_run.counts)
        frames.append(one)
    return tuple(frames)


def _mask_of_file(document: SourceDocument) -> NDArray[np.bool_]:
    """Return what ``detector.mask`` holds, without the rectangles that the manifest lists beside it."""
    detector = document.manifest.detector.model_copy(update={"bad_rectangles_px": ()})
    manifest = document.manifest.model_copy(update={"detector": detector})
    return stated_mask(document.model_copy(update={"manifest": manifest}), MaskFileReader())


def _found_by(run: Path, document: SourceDocument, manifest: RotationSeriesManifest, numbers: list[int]) -> FoundByRun:
    """Read what a run keeps of its frames; a run that did not come so far has found nothing."""
    try:
        series = read_document(run / CRYSTAL / "frames", FrameSeries)
    except SourceError:
        return FoundByRun({}, None, None, (f"{run.name} has no frames yet: no predicted spots",))
    frames = {frame.number: frame for frame in series.frames}
    inputs = series.provenance.inputs
    if any(file.data is not None and inputs.get(file.name) != file.data.sha256 for file in document.files):
        return FoundByRun({}, None, None, (f"the frames are not those of {run.name}: its spots are not shown",))
    if series.detector.shape_px == manifest.detector.shape_px:
        not_used, notes = ~series.mask, []
    else:
        not_used, notes = None, ["the run moved frames to one beam: what it masked itself is not shown"]
    try:
        reflections = read_document(run / CRYSTAL / "integrate", Reflections)
    except SourceError:
        return FoundByRun(frames, None, not_used, (*notes, f"{run.name} indexed nothing: no predicted spots"))
    spots = _spots(series, reflections, manifest, {number: index for index, number in enumerate(numbers)})
    if spots is None:
        notes.append("the run's integrator keeps no predicted spots")
    return FoundByRun(frames, spots, not_used, tuple(notes))


def _spots(
    series: FrameSeries, reflections: Reflections, manifest: RotationSeriesManifest, place: dict[int, int]
) -> PredictedSpots | None:
    """Return the predictions on the detector; those of a moved frame whose beam was not measured are left out."""
    if reflections.pictures is None:
        return None
    with h5py.File(reflections.pictures.path, "r") as file:
        frame, px, hkl = np.asarray(file["frame"]), np.asarray(file["px"]), np.asarray(file["hkl"])
    moved = series.detector.shape_px != manifest.detector.shape_px
    by = np.full((len(series.frames), 2), np.nan if moved else 0.0)
    if moved:
        for index, one in enumerate(series.frames):
            if one.beam_found_px is not None and one.beam_residual_px is not None:
                by[index] = np.subtract(np.add(series.direct_beam_px, one.beam_residual_px), one.beam_found_px)
    index_of = np.array([place.get(one.number, -1) for one in series.frames])
    here = index_of[frame]
    shown = (here >= 0) & np.isfinite(by[frame]).all(axis=1)
    where = px - np.rint(by[frame])
    return PredictedSpots(here[shown].astype(np.int64), where[shown], hkl[shown].astype(np.int32))
