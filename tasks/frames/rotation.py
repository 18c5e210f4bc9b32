"""A rotation series from image files: numbers become angles, pixels become unsigned integers, the beam stays put."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.events.canvas import Canvas, canvas_for
from tasks.frames.models import Frame, FrameSeries
from tasks.frames.ports import FrameReader
from tasks.frames.rotation_survey import FileImage, FileNotes, Survey, each_image, survey_images
from tasks.frames.settings import FrameSettings
from tasks.frames.stack import write_stack
from tasks.frames.track import BeamTrack, track_beam
from tasks.ingest import (
    MaskReader,
    Oscillation,
    RotationDetector,
    RotationSeriesManifest,
    SourceDocument,
    stated_mask,
)
from tasks.model import Detector, InputError, SourceError
from tasks.model.experiment import PixelPosition
from tasks.model.provenance import Provenance
from tasks.stage import code_version

STEADY_PX = 1.0
"""A beam that stays this close to its median is left where it is: the measurement is hardly better."""
FRACTION_SCALE = 16
"""Steps in which a detector unit is stored where pixels are fractions: rounding adds a variance of 1 / (12 * 16^2) =
3e-4 units^2, and sixteen bits still hold 4096 units."""
LARGEST_SHIFT = 10**6
"""Most that negative pixels are raised by, as stored: a manifest's pedestal goes as far (`RotationDetector`)."""
SERIES_ID = "crystal-01"
NAMED = 5
"""Files named in a warning; others are counted. Chosen, not measured: a warning stays short enough to be read."""


class Storage(NamedTuple):
    """How a pixel is stored: round(pixel * scale) + shift, an unsigned integer."""

    scale: int
    shift: int

    def stored(self, value: float) -> float:
        """Return where a pixel value of the files lies in the stack."""
        return value * self.scale + self.shift


class FrameShifts(NamedTuple):
    """Whole-pixel shifts (n, 2) of the frames, the canvas that holds them all, and the beam on it."""

    shifts: NDArray[np.int64]
    canvas: Canvas
    target: NDArray[np.float64]
    """The beam after the shifts, on a detector that is not shifted."""

    @property
    def direct_beam_px(self) -> PixelPosition:
        """(slow, fast) of every frame on the canvas."""
        centre = self.target + self.canvas.origin
        return round(float(centre[0]), 4), round(float(centre[1]), 4)


def rotation_series(
    source: SourceDocument,
    reader: FrameReader,
    settings: FrameSettings,
    path: Path,
    masks: MaskReader | None = None,
) -> FrameSeries:
    """Read all frames of a rotation series and write them to the stack `path`.

    Pixels that are not whole numbers are stored times 16, negative ones on a raised pedestal; gain, pedestal and
    saturation follow. Frames that cannot be read are gaps in the rotation, and are named in the warnings.

    Raises
    ------
    SourceError
        If too few frames can be read, no direct beam is known, or a pixel does not fit into 32 bits.
    """
    manifest = source.manifest
    if not isinstance(manifest, RotationSeriesManifest):
        raise InputError(f"{source.manifest_file.path} describes no rotation series")
    detector = manifest.detector
    survey = survey_images(source.files, manifest, reader, settings, stated_mask(source, masks))
    storage = _storage(survey, manifest.sample)
    track = track_beam([frame.fit for frame in survey.frames], start=detector.direct_beam_px, name=manifest.sample)
    placement = _placement(track, detector.shape_px)
    step = 1 if manifest.oscillation.width_deg > 0 else -1  # frames are sorted by angle
    sums: dict[int, int] = {}
    images = each_image(source.files, reader, detector.shape_px, FileNotes.empty(), step=step)
    stack = write_stack(
        path,
        _placed(images, survey, storage, placement, sums),
        count=len(survey.frames),
        mask=_valid(survey.bad, placement),
        dtype=np.uint16 if storage.stored(survey.high) < 2**16 else np.uint32,
    )
    valid = int((~survey.bad).sum())
    electrons = [
        (sums[seen.number] - valid * storage.stored(detector.pedestal)) / (detector.gain * storage.scale)
        for seen in survey.frames
    ]
    frames = _documents(survey, manifest, track, placement, electrons)
    return FrameSeries(
        id=SERIES_ID,
        sample=manifest.sample,
        composition=manifest.single_composition,
        beam=manifest.beam,
        detector=_on_canvas(detector, placement),
        direct_beam_px=placement.direct_beam_px,
        rotation_axis=manifest.rotation_axis,
        frames=frames[::step],
        stack=stack,
        gain=detector.gain * storage.scale,
        pedestal=storage.stored(detector.pedestal),
        saturation=None if detector.saturation is None else storage.stored(detector.saturation),
        warnings=_warnings(survey, storage, track, placement),
        provenance=_provenance(source, reader, settings),
    )


def _storage(survey: Survey, sample: str) -> Storage:
    scale = 1 if survey.whole else FRACTION_SCALE
    shift = max(0, math.ceil(-survey.low * scale))
    if shift > LARGEST_SHIFT or (survey.high * scale + shift) > np.iinfo(np.uint32).max:
        raise SourceError(
            f"{sample}: pixels from {survey.low:g} to {survey.high:g} do not fit into unsigned 32 bits",
            "check the files: these are no detector images",
        )
    return Storage(scale, shift)


