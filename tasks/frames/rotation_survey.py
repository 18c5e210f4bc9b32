"""The first reading of a rotation series: which frames can be read, their range of values, their direct beams."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tasks.events.bad_pixels import dead_pixels, hot_pixels
from tasks.events.direct_beam import BeamFit, find_beam
from tasks.frames.ports import FrameImages, FrameReader
from tasks.frames.settings import FrameSettings
from tasks.frames.stated_geometry import angle_contradictions, contradictions
from tasks.ingest import RotationDetector, RotationSeriesManifest, SourceFile
from tasks.model import SourceError

FRAMES_MIN = 5
"""Frames that must be readable. Chosen, not measured: fewer than the 5 neighbours that `track_beam` takes the median of
leave no outlier of the beam to be told, and hold no wedge worth integrating."""
LEAST_PIXELS = 100
"""Pixels with counts, so that chance makes no multiples of 256 of them all."""
SWAPPED_SHARE = 0.98
"""Of the pixels with counts. Of counts one in 256 is a multiple by chance; swapped, all below 256 are."""
REASONS_SHOWN = 10
"""Lines of the error. Chosen, not measured: a wrong shape or a damaged disk gives the same reason for every file."""


class FileImage(NamedTuple):
    """One frame as its file holds it."""

    number: int
    source: str
    pixels: NDArray[np.number]
    mark: float | None = None


class Seen(NamedTuple):
    """One frame that can be read, and its direct beam."""

    number: int
    source: str
    fit: BeamFit | None


class Survey(NamedTuple):
    """All frames that can be read, in the order of their numbers.

    ``low``, ``high``: the range of valid pixels; ``whole``: whether all are whole numbers; ``bad`` (slow, fast):
    stated by the manifest or by a file, not a number on some frame, always marked as not measured, always the same
    negative value below the pedestal (the mark of a dead pixel), always far above or below all neighbours; ``lost``:
    why other files cannot be read.
    """

    frames: tuple[Seen, ...]
    low: float
    high: float
    whole: bool
    bad: NDArray[np.bool_]
    lost: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What the files say that a reader of the report must know, and where they contradict the manifest."""


class FileNotes(NamedTuple):
    """What reading the files brought up: why some cannot be read, notes, and fields of the manifest as they state them.

    ``advice``: what the reader of a file says can be done; ``angles``: of the frames, by their numbers; ``bad``: pixels
    that are not to be used, one mask for each file that has one. Each is added to while files are read.
    """

    lost: list[str]
    advice: list[str]
    notes: list[str]
    stated: dict[str, list[float]]
    angles: dict[int, float]
    bad: list[NDArray[np.bool_]]

    @classmethod
    def empty(cls) -> Self:
        """Return notes of nothing read yet."""
        return cls([], [], [], {}, {}, [])


def survey_images(
    files: Sequence[SourceFile],
    manifest: RotationSeriesManifest,
    reader: FrameReader,
    settings: FrameSettings,
    stated: NDArray[np.bool_],
) -> Survey:
    """Read every image once; `stated` (slow, fast) are the pixels that the manifest states not to be used.

    Raises
    ------
    SourceError
        If fewer than 5 frames can be read.
    """
    detector = manifest.detector
    said = FileNotes.empty()
    ever_nan, ever_measured = np.zeros(detector.shape_px, dtype=bool), np.zeros(detector.shape_px, dtype=bool)
    floor = min(0.0, detector.pedestal)
    whole = True
    frames: list[Seen] = []
    low, high = np.full(detector.shape_px, np.inf), np.full(detector.shape_px, -np.inf)
    for image in each_image(files, reader, detector.shape_px, said):
        finite = np.isfinite(image.pixels)
        values = np.where(finite, image.pixels, 0)
        ever_nan |= ~finite
        measured = finite if _counts(image.mark, detector) else finite & (values != image.mark)
        ever_measured |= measured
        np.minimum(low, values, out=low, where=finite)
        np.maximum(high, values, out=high, where=finite)
        whole = whole and (values.dtype.kind in "ui" or bool(np.array_equal(values, np.rint(values))))
        frames.append(_seen(image, values, measured & (values >= floor) & ~stated, detector, settings))
    if len(frames) < FRAMES_MIN:
        reasons = "\n".join(said.lost[:REASONS_SHOWN])
        raise SourceError(
            f"{len(frames)} readable frames, at least {FRAMES_MIN} are needed\n{reasons}".rstrip(),
            next((advice for advice in said.advice if advice), "check `files` in the manifest"),
        )
    unmeasured = stated | ever_nan | ~ever_measured | ((low == high) & (low < floor))
    for mask in said.bad:
        unmeasured |= mask
    above = np.where(unmeasured, 0.0, low - detector.pedestal) / detector.gain
    dead = dead_pixels(np.where(unmeasured, 0.0, high - detector.pedestal) / detector.gain)
    good = ~(unmeasured | hot_pixels([above]) | dead)
    lowest, highest = float(low[good].min(initial=0.0)), float(high[good].max(initial=0.0))
    notes = (
        *_noted(said, len(files)),
        *contradictions(said.stated, manifest),
        *angle_contradictions(said.angles, frames[0].number, manifest.oscillation),
        *_swapped(high, good),
    )
    return Survey(tuple(frames), lowest, highest, whole, ~good, tuple(said.lost), notes)


