"""What an aperture is worth as it is drawn: integrated beside the run's own choice and the whole crystal.

Where a run has found the crystal, all three are integrated alike with its geometry known, so that they differ in their
positions only; else the drawn one is indexed from nothing. What the run's own positions come to is kept.
"""

import hashlib
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from adapters.formats.fcf import read_fcf
from flows.parallel import side_by_side
from flows.studio.run_contents import CrystalContents, RunContents
from tasks.apertures import CrystalAperture, all_positions_aperture, has_more_positions, write_drawn
from tasks.crystal.symmetry import space_group
from tasks.frames import DirectBeams, FrameSeries, FrameSettings, find_beams, sum_frames
from tasks.ingest import TiltSeries
from tasks.integrate import (
    BuiltinIntegrator,
    Integrator,
    KnownGeometryIntegrator,
    Reflections,
    in_axes_of,
    integrate_frames,
    keeps_geometry,
    significant_d_min,
)
from tasks.model import ApertureError, Document
from tasks.refine import Agreement, agreement

Column = Literal["drawn", "run's choice", "whole crystal"]
Tell = Callable[[str], None]
WORKERS = 2
"""Columns measured at once. Chosen, not measured: the machines at hand have two cores, and a column holds a series of
frames in memory."""
KEPT = 8
"""Drawings whose intensities are kept, so that one judged before is told at once. Chosen, not measured: some tens of
megabytes each."""


class JudgedFigures(Document):
    """What the positions of one aperture give."""

    positions: int = Field(ge=0, description="scan positions, over all tilts")
    tilts: int = Field(ge=0, description="with any position")
    spots: int | None = Field(description="found")
    indexed: int | None = Field(description="of these, on the lattice")
    observations: int
    unique: int
    completeness: float
    d_min_angstrom: float = Field(description="to which the intensities say anything")
    i_over_sigma: float | None
    cc_half: float | None
    r_meas: float | None
    r1: float | None = Field(description="of the run's solved structure, nothing but the scale fitted; None = unsolved")
    r1_reflections: int | None = Field(default=None, description="with I > 2 sigma, that the structure's table holds")


class JudgedAperture(Document):
    """One column of the table: figures, or why there are none."""

    name: Column
    figures: JudgedFigures | None
    failure: str | None = None
    advice: str = ""


class ApertureJudgement(Document):
    """What was drawn for one crystal, beside what a run chose."""

    crystal: str
    reference: str | None = Field(description="the run's crystal that it is compared with; None = there is none")
    method: str = Field(description="how it was integrated, in words")
    columns: tuple[JudgedAperture, ...]
    seconds: float
    notes: tuple[str, ...] = ()

    def column(self, name: Column) -> JudgedAperture | None:
        """Return one column, None if it was not measured."""
        return next((one for one in self.columns if one.name == name), None)


class JudgeRequest(NamedTuple):
    """What is judged: masks (n_tilts, ny, nx) of one crystal."""

    series: TiltSeries
    run: Path | None
    crystal: str
    masks: NDArray[np.bool_]
    frames: FrameSettings
    work: Path


class _Bench(NamedTuple):
    """What all columns share."""

    request: JudgeRequest
    beams: DirectBeams
    reference: CrystalContents | None
    engine: Integrator
    folder: Path


def judge(request: JudgeRequest, tell: Tell) -> ApertureJudgement:
    """Integrate the aperture as drawn, and beside it what the run chose and all positions of its crystal.

    What fails is told in its column.

    Raises
    ------
    ApertureError
        If no direct beam is found.
    """
    begin = time.perf_counter()
    contents = None if request.run is None else RunContents(request.run)
    own = None if contents is None else nearest_crystal(contents, request.masks, request.crystal)
    reference = None if contents is None or own is None else contents.crystal(own.id)
    key = hashlib.sha256(np.packbits(request.masks).tobytes()).hexdigest()[:16]
    folder = request.work / "judge" / f"{request.crystal}-{key}"
    bench = _Bench(request, _beams(request, contents), reference, _engine(reference), folder)
    same = own is not None and np.array_equal(own.positions, request.masks)
    jobs: list[Callable[[Tell], JudgedAperture]] = []
    if own is not None and reference is not None and reference.reflections is not None:
        jobs = [
            partial(_chosen, bench, own, reference),
            *([partial(_whole, bench, own)] if has_more_positions(own) else []),
        ]
    if not (same and jobs):
        jobs.insert(0, partial(_drawn, bench))
    columns = side_by_side(lambda job: job(tell), jobs, workers=WORKERS)
    if columns[0].name != "drawn":
        columns.insert(0, columns[0].model_copy(update={"name": "drawn"}))
    _forget_all_but_latest(folder)
    return ApertureJudgement(
        crystal=request.crystal,
        reference=None if reference is None else reference.id,
        method=_method(bench),
        columns=tuple(columns),
        seconds=round(time.perf_counter() - begin, 2),
        notes=_notes(reference),
    )


def nearest_crystal(contents: RunContents, masks: NDArray[np.bool_], name: str) -> CrystalAperture | None:
    """Return the run's crystal with which a drawn one shares most positions, its namesake first; None if none."""
    apertures = contents.apertures
    if apertures is None or apertures.crystals == () or masks.shape[1:] != apertures.scan_shape:
        return None
    shared = [
        (int(np.count_nonzero(one.positions & masks)), one.id == name, one)
        for one in apertures.crystals
        if len(one.positions_per_tilt) == len(masks)
    ]
    most, _, best = max(shared, key=lambda row: row[:2], default=(0, False, None))
    return best if most > 0 else None