def _placement(track: BeamTrack, shape: tuple[int, int]) -> FrameShifts:
    target = np.median(track.px, axis=0)
    away = track.px - target
    steady = bool(np.hypot(*away.T).max() <= STEADY_PX)
    shifts = np.zeros(away.shape, dtype=np.int64) if steady else -np.rint(away).astype(np.int64)
    return FrameShifts(shifts, canvas_for(shifts, shape), target)


def _placed(
    images: Iterator[FileImage], survey: Survey, storage: Storage, placement: FrameShifts, sums: dict[int, int]
) -> Iterator[NDArray[np.uint32]]:
    """Yield the frames as they are stored, and note the sum of the valid pixels of each by its number.

    Pixels without a detector are 0, and masked.
    """
    height, width = survey.bad.shape
    shifts = {seen.number: shift for seen, shift in zip(survey.frames, placement.shifts, strict=True)}
    for image in images:
        top, left = (shifts[image.number] + placement.canvas.origin).tolist()
        usable = ~survey.bad & np.isfinite(image.pixels)
        pixels = np.where(usable, image.pixels, 0).astype(np.float64)
        stored = np.where(usable, np.rint(pixels * storage.scale) + storage.shift, 0.0).astype(np.uint32)
        sums[image.number] = int(stored.sum(dtype=np.int64))
        frame = np.zeros(placement.canvas.shape, dtype=np.uint32)
        frame[top : top + height, left : left + width] = stored
        yield frame


def _valid(bad: NDArray[np.bool_], placement: FrameShifts) -> NDArray[np.bool_]:
    """Return the pixels of the canvas that are valid in every frame."""
    valid = np.ones(placement.canvas.shape, dtype=bool)
    for shift in np.unique(placement.shifts, axis=0):
        top, left = (shift + placement.canvas.origin).tolist()
        here = np.zeros_like(valid)
        here[top : top + bad.shape[0], left : left + bad.shape[1]] = ~bad
        valid &= here
    return valid


def _documents(
    survey: Survey,
    manifest: RotationSeriesManifest,
    track: BeamTrack,
    placement: FrameShifts,
    electrons: Sequence[float],
) -> tuple[Frame, ...]:
    first = survey.frames[0].number
    frames = []
    for index, seen in enumerate(survey.frames):
        beam = track.px[index]
        residual = beam + placement.shifts[index] - placement.target
        frames.append(
            Frame(
                number=seen.number,
                angle_deg=_start(manifest.oscillation, seen.number - first),
                width_deg=abs(manifest.oscillation.width_deg),
                counts=max(0.0, electrons[index]),
                beam_found_px=(float(beam[0]), float(beam[1])) if track.measured[index] else None,
                beam_residual_px=(round(float(residual[0]), 4), round(float(residual[1]), 4)),
                order=seen.number - first,
                source=seen.source,
                warnings=(track.notes[index],) if track.notes[index] else (),
            )
        )
    return tuple(frames)


def _start(oscillation: Oscillation, steps: int) -> float:
    """Return the lower end of a frame's rotation; `steps` counts numbers from the first frame's."""
    begin = oscillation.start_deg + steps * oscillation.width_deg
    return round(min(begin, begin + oscillation.width_deg), 9)


def _on_canvas(detector: RotationDetector, placement: FrameShifts) -> Detector:
    return Detector(
        name=detector.name,
        shape_px=placement.canvas.shape,
        pixel_size_mm=detector.pixel_size_mm,
        camera_length_mm=detector.camera_length_mm,
        direct_beam_px=placement.direct_beam_px,
        camera_length_relative_error=detector.camera_length_relative_error,
    )


def _warnings(survey: Survey, storage: Storage, track: BeamTrack, placement: FrameShifts) -> tuple[str, ...]:
    warnings = [*survey.notes]
    if survey.bad.any():
        warnings.append(
            f"{survey.bad.mean():.2%} of the detector is masked ({int(survey.bad.sum())} pixels): stated by the "
            "manifest, marked in the files, or always or never counting"
        )
    if survey.lost:
        more = "" if len(survey.lost) <= NAMED else f" and {len(survey.lost) - NAMED} more"
        warnings.append(f"{len(survey.lost)} files cannot be read: {'; '.join(survey.lost[:NAMED])}{more}")
    if storage.scale != 1:
        warnings.append(f"pixels are not whole numbers: stored times {storage.scale}, the gain likewise")
    if storage.shift:
        warnings.append(f"pixels are negative: {storage.shift} was added to all, the pedestal likewise")
    missed = int((~track.measured).sum())
    if missed:
        warnings.append(f"the direct beam was not measured on {missed} of {len(track.px)} frames")
    if placement.shifts.any():
        span = np.ptp(track.px, axis=0).max()
        warnings.append(f"the direct beam wanders by {span:.1f} px: frames were shifted by whole pixels")
    return tuple(warnings)


def _provenance(source: SourceDocument, reader: FrameReader, settings: FrameSettings) -> Provenance:
    return Provenance(
        engine=reader.engine,
        version=code_version(),
        parameters=settings.model_dump(),
        inputs={
            "manifest": source.manifest_file.sha256,
            **({} if source.mask is None else {"detector.mask": source.mask.sha256}),
            **{file.name: file.data.sha256 for file in source.files if file.data is not None},
            **{part.path.name: part.sha256 for file in source.files for part in file.parts},
        },
    )