def _noted(said: FileNotes, files: int) -> tuple[str, ...]:
    """Return each note once, with the number of files that gave it."""
    counted = Counter(said.notes)
    return tuple(note if files == 1 else f"{note} ({number} of {files} files)" for note, number in counted.items())


def _swapped(high: NDArray[np.number], good: NDArray[np.bool_]) -> tuple[str, ...]:
    """Say so where nearly all pixels are multiples of 256: small counts look like that with their bytes swapped."""
    values = high[good & (high != 0)]
    if len(values) < LEAST_PIXELS or (values % 256 == 0).mean() < SWAPPED_SHARE:
        return ()
    return ("nearly all pixels are multiples of 256: is the byte order of the files the one that their headers state?",)


def each_image(
    files: Sequence[SourceFile], reader: FrameReader, shape: tuple[int, int], said: FileNotes, *, step: int = 1
) -> Iterator[FileImage]:
    """Yield the frames by ascending number (`step` 1) or descending (-1).

    Why a file cannot be read, and what it says, is added to `said`. A single file may hold a stack: its images are
    numbered from 0.
    """
    for file in files[::step]:
        if file.data is None:
            said.lost.append(f"{file.name}: {file.problem}")
            continue
        try:
            found = reader.read(file.data.path, shape=shape)
        except SourceError as error:
            said.lost.append(error.message)
            said.advice.append(error.advice)
            continue
        if len(files) > 1 and len(found.images) != 1:
            said.lost.append(f"{file.name}: holds {len(found.images)} images beside other files")
            said.advice.append(
                "name the one file that holds all frames, a master or a stack, or files of one image each"
            )
            continue
        numbers = list(range(len(found.images))) if len(files) == 1 else [int(file.number or 0)]
        _note(said, found, numbers)
        for index in range(len(numbers))[::step]:
            yield FileImage(numbers[index], file.name, found.images[index], found.mark)


def _counts(mark: float | None, detector: RotationDetector) -> bool:
    """Tell whether all values count: no mark, or one that the manifest takes for a valid value by its saturation."""
    return mark is None or (detector.saturation is not None and detector.saturation >= mark)


def _note(said: FileNotes, found: FrameImages, numbers: Sequence[int]) -> None:
    """Add what a file says to the notes."""
    said.notes.extend(found.notes)
    for field, value in found.stated.items():
        said.stated.setdefault(field, []).append(value)
    if len(found.angles_deg) == len(numbers):
        said.angles.update(zip(numbers, found.angles_deg, strict=True))
    if found.bad is not None:
        said.bad.append(found.bad)


def _seen(
    image: FileImage,
    values: NDArray[np.number],
    usable: NDArray[np.bool_],
    detector: RotationDetector,
    settings: FrameSettings,
) -> Seen:
    fit = None
    if settings.centring == "find":
        electrons = (values.astype(np.float64) - detector.pedestal) / detector.gain
        reach = settings.search_fraction * min(detector.shape_px)
        fit = find_beam(electrons, start=detector.direct_beam_px, reach_px=reach, mask=usable)
    return Seen(image.number, image.source, fit)
