"""The order of the stages: the page to read first.

One plain function for each kind of source. Every call to a stage is a unit of work: it is resumed from the run
folder when it is there already, and it is a Prefect task when a flow run is around it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path

from adapters.formats.frame_reader import FrameFileReader
from adapters.formats.mask_reader import MaskFileReader
from adapters.formats.scans.scan_reader import ScanFileReader
from flows.bent import PartsBench, measured_by_parts
from flows.parallel import Abreast
from flows.patchwork import Patch, gathered, require_known, with_failures
from flows.phases import PhaseOutcome, best_phase, best_with_solution
from flows.progress import Steps
from flows.review import NoReview, Review
from flows.settings import Settings
from tasks.apertures import (
    ApertureFile,
    ApertureSet,
    AutomaticApertures,
    CrystalAperture,
    block_folder,
    block_scans,
    propose_apertures,
    segment_scans,
)
from tasks.frames import DirectBeams, FrameSeries, find_beams, read_rotation, sum_frames
from tasks.ingest import SourceDocument, TiltSeries, ingest_tilt_series
from tasks.integrate import (
    CombinedSets,
    CrystalRelation,
    Reflections,
    combine_crystals,
    integrate_frames,
    relation_text,
    relations_in,
)
from tasks.maps import map_crystal
from tasks.model import (
    ApertureError,
    Composition,
    FileRef,
    LicenceExpiredError,
    NoCrystalsError,
    ProgramNotFoundError,
    SettingsError,
)
from tasks.refine import refine_structure
from tasks.report import CrystalOutcome, Failure
from tasks.solve import in_stated_setting, solve_structure
from tasks.stage import recorded_key, unit_key

log = logging.getLogger("apertura.pipeline")


@dataclass(frozen=True)
class Run:
    """What every stage of one run shares: its folder, its settings, and who is told about the steps."""

    folder: Path
    settings: Settings
    steps: Steps
    compositions: tuple[Composition, ...]
    """Contents of the phases that may be there; none: not known."""
    review: Review
    keep_axes: bool = False
    """Whether the user's own cell names the axes: no standard setting then."""
    pool: Abreast = field(default_factory=Abreast)
    """What takes crystals through their steps, several at once; by default one after the other."""


@dataclass(frozen=True)
class Found:
    """What a source came to, before it is reported."""

    series: TiltSeries | None
    apertures: ApertureSet | None
    crystals: tuple[CrystalOutcome, ...]
    merged: tuple[CrystalOutcome, ...]
    combined: CombinedSets | None = None
    failure: Failure | None = None
    beams: DirectBeams | None = None


def solve_tilt_series(run: Run, source: SourceDocument) -> Found:
    """Go from scans to structures: ingest, apertures, every crystal by itself, crystals of one lattice merged.

    A crystal is solved as soon as it is integrated, and the crystals are merged as soon as all are.
    """
    with run.steps.step("ingest"):
        series = ingest_tilt_series(
            source, ScanFileReader(), run.settings.ingest, workdir=run.folder / "ingest", masks=MaskFileReader()
        )
    try:
        with run.steps.step("apertures"):
            segment_apart(run, series)
            apertures = propose_apertures(series, run.settings.apertures, workdir=run.folder / "apertures")
    except NoCrystalsError as error:
        return Found(series, None, (), (), failure=Failure.of("apertures", error))
    apertures = run.review.apertures(apertures, partial(corrected_apertures, run, series))
    require_known(run.settings.patchwork, [one.id for one in apertures.crystals])
    with run.steps.step("beams"):
        beams = find_beams(series, run.settings.frames, workdir=run.folder / "beams")
    measure = partial(frames_and_intensities, run, series, beams, places=apertures.places)
    number = len(apertures.crystals)
    measured = [run.pool.begin(measure, one, of=number) for one in apertures.crystals]
    solved = [run.pool.begin_after(one, partial(structure, run), of=number) for one in measured]
    combined = combine(run, tuple(one.result() for one in measured), solved)
    merged = merged_structures(run, combined)
    return Found(series, apertures, tuple(one.result() for one in solved), merged, combined, beams=beams)


def solve_rotation_series(run: Run, source: SourceDocument) -> Found:
    """Go from the frames of one crystal to its structure."""
    if run.settings.study.nested:
        raise SettingsError("study.nested: a rotation series has no probe positions", "leave it false")
    with run.steps.step("frames", "crystal-01"):
        workdir = crystal_folder(run, "crystal-01") / "frames"
        frames = read_rotation(source, FrameFileReader(), run.settings.frames, workdir=workdir, masks=MaskFileReader())
    return Found(None, None, tuple(run.pool.each(partial(intensities_and_structure, run), [frames])), ())


def intensities_and_structure(run: Run, frames: FrameSeries) -> CrystalOutcome:
    """Integrate the frames of one crystal, then solve and refine it."""
    return structure(run, intensities(run, CrystalOutcome(id=frames.id, frames=frames), frames))


