"""Regions of a crystal of a finished run, integrated in its geometry, solved and refined as crystals are."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.parallel import side_by_side
from flows.pipeline import Found, Run, combine, crystal_folder, failed, merged_structures, structure
from flows.progress import Steps
from flows.replay import finished_run
from flows.review import NoReview
from flows.run_folder import claimed, read_results
from flows.runs import contents, report
from flows.storage import named_storage_errors
from flows.tracing import TracedCrystal, crystal_of
from tasks.apertures import (
    ApertureSet,
    CrystalAperture,
    all_positions_aperture,
    best_positions,
    read_apertures,
    require_parts,
    split_aperture,
    write_drawn,
)
from tasks.frames import DirectBeams, sum_frames
from tasks.ingest import TiltSeries
from tasks.integrate import KnownGeometryIntegrator, integrate_frames
from tasks.model import ApertureError, SettingsError, SourceError
from tasks.report import CrystalOutcome, SourceSummary
from tasks.stage import fingerprint, read_document
from tasks.trace import bragg_by_position

Masks = NDArray[np.bool_]


class RegionsAsked(NamedTuple):
    """Which regions of a crystal: those of a file, so many equal parts, or so many of its best positions."""

    file: Path | None = None
    split: int | None = None
    positions: int | None = None


class _Parent(NamedTuple):
    """The crystal whose regions are measured, and what they are summed from."""

    series: TiltSeries
    apertures: ApertureSet
    beams: DirectBeams
    crystal: TracedCrystal
    aperture: CrystalAperture


def measure_regions(run: Path, crystal: str, asked: RegionsAsked, out: Path, steps: Steps) -> Path:
    """Measure regions of a crystal; return their run folder, in which each region is a crystal.

    Raises
    ------
    SettingsError
        If not one kind of region is asked for, or `out` cannot be used.
    SourceError
        If the run is not finished, has no such crystal, or its event store is gone.
    InputError
        If a region does not lie within the crystal, or is empty at most tilts.
    """
    if sum(choice is not None for choice in asked) != 1:
        raise SettingsError("--file, --split, --positions: give one of them", "for example --split 4")
    finished = finished_run(run)
    parent = _parent(finished.folder, crystal)
    key = fingerprint({"run": read_results(run)["source"]["sha256"], "crystal": crystal, "asked": _key(asked)})
    with (
        named_storage_errors(out),
        claimed(out, source_key=key, source_name=f"{run} {crystal}", settings=finished.settings) as folder,
    ):
        regions = _regions(parent, asked, crystal, folder)
        source = _source(read_results(run)["source"], crystal, key)
        task = Run(folder, finished.settings, steps, contents(finished.settings, _formulae(source)), NoReview())
        place = folder / "apertures"
        place.mkdir(exist_ok=True)
        tilts = np.array([scan.tilt_deg for scan in parent.series.scans])
        apertures = [write_drawn(name, masks, tilts, place) for name, masks in regions.items()]
        workers = finished.settings.workers
        measured = side_by_side(partial(_measured, task, parent), apertures, workers=workers)
        crystals = tuple(side_by_side(partial(structure, task), measured, workers=workers))
        combined = combine(task, crystals)
        shown = parent.apertures.model_copy(
            update={"crystals": tuple(apertures), "aperture_file": None, "aperture_summary": None}
        )
        report(task, Found(parent.series, shown, crystals, merged_structures(task, combined), combined), source)
    return folder


def _parent(run: Path, crystal: str) -> _Parent:
    found = crystal_of(run, crystal)
    if found.electrons is None:
        raise SourceError(f"{run}: of a rotation series: there are no probe positions", "name a run of a tilt series")
    if (gone := found.electrons.missing()) is not None:
        raise SourceError(f"{gone}: gone: regions are summed from the event store", "run it again to make the store")
    apertures = read_document(run / "apertures", ApertureSet)
    return _Parent(found.electrons.series, apertures, found.electrons.beams, found, found.electrons.aperture)


def _regions(parent: _Parent, asked: RegionsAsked, crystal: str, folder: Path) -> dict[str, Masks]:
    own = parent.aperture.positions
    if asked.split is not None:
        return split_aperture(own, asked.split)
    if asked.positions is not None:
        if asked.positions < 1:
            raise SettingsError(f"--positions {asked.positions}: must be 1 or more", "for example --positions 9")
        electrons = parent.crystal.electrons
        if electrons is None:
            raise SourceError(f"{crystal}: there are no probe positions", "name a run of a tilt series")
        signal = bragg_by_position(parent.crystal.reflections, parent.crystal.frames, electrons)
        return {"crystal-01": best_positions(own, signal, asked.positions)}
    if asked.file is None:
        raise SettingsError("--file: none given", "give --file, --split or --positions")
    regions = read_apertures(
        asked.file,
        scan_shape=parent.series.scan.shape,
        tilt_deg=[scan.tilt_deg for scan in parent.series.scans],
        known_tilts=[scan.tilt_deg for scan in parent.series.lost],
    )
    outline = folder / "outline"
    outline.mkdir(exist_ok=True)
    whole = all_positions_aperture(parent.aperture, (), workdir=outline).positions | own
    require_parts(regions, whole, crystal)
    return regions


def _measured(run: Run, parent: _Parent, region: CrystalAperture) -> CrystalOutcome:
    """Sum the frames of a region and integrate them in the crystal's geometry."""
    outcome = CrystalOutcome(id=region.id, aperture=region)
    place = crystal_folder(run, region.id)
    try:
        with run.steps.step("frames", region.id):
            frames = sum_frames(
                parent.series, region, run.settings.frames, workdir=place / "frames", beams=parent.beams
            )
    except ApertureError as error:
        return failed(outcome, "frames", error)
    outcome = outcome.model_copy(update={"frames": frames})
    engine = KnownGeometryIntegrator(reference=parent.crystal.reflections, few_spots="hold")
    try:
        with run.steps.step("integrate", region.id):
            data = integrate_frames(frames, engine, workdir=place / "integrate")
    except ApertureError as error:
        return failed(outcome, "integrate", error)
    return outcome.model_copy(update={"reflections": data})


def _key(asked: RegionsAsked) -> list[str | int | None]:
    import hashlib

    if asked.file is not None and not asked.file.is_file():
        raise SettingsError(f"--file {asked.file}: no such file", "give an aperture file")
    digest = None if asked.file is None else hashlib.sha256(asked.file.read_bytes()).hexdigest()
    return [digest, asked.split, asked.positions]


def _source(source: dict[str, object], crystal: str, key: str) -> SourceSummary:
    """Return what the report says of the source: that of the run, of which a crystal is measured."""
    stated = SourceSummary.model_validate(source)
    return stated.model_copy(
        update={"sha256": key, "metadata": {**stated.metadata, "regions of": crystal}, "files": stated.files}
    )


def _formulae(source: SourceSummary) -> tuple[str, ...]:
    return source.compositions or ((source.composition,) if source.composition else ())
