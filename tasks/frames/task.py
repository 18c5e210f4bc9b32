"""The units of work: events become the frames of one crystal; image files become the frames of a rotation series."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.apertures import CrystalAperture
from tasks.frames.centring import measure_beams
from tasks.frames.doses import accumulated_doses
from tasks.frames.masks import read_masks
from tasks.frames.models import DirectBeams, Frame, FrameSeries
from tasks.frames.ports import FrameReader
from tasks.frames.rotation import rotation_series
from tasks.frames.settings import FrameSettings
from tasks.frames.stack import write_stack
from tasks.frames.tilts import (
    Layout,
    SummedFrame,
    lay_out,
    mask_warnings,
    series_warnings,
    tilt_frames,
    with_correction,
)
from tasks.ingest import MaskReader, SourceDocument, TiltSeries, judge_counting
from tasks.model import FileRef, InputError, plain
from tasks.model.provenance import Provenance
from tasks.stage import code_version, stage

log = logging.getLogger("apertura.frames")

STACK_NAME = "frames.h5"


def summary(series: FrameSeries) -> str:
    """Return the frames and what is to be known about them, as Markdown."""
    electrons = sum(frame.counts for frame in series.frames)
    first, last = series.frames[0].angle_deg, series.frames[-1].angle_deg + series.frames[-1].width_deg
    head = f"{plain(series.id)}: {len(series.frames)} frames from {first:g} to {last:g} deg, {electrons:.0f} electrons"
    return "\n".join([head, "", *(f"- {plain(warning)}" for warning in series.warnings)])


def beams_summary(beams: DirectBeams) -> str:
    """Return the range of the direct beam and where it was not measured, as Markdown."""
    low, high = np.min(beams.px, axis=0), np.max(beams.px, axis=0)
    head = (
        f"direct beam from ({low[0]:.1f}, {low[1]:.1f}) to ({high[0]:.1f}, {high[1]:.1f}) px, "
        f"measured at {sum(beams.measured)} of {len(beams.px)} tilts"
    )
    return "\n".join([head, "", *(f"- {plain(warning)}" for warning in beams.warnings)])


@stage(name="beams", summary=beams_summary)
def find_beams(series: TiltSeries, settings: FrameSettings, workdir: Path) -> DirectBeams:  # noqa: ARG001 - no files
    """Find the direct beam of every tilt, and its motion over the scan, once for all crystals.

    Raises
    ------
    SourceError
        If it is seen nowhere and the manifest does not give it.
    """
    return _beams(series, settings)


@stage(name="frames {aperture.id}", summary=summary)
def sum_frames(
    series: TiltSeries,
    aperture: CrystalAperture,
    settings: FrameSettings,
    workdir: Path,
    beams: DirectBeams | None = None,
) -> FrameSeries:
    """Sum the electrons of one crystal's aperture, tilt by tilt, centred on the direct beam.

    `beams` is what `find_beams` returned for the series; without it the beams are measured here.

    Raises
    ------
    InputError
        If the aperture does not belong to the series, is empty at every tilt, or no direct beam can be found.
    """
    masks = read_masks(aperture, series)
    beams = _beams(series, settings) if beams is None else beams
    if len(beams.px) != len(series.scans):
        raise InputError(f"{len(beams.px)} direct beams for {len(series.scans)} scans", "find the beams again")
    layout = lay_out(series, masks, beams)
    summed = with_correction(tilt_frames(series, layout, beams, settings))
    doses = accumulated_doses(series.scans)
    frames = tuple(_with_facts(frame.document, aperture, doses) for frame in summed)
    log.info("%s: %d frames, %.0f electrons", aperture.id, len(frames), sum(frame.counts for frame in frames))
    place = {"shape_px": layout.canvas.shape, "direct_beam_px": layout.direct_beam_px}
    return FrameSeries(
        id=aperture.id,
        sample=series.sample,
        composition=series.composition,
        beam=series.beam,
        detector=series.detector.model_copy(update=place),
        direct_beam_px=layout.direct_beam_px,
        disc=beams.disc,
        rotation_axis=series.tilt_axis,
        frames=frames,
        stack=_write(summed, layout, workdir / STACK_NAME),
        counting=beams.counting,
        warnings=(*mask_warnings(series), *series_warnings(frames, beams)),
        provenance=_provenance(series, aperture, settings),
    )


def _beams(series: TiltSeries, settings: FrameSettings) -> DirectBeams:
    return measure_beams(series, settings, judge_counting(series))


def _with_facts(frame: Frame, aperture: CrystalAperture, doses: Sequence[float | None]) -> Frame:
    share = aperture.share_per_tilt[frame.number] if aperture.share_per_tilt else 0.0
    return frame.model_copy(update={"share": share or None, "accumulated_dose_e_per_A2": doses[frame.number]})


def _write(summed: Sequence[SummedFrame], layout: Layout, path: Path) -> FileRef:
    halves = [frame.half for frame in summed if frame.half is not None]
    return write_stack(
        path,
        [frame.whole for frame in summed],
        count=len(summed),
        mask=np.asarray(layout.masks.different.all(axis=0)),
        masks=(layout.masks.different, layout.masks.of_frame) if len(layout.masks.different) > 1 else None,
        dtype=np.uint16 if max(int(frame.whole.max()) for frame in summed) < 2**16 else np.uint32,
        halves=halves or None,
        beside=_beside(summed),
    )


def _beside(summed: Sequence[SummedFrame]) -> dict[str, list[NDArray[np.float32]] | list[NDArray[np.bool_]]] | None:
    """Return what is to be corrected, frame by frame; None where nothing is."""
    losses = [frame.loss for frame in summed if frame.loss is not None]
    if not losses:
        return None
    return {"correction": [each.factor for each in losses], "saturated": [each.saturated for each in losses]}


def _provenance(series: TiltSeries, aperture: CrystalAperture, settings: FrameSettings) -> Provenance:
    return Provenance(
        engine="event sums",
        version=code_version(),
        parameters=settings.model_dump(),
        inputs={"aperture": aperture.masks.sha256, **{scan.source: scan.events.sha256 for scan in series.scans}},
        seed=settings.seed if settings.split_events else None,
    )


@stage(name="frames rotation", summary=summary)
def read_rotation(
    source: SourceDocument,
    reader: FrameReader,
    settings: FrameSettings,
    workdir: Path,
    masks: MaskReader | None = None,
) -> FrameSeries:
    """Read the image files of a rotation series, centred on the direct beam where it wanders.

    Raises
    ------
    SourceError
        If too few of the files can be read, the stated mask cannot, or no direct beam can be found.
    """
    series = rotation_series(source, reader, settings, workdir / STACK_NAME, masks)
    log.info("%s: %d frames, %.0f electrons", series.sample, len(series.frames), sum(f.counts for f in series.frames))
    for warning in series.warnings:
        log.warning("%s: %s", series.sample, warning)
    return series
