"""A crystal that bends, measured again in parts of nearly one orientation each, where its maps show a bend."""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flows.progress import Steps
from flows.settings import Settings
from tasks.apertures import CrystalAperture, write_drawn
from tasks.frames import DirectBeams, sum_frames
from tasks.ingest import TiltSeries
from tasks.integrate import JoinedParts, KnownGeometryIntegrator, Reflections, integrate_frames, join_parts
from tasks.maps import OrientationPart, number_of_parts, parts_by_orientation
from tasks.model import ApertureError
from tasks.report import CrystalOutcome
from tasks.stage import DOCUMENT_NAME, read_document

log = logging.getLogger("apertura.bent")

FOLDER = "parts"
"""Within the folder of a crystal."""


def joined_parts(folder: Path) -> JoinedParts | None:
    """Return what a finished run's crystal, of this folder, came to by parts; None if it was not measured so."""
    joined = folder / FOLDER / "joined"
    return read_document(joined, JoinedParts) if (joined / DOCUMENT_NAME).is_file() else None


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
    folder = bench.folder / FOLDER
    tilts = np.array([scan.tilt_deg for scan in bench.series.scans])
    place = folder / "apertures"
    place.mkdir(parents=True, exist_ok=True)
    try:
        with bench.steps.step("parts", crystal.id):
            measured = []
            for one, part in enumerate(parts, 1):
                drawn = write_drawn(f"{aperture.id}-part-{one}", part.masks, tilts, place)
                measured.append(_intensities(drawn, part, whole, bench, folder / f"part-{one}"))
            step = float(np.median(np.diff(np.unique(tilts))))
            given = getattr(bench.settings.integrate, "known_cell", None) is not None
            joined = join_parts(tuple(measured), whole, step, workdir=folder / "joined", keep_axes=given)
    except ApertureError as error:
        log.warning("%s: bends by %.2f degrees, but not measured by parts: %s", crystal.id, maps.bend_deg, error)
        return crystal
    return crystal.model_copy(update={"reflections": joined.used, "parts": joined})


def _intensities(
    aperture: CrystalAperture, part: OrientationPart, whole: Reflections, bench: PartsBench, folder: Path
) -> Reflections:
    """Sum the frames of a part and integrate them in the lattice of the whole, in the orientation of the part."""
    frames = sum_frames(bench.series, aperture, bench.settings.frames, workdir=folder / "frames", beams=bench.beams)
    told = {
        name: getattr(bench.settings.integrate, name)
        for name in KnownGeometryIntegrator.model_fields.keys() - {"engine", "d_min_angstrom"}
        if hasattr(bench.settings.integrate, name)
    }
    # sums: counts would take the rocking curve of the whole, as wide as the bend makes it, for that of a part
    engine = KnownGeometryIntegrator(
        **told, reference=whole, turn_deg=part.turn_deg, few_spots="hold", statistics="sums"
    )
    return integrate_frames(frames, engine, workdir=folder / "integrate")
