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
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adapters.programs.dials.engine import DialsIntegrator
from tasks.frames.models import FrameSeries
from tasks.integrate.builtin import BuiltinIntegrator
from tasks.integrate.models import Reflections
from tasks.integrate.reflection_file import read_merged
from tasks.model import ApertureError
from tasks.simulate.lattice import reflection_table
from tasks.simulate.models import Structure
from tests.synthetic import structures
from tests.synthetic.frame_series import Conditions, synthetic_frame_series

D_MIN = 0.8
SHELLS = 5
GAP = np.concatenate([np.arange(-60, -10, 0.5), np.arange(-10, 20, 1.0), np.arange(25, 60.1, 0.7)])
CASES = {
    "cubic-1.0": (structures.uio66, np.arange(-60, 60.1, 1.0)),
    "orthorhombic-0.5": (structures.forsterite, np.arange(-60, 60.1, 0.5)),
    "monoclinic-1.0": (structures.diopside, np.arange(-60, 60.1, 1.0)),
    "triclinic-unequal-gap": (structures.kyanite, GAP),
    "triclinic-0.5": (structures.albite, np.arange(-60, 60.1, 0.5)),
}


class Score(NamedTuple):
    """Against the truth: correlation and variance of (I - truth) / sigma by shell, low resolution first."""

    correlation: list[float]
    variance: list[float]
    overall: float


def settings_of(cell: Any, true_cell: Any) -> Iterator[np.ndarray]:
    """Yield the matrices that take indices of one cell to those of another setting of the same lattice."""
    given, wanted = (np.array(c.gemmi().orth.mat.tolist()) for c in (cell, true_cell))
    metric, target = given.T @ given, wanted.T @ wanted
    steps = (-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2)
    thirds = (-4 / 3, -2 / 3, -1 / 3, 1 / 3, 2 / 3, 4 / 3)
    grid = np.array(list(itertools.product(steps, repeat=3)) + list(itertools.product((*steps, *thirds), repeat=3)))
    length = np.einsum("ni,ij,nj->n", grid, metric, grid)
    rows = [np.unique(grid[np.abs(length / target[i, i] - 1) < 0.02], axis=0) for i in range(3)]
    for a, b in itertools.product(rows[0], rows[1]):
        if abs(a @ metric @ b - target[0, 1]) > 0.03 * np.sqrt(target[0, 0] * target[1, 1]):
            continue
        for c in rows[2]:
            off = [
                abs(a @ metric @ c - target[0, 2]) / np.sqrt(target[0, 0] * target[2, 2]),
                abs(b @ metric @ c - target[1, 2]) / np.sqrt(target[1, 1] * target[2, 2]),
            ]
            if max(off) < 0.03:
                yield np.array([a, b, c])


def score(reflections: Reflections, structure: Structure) -> Score | None:
    """Compare merged intensities with |F|^2 in the setting that agrees best; None if the lattice is another one."""
    merged = read_merged(reflections.merged)
    table = reflection_table(structure, D_MIN * 0.95)
    truth = {tuple(row): value for row, value in zip(table.hkl.tolist(), table.f_squared, strict=True)}
    best, expected = -2.0, np.zeros(0)
    for matrix in settings_of(reflections.unit_cell, structure.cell):
        rows = np.rint(merged.hkl @ matrix.T).astype(int).tolist()
        values = np.array([truth.get(tuple(row), 0.0) for row in rows])
        agreement = float(np.corrcoef(values, merged.intensity)[0, 1])
        if agreement > best:
            best, expected = agreement, values
    if not len(expected):
        return None
    inverse = np.array(reflections.unit_cell.gemmi().frac.mat.tolist())
    length = np.linalg.norm(merged.hkl @ inverse, axis=1)
    correlation, variance = [], []
    for rows in np.array_split(np.argsort(length), SHELLS):
        intensity, sigma, true = merged.intensity[rows], merged.sigma[rows], expected[rows]
        scale = (intensity * true / sigma**2).sum() / (true**2 / sigma**2).sum()
        correlation.append(float(np.corrcoef(intensity, true)[0, 1]))
        variance.append(float(np.var((intensity - scale * true) / sigma)))
    return Score(correlation, variance, best)


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
