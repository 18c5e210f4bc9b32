"""The direct beam of a tilt series: per tilt from the sum of the whole scan, and its motion over the scan.

The sum of all positions is used, not that of one crystal: it has the most electrons, the direct beam dominates it, and
the result is the same for all crystals.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.frames.bad_pixels import dead_pixels, hot_pixels
from tasks.frames.beam import BeamFit, Position, centroid, find_beam
from tasks.frames.descan import NO_DESCAN, Descan, beam_of_positions, block_beams, descan_of, fit_descan
from tasks.frames.models import DirectBeams
from tasks.frames.settings import FrameSettings
from tasks.frames.summing import pattern_of
from tasks.frames.track import BeamTrack, track_beam
from tasks.ingest.events import open_events
from tasks.ingest.models import TiltScan, TiltSeries
from tasks.model import SourceError

DESCAN_SCANS = 15
DESCAN_PASSES = 3
BAD_PIXEL_GROUPS = 4


def measure_beams(series: TiltSeries, settings: FrameSettings) -> DirectBeams:
    """Return where the direct beam lies at every tilt and scan position.

    Raises
    ------
    SourceError
        If it is seen nowhere and the manifest does not give it.
    """
    start = series.detector.direct_beam_px
    if settings.centring == "manifest":
        if start is None:
            raise SourceError("detector.direct_beam_px: needed for centring=manifest", "give it in the manifest")
        px = np.tile(np.array(start, dtype=np.float64), (len(series.scans), 1))
        track = BeamTrack(px, np.zeros(len(px), dtype=bool), ("",) * len(px))
        return _document(series, track, NO_DESCAN, ())
    reach = settings.search_fraction * min(series.detector.shape_px)
    fits, warnings = _fits(series, start, reach)
    descan = _descan(series, fits) if settings.descan == "find" else NO_DESCAN
    if descan.span_px > 0:
        fits = [_unmoved(series, scan, fit, descan) for scan, fit in zip(series.scans, fits, strict=True)]
        warnings += (f"the direct beam moves by {descan.span_px:.1f} px over the scan: corrected per position",)
    return _document(series, track_beam(fits, start=start, name=series.sample), descan, warnings)


def _document(series: TiltSeries, track: BeamTrack, descan: Descan, warnings: tuple[str, ...]) -> DirectBeams:
    (ss, sf), (fs, ff) = descan.matrix.tolist()
    bad = _bad_pixels(series)
    if bad:
        warnings += (f"{len(bad)} pixels of the detector always or never count: they are masked",)
    return DirectBeams(
        px=tuple((slow, fast) for slow, fast in track.px.tolist()),
        measured=tuple(track.measured.tolist()),
        notes=track.notes,
        descan_px=((ss, sf), (fs, ff)),
        bad_px=bad,
        warnings=warnings,
    )


def _bad_pixels(series: TiltSeries) -> tuple[tuple[int, int], ...]:
    """Return (slow, fast) of the pixels that are hot at all tilts, or dead."""
    shape = series.detector.shape_px
    groups = np.zeros((BAD_PIXEL_GROUPS, *shape), dtype=np.int64)
    for index, scan in enumerate(series.scans):
        groups[index % BAD_PIXEL_GROUPS] += pattern_of(*open_events(scan), shifts=None, detector_shape=shape)
    bad = hot_pixels(list(groups[: len(series.scans)])) | dead_pixels(groups.sum(axis=0))
    return tuple((int(row), int(column)) for row, column in np.argwhere(bad))


def _fits(series: TiltSeries, start: Position | None, reach_px: float) -> tuple[list[BeamFit | None], tuple[str, ...]]:
    shape = series.detector.shape_px
    patterns = (pattern_of(*open_events(scan), shifts=None, detector_shape=shape) for scan in series.scans)
    fits = [find_beam(pattern, start=start, reach_px=reach_px) for pattern in patterns]
    if start is None or any(fits):
        return fits, ()
    patterns = (pattern_of(*open_events(scan), shifts=None, detector_shape=shape) for scan in series.scans)
    fits = [find_beam(pattern, start=None, reach_px=reach_px) for pattern in patterns]
    if not any(fits):
        return fits, ()
    return fits, (
        f"no direct beam within {reach_px:.0f} px of detector.direct_beam_px: the whole detector was searched",
    )


def _descan(series: TiltSeries, fits: list[BeamFit | None]) -> Descan:
    seen = [
        (scan, fit)
        for scan, fit in zip(series.scans, fits, strict=True)
        if fit is not None and fit.by == "peak" and min(series.scan.shape) > 1
    ]
    chosen = (
        [seen[index] for index in np.unique(np.linspace(0, len(seen) - 1, DESCAN_SCANS).astype(int))] if seen else []
    )
    found = NO_DESCAN
    for _ in range(DESCAN_PASSES):
        blocks = [
            block_beams(
                *open_events(scan),
                scan_shape=series.scan.shape,
                columns=series.detector.shape_px[1],
                beam_px=fit.centre,
                radius_px=fit.radius_px,
                known=found,
            )
            for scan, fit in chosen
        ]
        more = fit_descan(blocks, series.scan.shape)
        if more.span_px == 0:
            break
        found = descan_of(found.matrix + more.matrix, series.scan.shape)
    return found


def _unmoved(series: TiltSeries, scan: TiltScan, fit: BeamFit | None, descan: Descan) -> BeamFit | None:
    """Return the beam of a scan after its motion has been taken out."""
    if fit is None or fit.by != "peak":
        return fit
    shape = series.detector.shape_px
    shifts = -np.rint(beam_of_positions(descan, series.scan.shape, np.zeros(2))).astype(np.int64)
    pattern = pattern_of(*open_events(scan), shifts=shifts, detector_shape=shape)
    return centroid(pattern.astype(np.float64), fit.centre) or fit


def position_shifts(
    beams: DirectBeams, index: int, scan_shape: tuple[int, int], target: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return whole-pixel shifts to `target` of every position of one scan, (n, 2), and what remains, (n, 2).

    After the shift the beam of a position lies at ``target + remainder``; the remainder is at most half a pixel.
    """
    descan = descan_of(np.array(beams.descan_px), scan_shape)
    beam = beam_of_positions(descan, scan_shape, np.array(beams.px[index]))
    shifts = np.rint(target - beam)
    return shifts.astype(np.int64), beam + shifts - target