def _beams(request: JudgeRequest, contents: RunContents | None) -> DirectBeams:
    found = None if contents is None else contents.beams
    return found or find_beams(request.series, request.frames, workdir=request.work / "beams")


def _engine(reference: CrystalContents | None) -> Integrator:
    if reference is None or (known := reference.reflections) is None:
        return BuiltinIntegrator()
    if keeps_geometry(known):
        return KnownGeometryIntegrator(reference=known, statistics="sums")  # all columns alike, faint ones too
    return BuiltinIntegrator(known_cell=known.unit_cell, d_min_angstrom=known.d_min_angstrom)


def _method(bench: _Bench) -> str:
    if bench.engine.engine == "known-geometry" and bench.reference is not None:
        return f"lattice, orientation, symmetry and rocking curve of the run's {bench.reference.id}"
    if bench.reference is not None and bench.reference.reflections is not None:
        return f"indexed anew, with the cell of the run's {bench.reference.id}"
    return "indexed from nothing"


def _notes(reference: CrystalContents | None) -> tuple[str, ...]:
    if reference is None:
        return ("no crystal of a run to compare with",)
    if reference.reflections is None:
        return (f"the run has not integrated {reference.id}: nothing to compare with",)
    notes = [] if reference.refinement is not None else [f"the run has no refined structure of {reference.id}: no R"]
    if reference.reflections.overlaps is not None:
        notes.append("a twin: its first domain is judged, in all columns")
    return tuple(notes)


def _drawn(bench: _Bench, tell: Tell) -> JudgedAperture:
    tell("drawn: summing its patterns")
    place = bench.folder / "aperture"
    place.mkdir(parents=True, exist_ok=True)
    tilts = np.array([scan.tilt_deg for scan in bench.request.series.scans])
    aperture = write_drawn(bench.request.crystal, bench.request.masks, tilts, place)
    return _column("drawn", bench, aperture, tell)


def _chosen(bench: _Bench, own: CrystalAperture, reference: CrystalContents, tell: Tell) -> JudgedAperture:
    """Return the column of the run's own positions, whose frames it keeps; a unit of work does it once."""
    return _column("run's choice", bench, own, tell, frames=reference.frames)


def _whole(bench: _Bench, own: CrystalAperture, tell: Tell) -> JudgedAperture:
    """Return the column of all positions within the crystal's outline; a unit of work does it once."""
    folder = bench.request.work / "judge" / "run" / own.id / "outline"
    return _column("whole crystal", bench, all_positions_aperture(own, (), workdir=folder), tell)


def _column(
    name: Column, bench: _Bench, aperture: CrystalAperture, tell: Tell, *, frames: FrameSeries | None = None
) -> JudgedAperture:
    folder = bench.folder / "drawn" if name == "drawn" else bench.request.work / "judge" / "run" / aperture.id
    try:
        if frames is None or not frames.stack.path.is_file():
            frames = sum_frames(
                bench.request.series, aperture, bench.request.frames, workdir=folder / "frames", beams=bench.beams
            )
        tell(f"{name}: integrating")
        data = integrate_frames(frames, bench.engine, workdir=folder / "integrate")
        reference = None if bench.reference is None else bench.reference.reflections
        if reference is not None and bench.engine.engine != "known-geometry":
            data = in_axes_of(data, reference, workdir=folder / "same-axes")
        found = _agreement(data, bench.reference)
    except ApertureError as error:
        return JudgedAperture(name=name, figures=None, failure=error.message, advice=error.advice)
    return JudgedAperture(name=name, figures=_figures(aperture, data, found))


def _forget_all_but_latest(folder: Path) -> None:
    """Remove what was kept of drawings that were judged long ago."""
    judged = sorted(folder.parent.glob("crystal-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in judged[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def _agreement(data: Reflections, reference: CrystalContents | None) -> Agreement | None:
    if reference is None or reference.refinement is None or reference.solutions is None:
        return None
    refined, candidates = reference.refinement, reference.solutions.candidates
    solution = next((one for one in candidates if one.hall == refined.hall), reference.solutions.best)
    try:
        return agreement(data, solution, read_fcf(refined.fcf.path))
    except ApertureError:
        return None


def _figures(aperture: CrystalAperture, data: Reflections, found: Agreement | None) -> JudgedFigures:
    overall, spots = data.overall, data.spots
    return JudgedFigures(
        positions=sum(aperture.positions_per_tilt),
        tilts=sum(count > 0 for count in aperture.positions_per_tilt),
        spots=spots,
        indexed=None if spots is None or data.indexed_fraction is None else round(spots * data.indexed_fraction),
        observations=overall.observations,
        unique=overall.unique,
        completeness=overall.completeness,
        d_min_angstrom=significant_d_min(data.observations, space_group(data.laue_group), data.unit_cell),
        i_over_sigma=overall.i_over_sigma,
        cc_half=overall.cc_half,
        r_meas=overall.r_meas,
        r1=None if found is None else found.r1,
        r1_reflections=None if found is None else found.reflections,
    )
