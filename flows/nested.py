"""How small a part of a crystal would have sufficed: nested regions, each measured and solved as a crystal is."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from adapters.formats.fcf import read_fcf
from flows.progress import Steps
from tasks.apertures import CrystalAperture, best_positions, outline, write_drawn
from tasks.crystal.symmetry import space_group
from tasks.frames import DirectBeams, FrameSeries, FrameSettings, sum_frames
from tasks.ingest import TiltSeries
from tasks.integrate import KnownGeometryIntegrator, Reflections, integrate_frames, keeps_geometry, significant_d_min
from tasks.model import ApertureError
from tasks.refine import agreement
from tasks.report import CrystalOutcome, Failure, NestedRegion, NestedStudy, reason_of, sufficient
from tasks.trace import ElectronSource, bragg_by_position

log = logging.getLogger("apertura.nested")

RegionStatistics = Literal["auto", "counts", "sums"]
FewElectrons = Literal["refine", "hold"]
Structure = Callable[[CrystalOutcome, Path], CrystalOutcome]
"""Solves and refines what has intensities, in a folder."""
EXPLAINED = 0.1
"""By how much R1 of the whole crystal's intensities may be larger with the structure of a part than with its own.
Chosen, not measured: noise of the part moves its atoms a little; another structure adds several tenths."""


class RegionBench(NamedTuple):
    """What regions of a crystal are measured with: its scans, and `reference`, its own intensities and geometry.

    ``statistics`` and ``few_electrons`` are those of `KnownGeometryIntegrator`. Best positions are the thickest of a
    crystal, and counts take its rocking curve for theirs; they are the better ones all the same. UiO-66 of 80 nm, 4
    positions of 50 electrons, correlation with the truth of counts and sums: 0.983 and 0.965 (seed 1 of
    `tests.benchmarks.smallest_region`), 0.973 and nothing that solves in 200 s (seed 101); 8 positions of that, 0.981
    and 0.984.
    """

    series: TiltSeries
    beams: DirectBeams
    reference: Reflections
    frames: FrameSettings
    steps: Steps
    statistics: RegionStatistics = "auto"
    few_electrons: FewElectrons = "hold"


def measured_region(bench: RegionBench, region: CrystalAperture, name: str, folder: Path) -> CrystalOutcome:
    """Sum the frames of a region and integrate them in the crystal's geometry, below `folder`; why not, if it fails."""
    outcome = CrystalOutcome(id=region.id, aperture=region)
    stage = "frames"
    try:
        with bench.steps.step("frames", name):
            frames = sum_frames(bench.series, region, bench.frames, workdir=folder / "frames", beams=bench.beams)
        outcome, stage = outcome.model_copy(update={"frames": frames}), "integrate"
        engine = KnownGeometryIntegrator(
            reference=bench.reference,
            few_spots="hold",
            few_electrons=bench.few_electrons,
            statistics=bench.statistics,
            part_of_reference=True,
        )
        with bench.steps.step("integrate", name):
            data = integrate_frames(frames, engine, workdir=folder / "integrate")
    except ApertureError as error:
        log.warning("%s: %s stopped: %s", name, stage, error.message)
        return outcome.model_copy(update={"failure": Failure.of(stage, error)})
    return outcome.model_copy(update={"reflections": data})


def nested_study(
    crystal: CrystalOutcome, bench: RegionBench | None, solve: Structure, *, sizes: Sequence[int], folder: Path
) -> NestedStudy | None:
    """Solve parts of a solved crystal, the largest first, until one does not suffice; of others it says why none is.

    None without an aperture.

    Parameters
    ----------
    bench
        None where the crystal has no intensities of its own.
    sizes
        Positions at every tilt; none: the largest power of two below the crystal's median, and halves of it down to 1.
    folder
        In which each part has a folder of its own; what lies there is taken up.
    """
    aperture, frames, data = crystal.aperture, crystal.frames, crystal.reflections
    if aperture is None:
        return None
    study = NestedStudy(positions=_positions(aperture), electrons=0.0 if frames is None else _electrons(frames))
    asked = sorted({size for size in sizes or halves(study.positions) if size < study.positions}, reverse=True)
    why = _why_none(crystal) or ("" if asked else "it has no more positions than they would have")
    if why or frames is None or data is None or bench is None:
        return study.model_copy(update={"note": why})
    signal = bragg_by_position(data, frames, ElectronSource(bench.series, aperture, bench.beams))
    tilts = np.array([scan.tilt_deg for scan in bench.series.scans])
    regions: list[NestedRegion] = []
    for size in asked:
        masks = best_positions(aperture.positions, signal, size)
        place = folder / f"positions-{size:04d}"
        place.mkdir(parents=True, exist_ok=True)
        part = write_drawn(crystal.id, masks, tilts, place)
        name = f"{size} of {crystal.id}"
        outcome = solve(measured_region(bench, part, name, place).model_copy(update={"id": name}), place)
        regions.append(_region(outcome, size, unit_cells(part, aperture, bench.series.scan.step_nm, data), crystal))
        if not regions[-1].sufficed:
            break
    smallest = sufficient(regions)
    fraction = None if smallest is None else smallest.electrons / study.electrons
    return study.model_copy(update={"regions": tuple(regions), "fraction": fraction})


