"""Summing the aperture of a crystal tilt by tilt: where every detector is laid, and what each frame says."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.events.canvas import Canvas, canvas_for, covered, measured
from tasks.events.coin import coin_of_tilt
from tasks.events.sums import sum_events
from tasks.frames.counting import LEAST_LOSS, FrameLoss, frame_loss
from tasks.frames.models import DirectBeams, Frame, FrameMasks
from tasks.frames.packing import CountedFrame, packing_of_beam
from tasks.frames.settings import FrameSettings
from tasks.frames.shifts import position_shifts
from tasks.ingest import TiltSeries, camera_frames_per_position, open_events
from tasks.model.experiment import PixelPosition

LOST_COUNTS = 14.0
"""Electrons of a typical position from which an empty one is a lost camera frame: by chance once in a million."""
SAME_SHARE = 1e-4
"""Masked shares that differ by less are said as one: the digits that are shown."""
PACKING_FRAMES = 12
"""Frames, spread over those of some loss, that tell which electron survives: half of them have a full beam; 1 s."""
NAMED = 5
"""Tilts named in a warning; others are counted. Chosen, not measured: a warning stays short enough to be read."""


class Placed(NamedTuple):
    """The positions of one tilt's aperture, (k,), their shifts, (k, 2) px, and what the shifts leave, (k, 2) px."""

    tilt: int
    mask: NDArray[np.bool_]
    positions: NDArray[np.int64]
    shifts: NDArray[np.int64]
    remainder: NDArray[np.float64]


class Layout(NamedTuple):
    """Where the detectors of all tilts are laid on one canvas that loses no electron.

    ``masks``: the pixels that are valid, frame by frame. The rim of the canvas is not, as it is not measured at all
    tilts; nor is what a detector pixel that is not valid was shifted to. Electrons there are kept and counted.
    """

    canvas: Canvas
    masks: FrameMasks
    direct_beam_px: PixelPosition
    placed: tuple[Placed, ...]


class SummedFrame(NamedTuple):
    """One frame, its half, its document, and what it lost to coincidence; None where every electron counts."""

    whole: NDArray[np.unsignedinteger]
    half: NDArray[np.unsignedinteger] | None
    document: Frame
    loss: FrameLoss | None


def lay_out(series: TiltSeries, masks: NDArray[np.bool_], beams: DirectBeams) -> Layout:
    """Return the shifts of every scan position that bring the direct beam to one place.

    That place is the median of the beam over the tilts, so that a steady beam shifts nothing. Shifts are whole
    pixels, because electrons are counted in pixels: what remains, at most half a pixel, is kept with each frame.
    Tilts at which the aperture is empty are left out.
    """
    target = np.median(np.array(beams.px), axis=0)
    placed = []
    for index, mask in enumerate(masks):
        positions = np.flatnonzero(mask.ravel())
        if len(positions):
            shifts, remainder = position_shifts(beams, index, series.scan.shape, target)
            placed.append(Placed(index, mask, positions, shifts[positions], remainder[positions]))
    every = np.concatenate([np.unique(place.shifts, axis=0) for place in placed])
    canvas = canvas_for(every, series.detector.shape_px)
    centre = target + canvas.origin
    return Layout(
        canvas,
        _frame_masks(series, placed, canvas, covered(every, series.detector.shape_px, canvas)),
        (round(float(centre[0]), 4), round(float(centre[1]), 4)),
        tuple(placed),
    )


def _frame_masks(series: TiltSeries, placed: Sequence[Placed], canvas: Canvas, rim: NDArray[np.bool_]) -> FrameMasks:
    valid = series.valid_pixels()
    number_of: dict[bytes, int] = {}
    masks: list[NDArray[np.bool_]] = []
    of_frame = []
    for place in placed:
        mask = rim & measured(place.shifts, valid[place.tilt], canvas)
        key = np.packbits(mask).tobytes()
        if key not in number_of:
            number_of[key] = len(masks)
            masks.append(mask)
        of_frame.append(number_of[key])
    return FrameMasks(np.array(masks), np.array(of_frame, dtype=np.int64))


def tilt_frames(series: TiltSeries, layout: Layout, beams: DirectBeams, settings: FrameSettings) -> list[SummedFrame]:
    """Return the frames of all tilts at which the aperture is not empty."""
    summed = [_frame(series, layout, beams, settings, place) for place in layout.placed]
    lossy = [frame.loss for frame in summed if frame.loss is not None and frame.loss.worst > LEAST_LOSS]
    if not lossy:
        return summed
    packing = _packing(series, layout, beams, summed)
    # a crystal is about as uneven at all tilts, but few electrons, or another crystal, may hide it at some
    least = float(np.median([loss.spread for loss in lossy]))
    return [
        frame
        if frame.loss is None or (packing == 1.0 and frame.loss.spread >= least)
        else frame._replace(loss=_loss(series, layout, beams, place, frame.whole, packing=packing, least_spread=least))
        for place, frame in zip(layout.placed, summed, strict=True)
    ]


