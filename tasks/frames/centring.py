"""The direct beam of a tilt series: per tilt from the sum of the whole scan, and its motion over the scan.

The sum of all positions is used, not that of one crystal: it has the most electrons, the direct beam dominates it, and
the result is the same for all crystals.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tasks.events.bad_pixels import dead_pixels, hot_pixels
from tasks.events.descan import NO_DESCAN, Descan, beam_of_positions, block_beams, descan_of, fit_descan
from tasks.events.direct_beam import BeamFit, centroid, find_beam
from tasks.events.disc import BeamDisc
from tasks.events.disc_centre import disc_centre
from tasks.events.sums import sum_pattern
from tasks.frames.models import DirectBeams
from tasks.frames.settings import FrameSettings
from tasks.frames.track import BeamTrack, track_beam
from tasks.ingest import TiltScan, TiltSeries, disc_of_series, open_events
from tasks.model import SourceError
from tasks.model.experiment import PixelPosition

DESCAN_SCANS = 15
"""Scans, spread over the series, that show the motion that all share: each is read again in every pass."""
DESCAN_PASSES = 3
"""Each pass finds sharper beams, with the motion found so far taken out; it ends when nothing moves any more."""
BAD_PIXEL_GROUPS = 4
"""Groups of scans in each of which a hot pixel must stand out: a reflection comes and goes with the tilt."""

BadPixels = tuple[tuple[int, int], ...]


def measure_beams(series: TiltSeries, settings: FrameSettings) -> DirectBeams:
    """Return where the direct beam lies at every tilt and scan position.

    Raises
    ------
    SourceError
        If it is seen nowhere and the manifest does not give it.
    """
    start = series.detector.direct_beam_px
    disc, said = disc_of_series(series)
    if settings.centring == "manifest":
        if start is None:
            raise SourceError("detector.direct_beam_px: needed for centring=manifest", "give it in the manifest")
        px = np.tile(np.array(start, dtype=np.float64), (len(series.scans), 1))
        track = BeamTrack(px, np.zeros(len(px), dtype=bool), ("",) * len(px))
        groups: list[NDArray[np.int64]] = []
        for index, pattern in enumerate(whole_scans(series)):
            _add(groups, index, pattern)
        return _document(track, NO_DESCAN, _bad_pixels(groups), said, disc)
    reach = settings.search_fraction * min(series.detector.shape_px)
    fits, bad, warnings = _fits(series, start, reach, disc)
    descan = _descan(series, fits) if settings.descan == "find" else NO_DESCAN
    if descan.span_px > 0:
        fits = [_unmoved(series, scan, fit, descan, disc) for scan, fit in zip(series.scans, fits, strict=True)]
        bent = ", not in proportion to the position" if descan.bend.any() else ""
        warnings += (f"the direct beam moves by {descan.span_px:.1f} px over the scan{bent}: corrected per position",)
    return _document(track_beam(fits, start=start, name=series.sample), descan, bad, said + warnings, disc)


def whole_scans(series: TiltSeries) -> Iterator[NDArray[np.uint32]]:
    """Yield the sum of all positions of every scan, (slow, fast)."""
    return (sum_pattern(open_events(scan), series.detector.shape_px) for scan in series.scans)


def _document(
    track: BeamTrack, descan: Descan, bad: BadPixels, warnings: tuple[str, ...], disc: BeamDisc | None
) -> DirectBeams:
    (ss, sf), (fs, ff) = descan.matrix.tolist()
    slow, fast = descan.bend.tolist()
    if bad:
        warnings += (f"{len(bad)} pixels of the detector always or never count: they are masked",)
    return DirectBeams(
        px=tuple((slow, fast) for slow, fast in track.px.tolist()),
        measured=tuple(track.measured.tolist()),
        notes=track.notes,
        descan_px=((ss, sf), (fs, ff)),
        disc=disc,
        descan_bend_px=((slow[0], slow[1], slow[2]), (fast[0], fast[1], fast[2])),
        bad_px=bad,
        warnings=warnings,
    )


def _add(groups: list[NDArray[np.int64]], index: int, pattern: NDArray[np.uint32]) -> None:
    """Add the sum of one scan to one of the groups that tell hot pixels from reflections."""
    if index < BAD_PIXEL_GROUPS:
        groups.append(pattern.astype(np.int64))
    else:
        groups[index % BAD_PIXEL_GROUPS] += pattern


def _bad_pixels(groups: list[NDArray[np.int64]]) -> BadPixels:
    """Return (slow, fast) of the pixels that are hot at all tilts, or dead."""
    bad = hot_pixels(groups) | dead_pixels(np.sum(groups, axis=0))
    return tuple((int(row), int(column)) for row, column in np.argwhere(bad))


def _fits(
    series: TiltSeries, start: PixelPosition | None, reach_px: float, disc: BeamDisc | None
) -> tuple[list[BeamFit | None], BadPixels, tuple[str, ...]]:
    """Return the direct beam of every scan, the bad pixels, and a warning if the beam is not where it should be.

    Every scan is summed once for both, unless the beam must be sought again on the whole detector.
    """
    fits: list[BeamFit | None] = []
    groups: list[NDArray[np.int64]] = []
    for index, pattern in enumerate(whole_scans(series)):
        fits.append(find_beam(pattern, start=start, reach_px=reach_px, disc=disc))
        _add(groups, index, pattern)
    bad = _bad_pixels(groups)
    if start is None or any(fits):
        return fits, bad, ()
    fits = [find_beam(pattern, start=None, reach_px=reach_px, disc=disc) for pattern in whole_scans(series)]
    if not any(fits):
        return fits, bad, ()
    return (
        fits,
        bad,
        (f"no direct beam within {reach_px:.0f} px of detector.direct_beam_px: the whole detector was searched",),
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
                open_events(scan),
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
        found = found.plus(more, series.scan.shape)
    return found


def _unmoved(
    series: TiltSeries, scan: TiltScan, fit: BeamFit | None, descan: Descan, disc: BeamDisc | None
) -> BeamFit | None:
    """Return the beam of a scan after its motion has been taken out."""
    if fit is None or fit.by != "peak":
        return fit
    shape = series.detector.shape_px
    shifts = -np.rint(beam_of_positions(descan, series.scan.shape, np.zeros(2))).astype(np.int64)
    pattern = sum_pattern(open_events(scan), shape, shifts=shifts)
    if disc is not None:
        return fit._replace(centre=disc_centre(pattern.astype(np.float64), fit.centre, disc))
    return centroid(pattern.astype(np.float64), fit.centre) or fit


def position_shifts(
    beams: DirectBeams, index: int, scan_shape: tuple[int, int], target: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return whole-pixel shifts to `target` of every position of one scan, (n, 2), and what remains, (n, 2).

    After the shift the beam of a position lies at ``target + remainder``; the remainder is at most half a pixel.
    """
    descan = descan_of(np.array(beams.descan_px), scan_shape, bend=np.array(beams.descan_bend_px))
    beam = beam_of_positions(descan, scan_shape, np.array(beams.px[index]))
    shifts = np.rint(target - beam)
    return shifts.astype(np.int64), beam + shifts - target