def _why_none(crystal: CrystalOutcome) -> str:
    """Return why no part of a crystal can be tried; an empty text if one can."""
    frames, data = crystal.frames, crystal.reflections
    if frames is None or data is None:
        return f"it has no intensities of its own: {reason_of(crystal)}"
    if crystal.parts is not None and crystal.parts.better:
        return "it bends: its parts lie in several orientations, and a region is measured in one"
    if crystal.status != "solved":
        return f"the whole crystal is not solved, and so all of its {_electrons(frames):,.0f} electrons did not suffice"
    if data.traces is None or not keeps_geometry(data):
        return f"{data.provenance.engine} keeps no geometry: this needs builtin"
    return ""


def _positions(aperture: CrystalAperture) -> int:
    """Return the median number of positions at the tilts that have some."""
    counts = [count for count in aperture.positions_per_tilt if count]
    return int(np.median(counts)) if counts else 0


def _electrons(frames: FrameSeries) -> float:
    return sum(frame.counts for frame in frames.frames)


def halves(positions: int) -> list[int]:
    """Return the powers of two below a number of positions, the largest first."""
    return [2**power for power in reversed(range(max(positions - 1, 0).bit_length()))]


def unit_cells(part: CrystalAperture, whole: CrystalAperture, step_nm: float, data: Reflections) -> float:
    """Return how many unit cells lie under a part at one tilt, were the crystal as thick as it is wide.

    As wide as the circle of the area of its outline at the median tilt: nothing measures its thickness. A position
    stands for the square of a step.
    """
    area = float(np.median([mask.sum() for mask in outline(whole) if mask.any()])) * step_nm**2
    thickness = 2.0 * float(np.sqrt(area / np.pi))
    positions = float(np.mean([count for count in part.positions_per_tilt if count]))
    volume_nm3 = data.unit_cell.gemmi().volume / 1000.0
    return positions * step_nm**2 * thickness / volume_nm3


def _region(part: CrystalOutcome, size: int, cells: float, whole: CrystalOutcome) -> NestedRegion:
    data, refined = part.reflections, part.refinement
    counts = 0.0 if part.frames is None else _electrons(part.frames)
    reason = reason_of(part) or _other_structure(part, whole)
    region = NestedRegion(
        positions=size, electrons=counts, unit_cells=cells, status=part.status, sufficed=not reason, reason=reason or ""
    )
    if data is None:
        return region
    observed, laue = data.observations, space_group(data.laue_group)
    return region.model_copy(
        update={
            "unique": data.overall.unique,
            "cc_half": data.overall.cc_half,
            "d_min_angstrom": significant_d_min(observed, laue, data.unit_cell),
            "r1": None if refined is None else refined.r1,
        }
    )


def _other_structure(part: CrystalOutcome, whole: CrystalOutcome) -> str | None:
    """Return why the structure of a part is not that of the whole crystal; None if it is."""
    if part.solutions is None or part.refinement is None or whole.refinement is None or whole.reflections is None:
        return "there is no structure to compare"
    try:
        found = agreement(whole.reflections, part.solutions.best, read_fcf(part.refinement.fcf.path))
    except ApertureError as error:
        return f"its structure cannot be compared with that of the whole crystal: {error.message}"
    if found.r1 > whole.refinement.r1 + EXPLAINED:
        return (
            f"it is another structure: R1 {found.r1:.3f} of the whole crystal, whose own is {whole.refinement.r1:.3f}"
        )
    return None
