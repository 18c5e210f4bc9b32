"""The smallest region that gives a structure: ``python -m tests.benchmarks.smallest_region [--out DIR]``.

    [--structures uio66,natrolite,sucrose,forsterite] [--sizes 80,150] [--electrons 250,50] [--seeds 101,102]
    [--crystals 2] [--model kinematical|many-beam] [--workers 2] [--hours 3] [--table]

A series of two crystals of one structure, thickness and dose is simulated by the forward model. The benchmark enters
after the apertures: the positions of a crystal are those of the truth where it lies alone. Whole crystals are
integrated from nothing, solved and refined. Of each the best 1, 2, 4, ... positions at every tilt are measured in its
geometry, as `apertura region --positions` does, and solved; so are patchworks: the same number of positions of both
crystals, merged. Which is the smallest that is solved is bisected, the whole first, as if whatever holds a solved
region were solved, too; only what bisection asks for is measured. Solved means that the verdict says so and the atoms
are those of the truth; a wrong structure that is called solved makes the exit code 1.

Each region becomes a line of DIR/regions.jsonl when its series is done, so that the study may be stopped: what is there
is not measured again. So many series at a time are measured, each in a process of its own, and after that many hours
none is begun. The tables are printed and the plots are drawn from that file; with ``--table`` nothing is measured.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

from flows.nested import RegionBench, measured_region
from flows.pipeline import Run, combine, intensities, merged_structures, structure
from flows.progress import QuietSteps
from flows.review import NoReview
from flows.settings import Settings
from tasks.apertures.output import write_drawn
from tasks.apertures.regions import best_positions
from tasks.frames.settings import FrameSettings
from tasks.frames.task import sum_frames
from tasks.report.models import CrystalOutcome
from tasks.simulate.models import Structure
from tasks.trace import ElectronSource, bragg_by_position
from tests.benchmarks.smallest_region_table import draw, table
from tests.synthetic.match_any_cell import match_file
from tests.synthetic.realism_cases import STRUCTURES
from tests.synthetic.run_scores import FOUND, published
from tests.synthetic.small_regions import (
    Limit,
    Made,
    allowed,
    condition_settings,
    illuminated_cells,
    limit_of,
    made_series,
    pooled,
    reached,
    share_needed,
    true_table,
)

Row = dict[str, Any]
Choice = Callable[[], "Region"]
SEARCH_TRIALS = 48
"""Of the search, after which a region is counted as not solved: on any machine alike. Chosen: the sets of
`tests.benchmarks.solve` take fifteen at most; with twelve a region of sucrose was given up that takes more."""
D_MIN = 0.7
"""Of the truth: beyond what the detector takes in."""


class Condition(NamedTuple):
    """One series."""

    structure: str
    size_nm: float
    dose: float
    seed: int
    model: str
    crystals: int = 2


class Study(NamedTuple):
    """One series at work."""

    condition: Condition
    structure: Structure
    made: Made
    run: Run
    truth: dict[tuple[int, ...], float]


class Region(NamedTuple):
    """So many positions of a crystal, or of both, measured."""

    positions: int
    parts: tuple[CrystalOutcome, ...]
    cells: float

    def named(self) -> tuple[CrystalOutcome, ...]:
        """Return the parts that have intensities."""
        return tuple(one for one in self.parts if one.reflections is not None)


def study_series(condition: Condition, folder: Path) -> Iterator[Row]:
    """Yield a row for every region of a series."""
    made_of = STRUCTURES[condition.structure]()
    settings = condition_settings(
        condition.size_nm,
        condition.dose,
        model=condition.model,
        seed=condition.seed,
        crystals=condition.crystals,
    )
    made = made_series(made_of, settings, folder / "series")
    told = {
        "composition": made_of.composition.formula(), "compare_apertures": False, "workers": 1,
        "solve": {"trials": SEARCH_TRIALS, "workers": 1}, "patchwork": {"index_faint": False},
    }  # fmt: skip
    run = Run(folder / "whole", Settings.model_validate(told), QuietSteps(), (made_of.composition,), NoReview())
    study = Study(condition, made_of, made, run, true_table(made_of, D_MIN))
    nested = []
    for number in range(len(made.apertures)):
        whole = _whole(study, number)
        if whole.parts[0].reflections is None:
            yield _row(study, whole, None, "crystal") | {"whole": True}
            continue
        nested.append(Nested(study, number, whole, folder))
        yield from _solved_rows(study, nested[-1].choices(), "crystal", folder / f"alone-{number}")
    if len(nested) == len(made.apertures) > 1:
        yield from _solved_rows(study, _patchworks(nested), "patchwork", folder / "together")


def _whole(study: Study, number: int) -> Region:
    aperture, made = study.made.apertures[number], study.made
    place = study.run.folder / "crystals" / aperture.id / "frames"
    frames = sum_frames(made.series, aperture, FrameSettings(), workdir=place, beams=made.beams)
    crystal = intensities(study.run, CrystalOutcome(id=aperture.id, aperture=aperture, frames=frames), frames)
    positions = int(np.median([count for count in aperture.positions_per_tilt if count]))
    return Region(positions, (crystal,), illuminated_cells(made.cells[:, number], aperture.positions))


class Nested:
    """The nested regions of one crystal, each measured when it is asked for, and once."""

    def __init__(self, study: Study, number: int, whole: Region, folder: Path) -> None:
        self.study, self.number, self.whole, self.folder = study, number, whole, folder
        (crystal,) = whole.parts
        if crystal.aperture is None or crystal.frames is None or crystal.reflections is None:
            raise ValueError(f"{crystal.id}: not measured")
        self.aperture, made = crystal.aperture, study.made
        self.bench = RegionBench(made.series, made.beams, crystal.reflections, FrameSettings(), study.run.steps)
        electrons = ElectronSource(made.series, crystal.aperture, made.beams)
        self.signal = bragg_by_position(crystal.reflections, crystal.frames, electrons)
        self.sizes = [2**power for power in range(20) if 2**power < whole.positions]
        self.measured: dict[int, Region] = {}

    def at(self, size: int) -> Region:
        """Return the region of the best `size` positions of every tilt."""
        if size not in self.measured:
            masks = best_positions(self.aperture.positions, self.signal, size)
            place = self.folder / f"{self.aperture.id}-{size}"
            place.mkdir()
            drawn = write_drawn(self.aperture.id, masks, self.study.made.tilts, place)
            cells = illuminated_cells(self.study.made.cells[:, self.number], masks)
            self.measured[size] = Region(size, (measured_region(self.bench, drawn, place.name, place),), cells)
        return self.measured[size]

    def choices(self) -> list[Choice]:
        """Return what makes each region, the smallest first, the whole last."""
        return [*(partial(self.at, size) for size in self.sizes), lambda: self.whole]


def _patchworks(nested: list[Nested]) -> list[Choice]:
    """Return what joins regions of so many positions of each crystal, the smallest first, the whole ones last."""
    sizes = sorted(set.intersection(*(set(one.sizes) for one in nested)))
    return [
        *(partial(lambda size: _joined([one.at(size) for one in nested]), size) for size in sizes),
        lambda: _joined([one.whole for one in nested]),
    ]


def _joined(regions: list[Region]) -> Region:
    parts = tuple(part for one in regions for part in one.parts)
    return Region(regions[0].positions, parts, sum(one.cells for one in regions))


def _solved_rows(study: Study, choices: list[Choice], kind: str, folder: Path) -> Iterator[Row]:
    """Yield the rows of the nested regions that bisection asks for, of regions from small to the whole."""

    def tried(place: int) -> Row:
        region = choices[place]()
        outcome = _solved(study, region, folder / str(place))
        return _row(study, region, outcome, kind) | {"whole": place == len(choices) - 1}

    low, high = -1, len(choices) - 1
    whole = tried(high)
    yield whole
    while whole["solved"] and high - low > 1:
        middle = (low + high) // 2
        row = tried(middle)
        yield row
        low, high = (low, middle) if row["solved"] else (middle, high)


def _solved(study: Study, region: Region, folder: Path) -> CrystalOutcome | None:
    """Return what came of a region; of several crystals their largest merged set."""
    run = Run(folder, study.run.settings, QuietSteps(), study.run.compositions, NoReview())
    parts = region.named()
    if len(region.parts) == 1:
        return structure(run, parts[0]) if parts else None
    combined = combine(run, parts) if len(parts) == len(region.parts) else None
    merged = merged_structures(run, combined) if combined is not None and len(combined.clusters) == 1 else ()
    return merged[0] if merged else None


def _row(study: Study, region: Region, outcome: CrystalOutcome | None, kind: str) -> Row:
    frames = [part.frames for part in region.parts if part.frames is not None]
    row: Row = {
        **study.condition._asdict(),
        "kind": kind,
        "crystal": region.parts[0].id,
        "positions": region.positions,
        "electrons": sum(frame.counts for one in frames for frame in one.frames),
        "unit_cells": region.cells,
        "solved": False,
        "status": "not-indexed" if outcome is None else outcome.status,
        "false": False,
        "whole": False,
    }
    data = region.named()[0].reflections if len(region.parts) == 1 and region.named() else None
    if outcome is not None:
        data = outcome.reflections
        right = _is_right(outcome, study.structure)
        row |= {"solved": outcome.status == "solved" and right, "false": outcome.status == "solved" and not right}
        row["r1"] = None if outcome.refinement is None else outcome.refinement.r1
    if data is not None:
        row |= {"unique": data.overall.unique, "cc_half": data.overall.cc_half}
        row |= _against_the_limit(study, region, reached(data, study.structure, study.truth))
    return row


def _against_the_limit(study: Study, region: Region, got: Any) -> Row:
    limits = [limit_of(part.reflections, study.structure, study.truth) for part in region.named() if part.reflections]
    known: list[Limit] = [one for one in limits if one is not None]
    row: Row = {"correlation": got.correlation, "d_min": got.d_min_angstrom}
    if len(known) == len(limits):
        together = pooled(known)
        best = allowed(together, study.structure)
        row |= {"allowed": best.correlation, "d_min_allowed": best.d_min_angstrom}
        row["share_needed"] = share_needed(together, study.structure, got.correlation)
    return row


def _is_right(outcome: CrystalOutcome, truth: Structure) -> bool:
    if outcome.refinement is None:
        return False
    return match_file(Path(outcome.refinement.cif.path), published(truth), truth.cell).fraction >= FOUND


def measure(conditions: list[Condition], file: Path, *, hours: float, workers: int) -> None:
    """Append the rows of all series that are not there yet, and of no series begun after so many hours."""
    known = [row["done"] for row in read_rows(file) if "done" in row]
    left = [condition for condition in conditions if list(condition) not in known]
    until, begun = time.time() + 3600 * hours, 0
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        futures = [pool.submit(measured_series, condition, until) for condition in left]
        try:
            for future in as_completed(futures):
                rows = future.result()
                begun += bool(rows)
                with file.open("a", encoding="utf-8") as lines:
                    lines.writelines(f"{json.dumps(row)}\n" for row in rows)
        finally:
            pool.shutdown(cancel_futures=True)
    if begun < len(left):
        print(f"{hours:g} hours are over: begin again to go on", file=sys.stderr)


def measured_series(condition: Condition, until: float) -> list[Row]:
    """Return the rows of a series and what it took; none after a time (of `time.time`)."""
    if time.time() > until:
        return []
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="smallest-region-") as folder:
        rows = list(study_series(condition, Path(folder)))
    took = {"cpu_s": round(_cpu_s()), "wall_s": round(time.monotonic() - begun)}
    return [*rows, {"done": list(condition), **took}]


def _cpu_s() -> float:
    """Return the CPU time of this process and of those that it has begun and that still live."""
    own = psutil.Process()
    return sum(sum(one.cpu_times()[:4]) for one in (own, *own.children(recursive=True)))


def read_rows(file: Path) -> list[Row]:
    """Return what a file of an earlier study holds; a last line that was cut is left out."""
    if not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines if line]


def main() -> int:
    """Measure, print the table and draw the plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", default="uio66,natrolite,sucrose,forsterite")
    parser.add_argument("--sizes", default="80,150", help="mean diameter of the crystals, nm")
    parser.add_argument("--electrons", default="250,50", help="per probe position and tilt")
    parser.add_argument("--seeds", default="101,102")
    parser.add_argument("--crystals", type=int, default=2, help="of a series; of one alone there is no patchwork")
    parser.add_argument("--model", choices=("kinematical", "many-beam"), default="kinematical")
    parser.add_argument("--workers", type=int, default=2, help="series at a time")
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "apertura-smallest-region")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    file = asked.out / "regions.jsonl"
    if not asked.table:
        grid = itertools.product(
            (int(text) for text in asked.seeds.split(",")),
            (float(text) for text in asked.sizes.split(",")),
            (float(text) for text in asked.electrons.split(",")),
            asked.structures.split(","),
        )
        conditions = [Condition(name, size, dose, seed, asked.model, asked.crystals) for seed, size, dose, name in grid]
        measure(conditions, file, hours=asked.hours, workers=asked.workers)
    rows = [row for row in read_rows(file) if "done" not in row]
    print(table(rows))
    draw(rows, asked.out)
    return 1 if any(row["false"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