def segment_apart(run: Run, series: TiltSeries) -> None:
    """Let others segment the scans, some to each, if units of work are done outside this process at all.

    The stage of the apertures takes up what they leave, and does what is missing itself.
    """
    engine, stage = run.settings.apertures, run.folder / "apertures"
    if not run.pool.apart or not isinstance(engine, AutomaticApertures):
        return
    if recorded_key(stage) == unit_key(propose_apertures, series=series, engine=engine):
        return

    def one(scans: tuple[int, ...]) -> object:
        return segment_scans(series, engine, scans, workdir=block_folder(stage, scans[0]))

    run.pool.each(one, block_scans(series, run.pool.at_once))


def corrected_apertures(run: Run, series: TiltSeries, file: FileRef) -> ApertureSet:
    """Return the apertures that a person corrected while the run waited: exactly those of the file."""
    with run.steps.step("apertures", "corrected"):
        return propose_apertures(series, ApertureFile(file=file), workdir=run.folder / "corrected")


def frames_and_intensities(
    run: Run, series: TiltSeries, beams: DirectBeams, aperture: CrystalAperture, *, places: FileRef | None = None
) -> CrystalOutcome:
    """Sum the frames of one aperture and integrate them; with maps, a crystal that bends by parts.

    `places` is that of the `ApertureSet`.
    """
    crystal = CrystalOutcome(id=aperture.id, aperture=aperture)
    try:
        with run.steps.step("frames", aperture.id):
            workdir = crystal_folder(run, aperture.id) / "frames"
            frames = sum_frames(series, aperture, run.settings.frames, workdir=workdir, beams=beams)
    except ApertureError as error:
        return failed(crystal, "frames", error)
    integrated = intensities(run, crystal.model_copy(update={"frames": frames}), frames)
    if not run.settings.position_maps:
        return integrated
    mapped = with_maps(run, series, beams, integrated, places=places)
    return measured_by_parts(
        mapped, PartsBench(series, beams, run.settings, run.steps, crystal_folder(run, aperture.id))
    )


def with_maps(
    run: Run, series: TiltSeries, beams: DirectBeams, crystal: CrystalOutcome, *, places: FileRef | None = None
) -> CrystalOutcome:
    """Map a crystal over its probe positions, where its integration keeps what it was measured from.

    A map that fails is told and left out: the structure does not wait for it.
    """
    aperture, frames, reflections = crystal.aperture, crystal.frames, crystal.reflections
    if aperture is None or frames is None or reflections is None or reflections.traces is None:
        return crystal
    workdir = crystal_folder(run, crystal.id) / "maps"
    try:
        with run.steps.step("maps", crystal.id):
            maps = map_crystal(reflections, frames, aperture, series, beams, workdir=workdir, places=places)
    except ApertureError as error:
        log.warning("%s: no maps: %s", crystal.id, error.message)
        return crystal
    return crystal.model_copy(update={"maps": maps})


def intensities(run: Run, crystal: CrystalOutcome, frames: FrameSeries) -> CrystalOutcome:
    """Index, integrate, scale and merge."""
    try:
        with run.steps.step("integrate", crystal.id):
            reflections = integrate_frames(
                frames, run.settings.integrate, workdir=crystal_folder(run, crystal.id) / "integrate"
            )
    except ApertureError as error:
        return failed(crystal, "integrate", error)
    return crystal.model_copy(update={"reflections": reflections})


def structure(run: Run, crystal: CrystalOutcome) -> CrystalOutcome:
    """Solve and refine from intensities, with the contents of each phase that may be there.

    A crystal without intensities is handed back as it is.
    """
    if (reflections := crystal.reflections) is None:
        return crystal
    folder = crystal_folder(run, crystal.id)
    if len(run.compositions) < 2:
        return structure_of(run, crystal, reflections, next(iter(run.compositions), None), folder=folder)
    unasked = replace(run, review=NoReview())  # a person is asked about the phase that wins, not about each
    tried: list[PhaseOutcome] = []
    for number, contents in enumerate(run.compositions, 1):
        place = folder / f"phase-{number}"
        tried.append((contents, structure_in_phase(unasked, crystal, reflections, contents, tried=tried, folder=place)))
    best = best_phase(tried)
    if best.solutions is None:
        return best
    try:
        if run.review.solution(crystal.id, best.solutions) == best.solutions.best:
            return best
    except ApertureError as error:
        return failed(best.model_copy(update={"refinement": None}), "refine", error)
    return refined_structure(run, best, reflections, contents_of(run, best), folder=folder / "reviewed")


def structure_in_phase(
    run: Run,
    crystal: CrystalOutcome,
    reflections: Reflections,
    contents: Composition,
    *,
    tried: Sequence[PhaseOutcome],
    folder: Path,
) -> CrystalOutcome:
    """Refine with these contents the best model that others led to; search only where none of both is solved."""
    if (found := best_with_solution(tried)) is not None:
        again = refined_structure(run, found, reflections, contents, folder=folder / "given")
        if "solved" in {again.status, found.status}:
            return again
    return structure_of(run, crystal, reflections, contents, folder=folder)