def _packing(series: TiltSeries, layout: Layout, beams: DirectBeams, summed: Sequence[SummedFrame]) -> float:
    """Return which electron of several survives, as a number (`tasks.frames.packing`), from frames over the series."""
    lossy = [
        CountedFrame(
            frame.whole,
            open_events(series.scans[place.tilt]),
            place.positions,
            place.shifts + layout.canvas.origin,
            frame.loss,
        )
        for place, frame in zip(layout.placed, summed, strict=True)
        if frame.loss is not None and frame.loss.worst > LEAST_LOSS
    ]
    if not lossy or beams.counting is None or beams.disc is None:
        return 1.0
    chosen, columns, reach = (
        lossy[:: max(1, len(lossy) // PACKING_FRAMES)],
        series.detector.shape_px[1],
        beams.counting.reach_px,
    )
    return packing_of_beam(chosen, centre=layout.direct_beam_px, disc=beams.disc, detector_columns=columns, reach=reach)


def _frame(
    series: TiltSeries, layout: Layout, beams: DirectBeams, settings: FrameSettings, place: Placed
) -> SummedFrame:
    scan = series.scans[place.tilt]
    events = open_events(scan)
    whole, half = sum_events(
        events,
        positions=place.positions,
        shifts=place.shifts,
        detector_columns=series.detector.shape_px[1],
        canvas=layout.canvas,
        coin=coin_of_tilt(settings.seed, place.tilt) if settings.split_events else None,
    )
    lengths = np.diff(events.offsets.astype(np.int64))[place.positions].astype(np.float64)
    exposed = len(lengths) - _lost_exposures(lengths)
    weights = lengths if lengths.sum() > 0 else np.ones_like(lengths)
    residual = np.average(place.remainder, axis=0, weights=weights)
    beam, note = beams.px[place.tilt], beams.notes[place.tilt]
    rows, columns = np.flatnonzero(place.mask.any(axis=1)), np.flatnonzero(place.mask.any(axis=0))
    loss = _loss(series, layout, beams, place, whole)
    document = Frame(
        number=place.tilt,
        angle_deg=scan.tilt_deg,
        width_deg=0.0,
        counts=float(whole.sum(dtype=np.int64)),
        beam_found_px=beam if beams.measured[place.tilt] else None,
        beam_residual_px=(round(float(residual[0]), 4), round(float(residual[1]), 4)),
        positions=exposed,
        aperture_box=(int(rows[0]), int(columns[0]), int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1),
        loss=0.0 if loss is None else round(loss.worst, 4),
        order=scan.order,
        source=scan.source,
        warnings=(note,) if note else (),
    )
    small = np.uint16 if int(whole.max()) < 2**16 else np.uint32
    return SummedFrame(whole.astype(small), None if half is None else half.astype(small), document, loss)


def _lost_exposures(lengths: NDArray[np.float64]) -> int:
    """Return how many positions hold no electron though others hold so many that chance does not explain it."""
    return int((lengths == 0).sum()) if np.median(lengths) >= LOST_COUNTS else 0


def mask_warnings(series: TiltSeries) -> tuple[str, ...]:
    """Return how much of the detector is masked, and for what."""
    validity = series.validity
    if validity is None or not validity.parts:
        return ()
    low, high = min(validity.share_masked), max(validity.share_masked)
    text = f"{high:.2%}" if high - low < SAME_SHARE else f"{low:.2%} to {high:.2%}"
    what = [f"{part.kind}, {part.pixels} pixels" + _when(part.scans, len(series.scans)) for part in validity.parts]
    more = "" if len(what) <= NAMED else f" and {len(what) - NAMED} more"
    return (f"{text} of the detector is masked: {'; '.join(what[:NAMED])}{more}",)


def _when(scans: Sequence[int], number: int) -> str:
    return f" at {len(scans)} of {number} tilts" if scans else ""


def _loss(
    series: TiltSeries,
    layout: Layout,
    beams: DirectBeams,
    place: Placed,
    whole: NDArray[np.unsignedinteger],
    *,
    packing: float = 1.0,
    least_spread: float = 0.0,
) -> FrameLoss | None:
    """Return what a frame lost where one electron hides another."""
    if beams.counting is None or beams.counting.reach_px < 0:
        return None
    scan = series.scans[place.tilt]
    return frame_loss(
        whole,
        open_events(scan),
        positions=place.positions,
        shifts=place.shifts,
        scan_shape=series.scan.shape,
        detector_columns=series.detector.shape_px[1],
        canvas=layout.canvas,
        centre=layout.direct_beam_px,
        per_position=camera_frames_per_position(series, scan),
        reach=beams.counting.reach_px,
        packing=packing,
        least_spread=least_spread,
    )


def with_correction(summed: Sequence[SummedFrame]) -> list[SummedFrame]:
    """Return the frames with the loss that is corrected: of all of them, or of none if none lost much."""
    if max((frame.loss.worst for frame in summed if frame.loss is not None), default=0.0) < LEAST_LOSS:
        return [frame._replace(loss=None) for frame in summed]
    return [
        frame
        if frame.loss is None
        else frame._replace(
            document=frame.document.model_copy(
                update={
                    "loss": round(frame.loss.worst, 4),
                    "exposures": round(frame.loss.exposures, 2),
                    "brightness_variance": round(frame.loss.spread, 4),
                }
            )
        )
        for frame in summed
    ]


def series_warnings(frames: Sequence[Frame], beams: DirectBeams) -> tuple[str, ...]:
    """Return what a reader of the report must know about these frames."""
    warnings = list(beams.warnings)
    missed = [frame for frame in frames if frame.warnings]
    if missed:
        angles = ", ".join(f"{frame.angle_deg:g}" for frame in missed[:NAMED])
        more = "" if len(missed) <= NAMED else f" and {len(missed) - NAMED} more"
        warnings.append(f"{missed[0].warnings[0]} ({len(missed)} of {len(frames)} frames: {angles}{more} deg)")
    worst = max(frames, key=lambda frame: frame.loss)
    if worst.exposures is not None:
        warnings.append(
            f"coincidence: the strongest spots lost up to {100 * worst.loss:.0f} % of their electrons to others of the "
            f"same camera frame (at {worst.angle_deg:g} deg): corrected"
        )
    if beams.counting is not None and beams.counting.note is not None:
        warnings.append(f"counting: {beams.counting.note}")
    return tuple(warnings)
