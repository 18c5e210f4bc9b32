"""The direct beam of a tilt series: per tilt from the sum of the whole scan, and its motion over the scan.

The sum of all positions is used, not that of one crystal: it has the most electrons, the direct beam dominates it, and
the result is the same for all crystals.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tasks.events.beam_disc import BeamDisc
from tasks.events.cut_beam import beam_from_part, is_cut, is_hidden
from tasks.events.descan import PLACES_MIN, block_beams, fit_descan
from tasks.events.direct_beam import BeamFit, centroid, find_beam
from tasks.events.disc_centre import disc_centre
from tasks.events.scan_motion import NO_DESCAN, Descan, beam_of_positions
from tasks.events.sums import sum_pattern
from tasks.frames.models import DirectBeams
from tasks.frames.settings import FrameSettings
from tasks.frames.stated_descan import ToldDescan, reconciled, told_descan
from tasks.frames.track import BeamTrack, track_beam
from tasks.ingest import CountingFound, TiltScan, TiltSeries, disc_of_series, open_events, scan_as_arrived
from tasks.model import SourceError
from tasks.model.experiment import PixelPosition

DESCAN_SCANS = 15
"""Scans, spread over the series, that show the motion that all share: each is read again in every pass."""
SHADOWS = ("shadow", "beam stop")
"""Kinds of masked parts that may hide the beam."""
DESCAN_PASSES = 3
"""Each pass finds sharper beams, with the motion found so far taken out; it ends when nothing moves any more."""


def measure_beams(series: TiltSeries, settings: FrameSettings, counting: CountingFound | None = None) -> DirectBeams:
    """Return where the direct beam lies at every tilt and scan position; `counting` is kept with it.

    Where one electron hides another the beam stands out of the reflections no more: it is looked for in the electrons
    that arrived.

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
        return _document(track, NO_DESCAN, (*said, *series.warnings), disc).model_copy(update={"counting": counting})
    reach = settings.search_fraction * min(series.detector.shape_px)
    fits, warnings = _fits(series, start, reach, counting, disc)
    if start is None:
        _refuse_hidden(series, fits)
    motion = ToldDescan(NO_DESCAN)
    if settings.descan == "find":
        motion = reconciled(series, told_descan(series), lambda known: _descan(series, fits, known))
    descan = motion.descan
    warnings += (*series.warnings, *motion.warnings)
    if descan.span_px > 0:
        fits = [
            fit if fit is None or is_cut(fit, valid) else _unmoved(series, scan, fit, descan, disc)
            for scan, fit, valid in zip(series.scans, fits, series.valid_pixels(), strict=True)
        ]
        bent = ", not in proportion to the position" if descan.bend.any() else ""
        warnings += (f"the direct beam moves by {descan.span_px:.1f} px over the scan{bent}: corrected per position",)
    found = _document(track_beam(fits, start=start, name=series.sample), descan, said + warnings, disc)
    return found.model_copy(update={"counting": counting})


def _refuse_hidden(series: TiltSeries, fits: list[BeamFit | None]) -> None:
    """Refuse to take reflections for a beam that lies behind a stop, where nobody says where it is."""
    shadows = series.validity is not None and any(part.kind in SHADOWS for part in series.validity.parts)
    if shadows and sum(fit is not None for fit in fits) < len(fits) / 2:
        raise SourceError(
            "detector.direct_beam_px: needed, as a beam stop hides the direct beam", "give it in the manifest"
        )


def whole_scans(series: TiltSeries) -> Iterator[NDArray[np.uint32]]:
    """Yield the sum of all positions of every scan, (slow, fast)."""
    return (sum_pattern(open_events(scan), series.detector.shape_px) for scan in series.scans)


def _document(track: BeamTrack, descan: Descan, warnings: tuple[str, ...], disc: BeamDisc | None) -> DirectBeams:
    (ss, sf), (fs, ff) = descan.matrix.tolist()
    slow, fast = descan.bend.tolist()
    return DirectBeams(
        px=tuple((slow, fast) for slow, fast in track.px.tolist()),
        measured=tuple(track.measured.tolist()),
        notes=track.notes,
        descan_px=((ss, sf), (fs, ff)),
        disc=disc,
        descan_bend_px=((slow[0], slow[1], slow[2]), (fast[0], fast[1], fast[2])),
        warnings=warnings,
    )


def _fits(
    series: TiltSeries,
    start: PixelPosition | None,
    reach_px: float,
    counting: CountingFound | None,
    disc: BeamDisc | None,
) -> tuple[list[BeamFit | None], tuple[str, ...]]:
    """Return the direct beam of every scan, and a warning if the beam is not where it should be."""
    fits = _beams_near(series, start, reach_px, counting, disc)
    if start is None or any(fits) or any(is_hidden(start, valid) for valid in series.valid_pixels()):
        return fits, ()
    fits = _beams_near(series, None, reach_px, counting, disc)
    if not any(fits):
        return fits, ()
    return (
        fits,
        (f"no direct beam within {reach_px:.0f} px of detector.direct_beam_px: the whole detector was searched",),
    )


def _beams_near(
    series: TiltSeries,
    start: PixelPosition | None,
    reach_px: float,
    counting: CountingFound | None,
    disc: BeamDisc | None,
) -> list[BeamFit | None]:
    """Return the direct beam of every scan; one that is cut by masked pixels is fitted to the part that is seen."""
    found = []
    for scan, counted, valid in zip(series.scans, whole_scans(series), series.valid_pixels(), strict=True):
        pattern = scan_as_arrived(counted, series, scan, counting)
        fit = find_beam(pattern, start=start, reach_px=reach_px, mask=valid, disc=disc)
        if fit is not None and fit.by == "peak":
            if start is not None and is_hidden(start, valid):
                fit = None  # the brightest reflection of the tilt
            elif is_cut(fit, valid):
                fit = beam_from_part(pattern, valid, fit)
        found.append(fit)
    return found


def _descan(series: TiltSeries, fits: list[BeamFit | None], known: Descan) -> tuple[Descan, bool]:
    """Return the motion, which begins with what is known of it, and whether enough of the beam is seen to tell."""
    seen = [
        (scan, fit)
        for scan, fit, valid in zip(series.scans, fits, series.valid_pixels(), strict=True)
        if fit is not None and fit.by == "peak" and min(series.scan.shape) > 1 and not is_cut(fit, valid)
    ]
    chosen = (
        [seen[index] for index in np.unique(np.linspace(0, len(seen) - 1, DESCAN_SCANS).astype(int))] if seen else []
    )
    found, enough = known, False
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
        enough = sum(len(one.place) for one in blocks) >= PLACES_MIN
        more = fit_descan(blocks, series.scan.shape)
        if more.span_px == 0:
            break
        found = found.plus(more, series.scan.shape)
    return found, enough


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