def structure_of(
    run: Run, crystal: CrystalOutcome, reflections: Reflections, contents: Composition | None, *, folder: Path
) -> CrystalOutcome:
    """Solve and refine a crystal of these contents."""
    try:
        with run.steps.step("solve", crystal.id):
            solutions = solve_structure(reflections, contents, run.settings.solve, workdir=folder / "solve")
    except ApertureError as error:
        return failed(crystal, "solve", error)
    solutions = in_stated_setting(solutions, keep_axes=run.keep_axes or axes_given(run.settings))
    solved = crystal.model_copy(update={"solutions": solutions})
    return refined_structure(run, solved, reflections, contents, folder=folder)


def refined_structure(
    run: Run, crystal: CrystalOutcome, reflections: Reflections, contents: Composition | None, *, folder: Path
) -> CrystalOutcome:
    """Refine a crystal that has solutions, with these contents."""
    if (solutions := crystal.solutions) is None:
        return crystal
    crystal = crystal.model_copy(update={"refinement": None, "failure": None})
    try:
        with run.steps.step("refine", crystal.id):
            solution = run.review.solution(crystal.id, solutions)
            refinement = refine_structure(
                reflections, solution, contents, run.settings.refine, workdir=folder / "refine"
            )
    except ApertureError as error:
        return failed(crystal, "refine", error)
    return crystal.model_copy(update={"refinement": refinement})


def contents_of(run: Run, crystal: CrystalOutcome) -> Composition | None:
    """Return the contents that a crystal was solved with."""
    if crystal.composition is not None:
        return Composition.parse(crystal.composition)
    return next(iter(run.compositions), None)


def axes_given(settings: Settings) -> bool:
    """Tell whether the user named the axes by a cell or a space group of his own."""
    engines = (settings.integrate, settings.solve)
    return any(getattr(engine, name, None) for engine in engines for name in ("known_cell", "space_group"))


def combine(
    run: Run, crystals: tuple[CrystalOutcome, ...], structures: Sequence[Future[CrystalOutcome]] = ()
) -> CombinedSets | None:
    """Sort the crystals into forms and merge each form; None if there is nothing to merge.

    Crystals that do not index alone, or agree with no other, are measured in the lattice of the others first. Where
    `crystals` are not solved yet, `structures` are their structures to come.
    """
    settings = run.settings
    if not settings.merge_crystals or not any(one.reflections for one in crystals) or len(crystals) < 2:
        return None
    patch = Patch(run.folder, settings.patchwork, run.steps, run.pool, settings.integrate)
    found = gathered(patch, crystals, any_solved(crystals, structures) if structures else None)
    if len(found.reflections) < 2:
        return None
    with run.steps.step("merge"):
        combined = combine_crystals(
            tuple(found.reflections[one.id] for one in crystals if one.id in found.reflections),
            workdir=run.folder / "merged" / "combine",
            together=settings.patchwork.clusters,
        )
    combined = with_failures(combined, found.failed)
    relations = relations_of(combined, crystals, found.reflections)
    return combined.model_copy(update={"relations": relations, "notes": (*combined.notes, *relation_text(relations))})


def any_solved(
    crystals: Sequence[CrystalOutcome], structures: Sequence[Future[CrystalOutcome]]
) -> Callable[[Sequence[str]], bool]:
    """Return what tells whether any crystal of some names is solved; it waits for the first that is, or for all."""

    def told(names: Sequence[str]) -> bool:
        mine = [to_come for one, to_come in zip(crystals, structures, strict=True) if one.id in names]
        return any(done.result().status == "solved" for done in as_completed(mine))

    return told


def relations_of(
    combined: CombinedSets, crystals: tuple[CrystalOutcome, ...], reflections: Mapping[str, Reflections]
) -> tuple[CrystalRelation, ...]:
    """Return which crystals are parts of others, form by form."""
    frames = {one.id: one.frames for one in crystals if one.frames is not None}
    apertures = {one.id: one.aperture for one in crystals if one.aperture is not None}
    return tuple(chain.from_iterable(relations_in(one, reflections, frames, apertures) for one in combined.clusters))


def merged_structures(run: Run, combined: CombinedSets | None) -> tuple[CrystalOutcome, ...]:
    """Solve and refine every merged set; the largest comes first."""
    sets = [cluster.merged for cluster in combined.clusters] if combined is not None else []
    outcomes = [CrystalOutcome(id=data.id, reflections=data) for data in sets if data is not None]
    return tuple(run.pool.each(partial(structure, run), outcomes))


def crystal_folder(run: Run, name: str) -> Path:
    """Return the folder of one crystal or merged set."""
    return run.folder / ("merged" if name.startswith("cluster") else "crystals") / name


def failed(crystal: CrystalOutcome, stage: str, error: ApertureError) -> CrystalOutcome:
    """Record why one crystal stopped; what no crystal can do without stops the run."""
    if isinstance(error, ProgramNotFoundError | LicenceExpiredError):
        raise error
    log.warning("%s: %s stopped: %s", crystal.id, stage, error.message)
    return crystal.model_copy(update={"failure": Failure.of(stage, error)})
