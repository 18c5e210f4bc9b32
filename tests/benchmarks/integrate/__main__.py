"""Compare integrators with the truth on the same simulated frames; prints a Markdown table.

    python -m tests.benchmarks.integrate [CASE ...] [--engines builtin,dials] [--seeds 3,4] [--folder DIR]

Times are wall seconds, and CPU seconds of the process and its children, which suffer less on a busy machine; the last
column is how many times longer an engine took than the first one named. DIALS may use as many processes as there are
cores. Variances scatter by sqrt(2 / n) for the n reflections of a shell, a tenth to a fifth here: the last lines pool
those of all series and seeds for each engine.
"""

import argparse
import itertools
import os
import pickle
import shutil
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adapters.programs.dials.engine import DialsIntegrator
from tasks.frames.models import FrameSeries
from tasks.integrate.builtin import BuiltinIntegrator
from tasks.integrate.models import Reflections
from tasks.model import ApertureError
from tasks.simulate.models import Structure
from tests.synthetic import structures
from tests.synthetic.frame_series import Conditions, synthetic_frame_series
from tests.synthetic.intensity_scores import Score, score

D_MIN = 0.8
GAP = np.concatenate([np.arange(-60, -10, 0.5), np.arange(-10, 20, 1.0), np.arange(25, 60.1, 0.7)])
CASES = {
    "cubic-1.0": (structures.uio66, np.arange(-60, 60.1, 1.0)),
    "orthorhombic-0.5": (structures.forsterite, np.arange(-60, 60.1, 0.5)),
    "monoclinic-1.0": (structures.diopside, np.arange(-60, 60.1, 1.0)),
    "triclinic-unequal-gap": (structures.kyanite, GAP),
    "triclinic-0.5": (structures.albite, np.arange(-60, 60.1, 0.5)),
}


def series_of(case: str, folder: Path, seed: int) -> tuple[FrameSeries, Structure]:
    """Return the frames of a case, made once per folder."""
    make, angles = CASES[case]
    structure = make()
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "series.pickle"
    if not kept.exists():
        made = synthetic_frame_series(structure, angles, folder, seed=seed, conditions=Conditions(beam_jitter_px=0.3))
        kept.write_bytes(pickle.dumps(made.series))
    return pickle.loads(kept.read_bytes()), structure


def cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Outcome(NamedTuple):
    """What one engine made of one series; ``found`` is None if it failed, with the reason."""

    found: Reflections | None
    score: Score | None
    wall: float
    cpu: float
    failure: str = ""


def run(case: str, name: str, folder: Path, seed: int) -> Outcome:
    series, structure = series_of(case, folder, seed)
    cores = len(os.sched_getaffinity(0))
    engine = BuiltinIntegrator(d_min_angstrom=D_MIN)
    if name == "dials":
        engine = DialsIntegrator(d_min_angstrom=D_MIN, nproc=cores)
    workdir = folder / name
    shutil.rmtree(workdir, ignore_errors=True)
    workdir.mkdir()
    begin, started = cpu_seconds(), time.monotonic()
    try:
        found = engine.integrate(series, workdir)
    except ApertureError as error:
        return Outcome(None, None, time.monotonic() - started, cpu_seconds() - begin, error.message)
    cpu, wall = cpu_seconds() - begin, time.monotonic() - started
    return Outcome(found, score(found, structure), wall, cpu)


def row(case: str, name: str, outcome: Outcome, first: Outcome) -> str:
    times = f"{outcome.wall:.0f} | {outcome.cpu:.0f} | {outcome.cpu / max(first.cpu, 1e-9):.1f}"
    if outcome.found is None:
        return f"| {case} | {name} | failed: {outcome.failure} | | | | | {times} |"
    found, result = outcome.found, outcome.score
    cell = " ".join(f"{value:.6g}" for value in found.unit_cell.parameters)
    shells = "another lattice" if result is None else " ".join(f"{value:.4f}" for value in result.correlation)
    sigmas = "" if result is None else " ".join(f"{value:.2f}" for value in result.variance)
    complete = f"{found.overall.completeness:.3f} ({found.overall.unique})"
    return f"| {case} | {name} | {found.space_group} | {cell} | {shells} | {sigmas} | {complete} | {times} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--engines", default="builtin,dials")
    parser.add_argument("--seeds", default="3")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "apertura-integrate-benchmark")
    chosen = parser.parse_args()
    if unknown := [case for case in chosen.cases if case not in CASES]:
        parser.error(f"no such case: {', '.join(unknown)}")
    engines = chosen.engines.split(",")
    print(
        "| case | engine | space group | cell | CC to F^2 by shell | var((I-t)/sigma) | complete | s | CPU s | times |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    variances: dict[str, list[list[float]]] = {name: [] for name in engines}
    for case, seed in itertools.product(chosen.cases or CASES, [int(text) for text in chosen.seeds.split(",")]):
        outcomes: list[Outcome] = []
        for name in engines:
            outcomes.append(run(case, name, chosen.folder / f"{case}-{seed}", seed))
            print(row(f"{case}, seed {seed}", name, outcomes[-1], outcomes[0]), flush=True)
            if outcomes[-1].score is not None:
                variances[name].append(outcomes[-1].score.variance)
    for name, values in variances.items():
        if values:
            pooled = " ".join(f"{value:.2f}" for value in np.mean(values, axis=0))
            print(f"\n{name}: mean variance by shell over {len(values)} series: {pooled}", flush=True)


if __name__ == "__main__":
    main()
