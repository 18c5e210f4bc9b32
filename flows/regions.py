"""Regions of a crystal of a finished run, integrated in its geometry, solved and refined as crystals are."""

import hashlib
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.nested import FewElectrons, RegionBench, RegionStatistics, measured_region
from flows.parallel import abreast
from flows.pipeline import Found, Run, combine, crystal_folder, merged_structures, structure
from flows.progress import Steps
from flows.replay import FinishedRun, finished_run
from flows.review import NoReview
from flows.run_files import first_gone, named_damage
from flows.run_folder import claimed
from flows.runs import report
from flows.storage import named_storage_errors
from flows.tracing import BESIDE, TracedCrystal, crystal_of, measured_in
from tasks.apertures import (
    ApertureSet,
    CrystalAperture,
    best_positions,
    outline,
    read_apertures,
    require_parts,
    split_aperture,
    write_drawn,
)
from tasks.integrate import PatchworkSettings
from tasks.model import InputError, SettingsError, SourceError
from tasks.report import CrystalOutcome, SourceSummary
from tasks.stage import fingerprint, read_document
from tasks.trace import ElectronSource, bragg_by_position

Masks = NDArray[np.bool_]


class RegionsAsked(NamedTuple):
    """Which regions of a crystal: those of a file, so many equal parts, or so many of its best positions."""

    file: Path | None = None
    split: int | None = None
    positions: int | None = None


IN_NEIGHBOURS_LATTICE = "which does not index alone: in the lattice of its neighbours, where it was laid on it"


class _Parent(NamedTuple):
    """The crystal whose regions are measured, and what they are summed from; ``said``: how its geometry is known."""

    crystal: TracedCrystal
    electrons: ElectronSource
    apertures: ApertureSet
    said: str = ""


