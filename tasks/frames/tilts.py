"""Summing the aperture of a crystal tilt by tilt: where every detector is laid, and what each frame says."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.events.canvas import Canvas, canvas_for, covered
from tasks.events.coin import coin_of_tilt
from tasks.events.sums import sum_events
from tasks.frames.centring import position_shifts
from tasks.frames.models import DirectBeams, Frame
from tasks.frames.settings import FrameSettings
from tasks.ingest import TiltSeries, open_events
from tasks.model.experiment import PixelPosition

BEAM_RADIUS_PX = 15.0
"""Coincidence so near the direct beam is not looked at. Chosen, not measured: smaller, and a defocused beam warns where
no reflection lost anything; larger, and the innermost reflections are not looked at."""
COINCIDENCE_WARNING = 0.05
"""Loss of the worst pixel that is warned of: reached at 0.1 electrons per camera frame, and 2.5 % of |F|. Chosen, not
measured: lower, and one bright pixel warns; higher, and R factors feel what nobody was told."""
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

    ``mask`` (slow, fast) is True where every frame has a detector pixel: the rim of the canvas is not measured at
    all tilts, though its electrons are kept and counted.
    """

    canvas: Canvas
    mask: NDArray[np.bool_]
    direct_beam_px: PixelPosition
    placed: tuple[Placed, ...]


class SummedFrame(NamedTuple):
    """One frame, its half, its document, and the largest fraction of electrons lost to coincidence."""

    whole: NDArray[np.unsignedinteger]
    half: NDArray[np.unsignedinteger] | None
    document: Frame
    coincidence: float


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
        covered(every, series.detector.shape_px, canvas, beams.bad_px),
        (round(float(centre[0]), 4), round(float(centre[1]), 4)),
        tuple(placed),
    )


def tilt_frames(series: TiltSeries, layout: Layout, beams: DirectBeams, settings: FrameSettings) -> list[SummedFrame]:
    """Return the frames of all tilts at which the aperture is not empty."""
    return [_frame(series, layout, beams, settings, place) for place in layout.placed]


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
    weights = lengths if lengths.sum() > 0 else np.ones_like(lengths)
    residual = np.average(place.remainder, axis=0, weights=weights)
    beam, note = beams.px[place.tilt], beams.notes[place.tilt]
    rows, columns = np.flatnonzero(place.mask.any(axis=1)), np.flatnonzero(place.mask.any(axis=0))
    beam_radius = BEAM_RADIUS_PX if beams.disc is None else max(BEAM_RADIUS_PX, beams.disc.reach_px + 1.0)
    lost = _coincidence(whole, layout.direct_beam_px, len(place.positions) * scan.frames_per_position, beam_radius)
    document = Frame(
        number=place.tilt,
        angle_deg=scan.tilt_deg,
        width_deg=0.0,
        counts=float(whole.sum(dtype=np.int64)),
        beam_found_px=beam if beams.measured[place.tilt] else None,
        beam_residual_px=(round(float(residual[0]), 4), round(float(residual[1]), 4)),
        positions=len(place.positions),
        aperture_box=(int(rows[0]), int(columns[0]), int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1),
        order=scan.order,
        source=scan.source,
        warnings=(note,) if note else (),
    )
    small = np.uint16 if int(whole.max()) < 2**16 else np.uint32
    return SummedFrame(whole.astype(small), None if half is None else half.astype(small), document, lost)


def _coincidence(
    whole: NDArray[np.uint32], centre: PixelPosition, camera_frames: float, beam_radius_px: float = BEAM_RADIUS_PX
) -> float:
    """Return the largest fraction of electrons that a pixel outside the direct beam lost by coincidence.

    Where a pixel counts at most one electron per camera frame, n = M (1 - exp(-N / M)) of M frames are hit by N
    electrons. A pixel with more counts than frames shows that this source counts several: nothing is lost then.
    """
    if not len(whole) or int(whole.max()) > camera_frames:
        return 0.0
    rows = np.square(np.arange(whole.shape[0]) - centre[0])[:, None]
    columns = np.square(np.arange(whole.shape[1]) - centre[1])[None, :]
    filled = float(whole[rows + columns > beam_radius_px**2].max(initial=0)) / camera_frames
    if filled >= 1.0:
        return 1.0
    return 0.0 if filled <= 0 else 1.0 + filled / float(np.log1p(-filled))


def series_warnings(frames: Sequence[Frame], beams: DirectBeams, summed: Sequence[SummedFrame]) -> tuple[str, ...]:
    """Return what a reader of the report must know about these frames."""
    warnings = list(beams.warnings)
    missed = [frame for frame in frames if frame.warnings]
    if missed:
        angles = ", ".join(f"{frame.angle_deg:g}" for frame in missed[:NAMED])
        more = "" if len(missed) <= NAMED else f" and {len(missed) - NAMED} more"
        warnings.append(f"{missed[0].warnings[0]} ({len(missed)} of {len(frames)} frames: {angles}{more} deg)")
    worst = max(range(len(summed)), key=lambda index: summed[index].coincidence)
    if summed[worst].coincidence > COINCIDENCE_WARNING:
        warnings.append(
            f"coincidence loss: strong reflections lost up to {100 * summed[worst].coincidence:.0f} % of theirs "
            f"(at {frames[worst].angle_deg:g} deg): a pixel counts one electron per camera frame at most"
        )
    return tuple(warnings)
