"""What of a run nobody waits for: done after the first report, which is then written again.

What the choice of positions was worth, and how small a part of each crystal would have sufficed.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from flows.aperture_gain import Bench, aperture_gain
from flows.nested import RegionBench, nested_study
from flows.pipeline import Found, Run, contents_of, crystal_folder, structure_of
from flows.review import NoReview
from tasks.apertures import CrystalAperture, has_more_positions
from tasks.frames import DirectBeams
from tasks.ingest import TiltSeries
from tasks.integrate import CombinedSets
from tasks.report import CrystalOutcome


def still_to_come(run: Run, found: Found) -> tuple[str, ...]:
    """Return what of a run nobody waits for, and so is done after its first report: none, `gain`, `nested`."""
    if found.series is None or found.beams is None:
        return ()
    parts = parts_of(found.combined, found.crystals)
    gain = run.settings.compare_apertures and any(gains(one, parts) for one in found.crystals)
    nested = run.settings.study.nested and bool(found.crystals)
    return (*(["gain"] if gain else []), *(["nested"] if nested else []))


def with_what_came(run: Run, found: Found) -> Found:
    """Return what a source came to with what the choice of positions was worth, and how much would have sufficed."""
    series, beams = found.series, found.beams
    if series is None or beams is None:
        return found
    parts = parts_of(found.combined, found.crystals)

    def whole(crystal: CrystalOutcome) -> CrystalOutcome:
        if run.settings.compare_apertures:
            crystal = with_gain(run, series, beams, parts, crystal)
        return with_nested(run, series, beams, crystal) if run.settings.study.nested else crystal

    return replace(found, crystals=tuple(run.pool.each(whole, found.crystals)))


def parts_of(
    combined: CombinedSets | None, crystals: tuple[CrystalOutcome, ...]
) -> dict[str, tuple[CrystalAperture, ...]]:
    """Return the apertures of the misoriented parts of each crystal that has any."""
    apertures = {one.id: one.aperture for one in crystals}
    parts: dict[str, tuple[CrystalAperture, ...]] = {}
    for relation in combined.relations if combined is not None else ():
        if (aperture := apertures[relation.crystal]) is not None:
            parts[relation.parent] = (*parts.get(relation.parent, ()), aperture)
    return parts


def gains(crystal: CrystalOutcome, parts: Mapping[str, tuple[CrystalAperture, ...]]) -> bool:
    """Tell whether the aperture of a crystal leaves out any position that could be compared."""
    aperture = crystal.aperture
    if aperture is None or crystal.reflections is None or not (crystal.id in parts or has_more_positions(aperture)):
        return False
    return crystal.parts is None or not crystal.parts.better  # by parts and in one orientation compares no positions


def with_gain(
    run: Run,
    series: TiltSeries,
    beams: DirectBeams,
    parts: Mapping[str, tuple[CrystalAperture, ...]],
    crystal: CrystalOutcome,
) -> CrystalOutcome:
    """Measure what the choice of positions was worth, where the aperture leaves any out."""
    own = crystal.reflections
    if own is None or not gains(crystal, parts):
        return crystal
    solution = None
    if crystal.status == "solved" and crystal.solutions is not None:
        solution = run.review.solution(crystal.id, crystal.solutions)
    folder = crystal_folder(run, crystal.id) / "gain"
    bench = Bench(own, solution, contents_of(run, crystal), run.settings, parts.get(crystal.id, ()), folder)
    with run.steps.step("gain", crystal.id):
        return crystal.model_copy(update={"gain": aperture_gain(crystal, series, beams, bench)})


def with_nested(run: Run, series: TiltSeries, beams: DirectBeams, crystal: CrystalOutcome) -> CrystalOutcome:
    """Solve ever smaller parts of a crystal: how much of it would have sufficed."""
    alone = replace(run, review=NoReview())  # a person is asked about the crystal, not about its parts
    contents = contents_of(run, crystal)

    def solve(part: CrystalOutcome, folder: Path) -> CrystalOutcome:
        return structure_of(alone, part, part.reflections, contents, folder=folder) if part.reflections else part

    own, folder = crystal.reflections, crystal_folder(run, crystal.id) / "nested"
    bench = None if own is None else RegionBench(series, beams, own, run.settings.frames, run.steps)
    nested = nested_study(crystal, bench, solve, sizes=run.settings.study.positions, folder=folder)
    return crystal.model_copy(update={"nested": nested})