def measure_regions(
    run: Path, crystal: str, asked: RegionsAsked, out: Path, steps: Steps, *, statistics: RegionStatistics = "auto"
) -> Path:
    """Measure regions of a crystal; return their run folder, in which each region is a crystal.

    They are measured in the geometry that the crystal was: of one that does not index alone that is the orientation in
    which it was laid on the lattice of its neighbours.

    `statistics` is that of `KnownGeometryIntegrator`.

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
    parent = _parent(finished, crystal)
    with named_damage(finished.folder, *parent.crystal.documents):
        regions = _regions(parent, asked, crystal)  # before the folder is claimed: what cannot be measured is no run
        # the best positions lie as the crystal does; its ends may be turned
        few: FewElectrons = "refine" if asked.positions is None else "hold"
        bench = _bench(finished, parent, steps, statistics, few)
        return _measured_run(finished, parent, regions, bench, out)


def _measured_run(
    finished: FinishedRun,
    parent: _Parent,
    regions: dict[str, Masks],
    bench: RegionBench,
    out: Path,
) -> Path:
    """Measure regions in a run folder of their own."""
    crystal = parent.electrons.aperture.id
    source = SourceSummary.model_validate(finished.results["source"])
    hashes = {name: hashlib.sha256(np.packbits(masks).tobytes()).hexdigest() for name, masks in regions.items()}
    settings = finished.settings.model_copy(update={"patchwork": PatchworkSettings()})  # its names are not of regions
    how = {"statistics": bench.statistics, "few_electrons": bench.few_electrons}
    key = fingerprint({"run": source.sha256, "crystal": crystal, "regions": hashes, **how})
    named = f"{finished.folder} {crystal}"
    with (
        named_storage_errors(out),
        claimed(out, source_key=key, source_name=named, settings=settings) as folder,
        abreast(settings, folder) as pool,
    ):
        told = tuple(contents for contents in finished.compositions if contents is not None)
        task = Run(folder, settings, bench.steps, told, NoReview(), pool=pool)
        place = folder / "apertures"
        place.mkdir(exist_ok=True)
        tilts = np.array([scan.tilt_deg for scan in parent.electrons.series.scans])
        apertures = [write_drawn(name, masks, tilts, place) for name, masks in regions.items()]
        measured = pool.each(partial(_measured, task, bench), apertures)
        crystals = tuple(pool.each(partial(structure, task), measured))
        combined = combine(task, crystals)
        shown = parent.apertures.model_copy(
            update={"crystals": tuple(apertures), "aperture_file": None, "aperture_summary": None}
        )
        of = ", ".join(text for text in (crystal, parent.said) if text)
        said = source.model_copy(update={"sha256": key, "metadata": {**source.metadata, "regions of": of}})
        merged, beams = merged_structures(task, combined), parent.electrons.beams
        report(task, Found(parent.electrons.series, shown, crystals, merged, combined, beams=beams), said)
    return folder


def _parent(finished: FinishedRun, crystal: str) -> _Parent:
    run = finished.folder
    found = crystal_of(run, crystal)
    if found.electrons is None:
        raise SourceError(f"{run}: of a rotation series: there are no probe positions", "name a run of a tilt series")
    known = found.reflections
    needed = (*found.electrons, known.merged, known.unmerged, known.pictures, known.traces)
    if (gone := first_gone(*needed)) is not None:
        source = Path(finished.results["source"]["path"])
        raise SourceError(f"{gone}: gone: regions are summed from what the run kept", _what_is_left(run, source))
    said = IN_NEIGHBOURS_LATTICE if measured_in(run, crystal) == BESIDE else ""
    return _Parent(found, found.electrons, read_document(run / "apertures", ApertureSet), said)


def _what_is_left(run: Path, source: Path) -> str:
    """Return what can be done about a file of a run that is gone."""
    if source.exists():
        return f"run {source} again, in a new folder"
    return f"its source {source} is gone, too: `apertura trace {run}` shows the frames, the report all else"


def _regions(parent: _Parent, asked: RegionsAsked, crystal: str) -> dict[str, Masks]:
    own = parent.electrons.aperture.positions
    for name, number in (("split", asked.split), ("positions", asked.positions)):
        if number is not None and number < 1:
            raise SettingsError(f"--{name} {number}: must be 1 or more", f"for example --{name} 9")
    if asked.split is not None:
        try:
            return split_aperture(own, asked.split)
        except InputError as error:
            raise SettingsError(f"--split {asked.split}: {crystal}: {error.message}", "ask for fewer") from error
    if asked.positions is not None:
        most = int(own.sum(axis=(1, 2)).max())
        if asked.positions > most:
            raise SettingsError(
                f"--positions {asked.positions}: {crystal} has at most {most} at one tilt", "ask for fewer"
            )
        signal = bragg_by_position(parent.crystal.reflections, parent.crystal.frames, parent.electrons)
        return {"crystal-01": best_positions(own, signal, asked.positions)}
    if asked.file is None or not asked.file.is_file():
        raise SettingsError(f"--file {asked.file}: no such file", "give an aperture file")
    regions = read_apertures(
        asked.file,
        scan_shape=parent.electrons.series.scan.shape,
        tilt_deg=[scan.tilt_deg for scan in parent.electrons.series.scans],
        known_tilts=[scan.tilt_deg for scan in parent.electrons.series.lost],
    )
    require_parts(regions, outline(parent.electrons.aperture), crystal, file=str(asked.file))
    return regions


def _bench(
    finished: FinishedRun, parent: _Parent, steps: Steps, statistics: RegionStatistics, few_electrons: FewElectrons
) -> RegionBench:
    return RegionBench(
        series=parent.electrons.series,
        beams=parent.electrons.beams,
        reference=parent.crystal.reflections,
        frames=finished.settings.frames,
        steps=steps,
        statistics=statistics,
        few_electrons=few_electrons,
    )


def _measured(run: Run, bench: RegionBench, region: CrystalAperture) -> CrystalOutcome:
    return measured_region(bench, region, region.id, crystal_folder(run, region.id))
