"""A crystal that bends, measured again in parts of nearly one orientation each, where its maps show a bend."""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flows.parts import FOLDER
from flows.progress import Steps
from flows.settings import Settings
from tasks.apertures import CrystalAperture, write_drawn
from tasks.frames import DirectBeams, sum_frames
from tasks.ingest import TiltSeries
from tasks.integrate import (
    JoinedParts,
    KnownGeometryIntegrator,
    Reflections,
    integrate_frames,
    join_parts,
    whole_in_shown_symmetry,
)
from tasks.maps import OrientationPart, number_of_parts, parts_by_orientation
from tasks.model import ApertureError
from tasks.report import CrystalOutcome

log = logging.getLogger("apertura.bent")


class PartsBench(NamedTuple):
    """What measuring the parts of a crystal needs, beside the crystal; `folder` is the crystal's."""

    series: TiltSeries
    beams: DirectBeams
    settings: Settings
    steps: Steps
    folder: Path


def measured_by_parts(crystal: CrystalOutcome, bench: PartsBench) -> CrystalOutcome:
    """Measure a crystal that bends by parts, and take their intensities where half-sets say that these are better.

    A crystal without a significant bend is handed back as it is; so is one of which a part cannot be measured.
    """
    maps, aperture, whole = crystal.maps, crystal.aperture, crystal.reflections
    if maps is None or aperture is None or whole is None or whole.overlaps is not None:
        return crystal
    number = number_of_parts(maps, whole)
    parts = parts_by_orientation(maps, aperture.positions, number) if number > 1 else ()
    if len(parts) < 2:
        return crystal
    try:
        with bench.steps.step("parts", crystal.id):
            joined = _joined(aperture, parts, whole, bench)
    except ApertureError as error:
        log.warning("%s: bends by %.2f degrees, but not measured by parts: %s", crystal.id, maps.bend_deg, error)
        return crystal
    return crystal.model_copy(update={"reflections": joined.used, "parts": joined})


def _joined(
    aperture: CrystalAperture, parts: tuple[OrientationPart, ...], whole: Reflections, bench: PartsBench
) -> JoinedParts:
    """Measure every part, once more where they show a symmetry that the bend hid from the whole, and join them."""
    folder = bench.folder / FOLDER
    tilts = np.array([scan.tilt_deg for scan in bench.series.scans])
    place = folder / "apertures"
    place.mkdir(parents=True, exist_ok=True)
    drawn = [write_drawn(f"{aperture.id}-part-{n}", part.masks, tilts, place) for n, part in enumerate(parts, 1)]
    frames = [
        sum_frames(bench.series, one, bench.settings.frames, workdir=folder / one.id / "frames", beams=bench.beams)
        for one in drawn
    ]

    def measured(reference: Reflections, name: str) -> tuple[Reflections, ...]:
        return tuple(
            integrate_frames(one, _engine(reference, part, bench.settings), workdir=folder / one.id / name)
            for one, part in zip(frames, parts, strict=True)
        )

    found, shown = measured(whole, "integrate"), whole
    if getattr(bench.settings.integrate, "known_cell", None) is None:  # otherwise the axes are the user's
        shown = whole_in_shown_symmetry(found, whole, workdir=folder / "whole")
    if shown.laue_group != whole.laue_group:
        found = measured(shown, "integrate-again")
    step = float(np.median(np.diff(np.unique(tilts))))
    return join_parts(found, shown, whole, step, workdir=folder / "joined")


def _engine(reference: Reflections, part: OrientationPart, settings: Settings) -> KnownGeometryIntegrator:
    """Return what measures a part in the lattice of the whole, in an orientation of its own.

    By sums: counts would take the rocking curve of the whole, as wide as the bend makes it, for that of a part.
    """
    told = {
        name: getattr(settings.integrate, name)
        for name in KnownGeometryIntegrator.model_fields.keys() - {"engine", "d_min_angstrom"}
        if hasattr(settings.integrate, name)
    }
    return KnownGeometryIntegrator(
        **told, reference=reference, turn_deg=part.turn_deg, few_spots="hold", statistics="sums"
    )
