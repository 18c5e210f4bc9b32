"""Success rates of the solving engines: ``python -m tests.benchmarks.solve [--refine] [NAME ...]``.

NAME is a data set or the beginning of the names of several. `--limit` is in CPU seconds, so that the table does not
depend on what else the machine does.

Prints one row per data set and seed: verdict, space group, R1, trials, seconds of this process, and how much of the
known structure was found. Names ending in ``-shuffled`` are data whose intensities were permuted within shells of
resolution, others end in a fault made on purpose (see `tests.synthetic.solve_faults`): a verdict of "solved" without
the structure is an error, and the exit code says so.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from adapters.cctbx.refine_engine import SmtbxRefiner
from tasks.integrate.models import Reflections
from tasks.integrate.reflection_file import Merged
from tasks.model import Composition, UnitCell
from tasks.solve.engines import DirectMethods
from tasks.solve.models import Solutions
from tests.synthetic.match_structure import match_structure
from tests.synthetic.real_data import real_data
from tests.synthetic.solve_cases import Published, all_cases, load, merge, read_hklf4, reflections_document
from tests.synthetic.solve_faults import faulty_sets
from tests.synthetic.solve_simulated import NAMES, simulated

FAULTS_IN = ("tyrosine", "cinchonine-dials")
Row = tuple[str, Reflections, str, Published | None]


def shuffled(merged: Merged, cell: UnitCell, seed: int) -> Merged:
    """Return the data with intensities permuted within shells of 80 reflections."""
    rng = np.random.default_rng(seed)
    order = np.argsort(-cell.gemmi().calculate_d_array(merged.hkl))
    rows = np.arange(len(order))
    for shell in np.array_split(order, max(4, len(order) // 80)):
        rows[shell] = rng.permutation(shell)
    return merged._replace(intensity=merged.intensity[rows], sigma=merged.sigma[rows])


def data_sets(folder: Path, seed: int, names: tuple[str, ...]) -> Iterator[Row]:
    """Yield name, data, composition and the structure to be found, of sets whose name begins as one of `names`."""
    for case in all_cases(real_data()):
        if case.name.startswith(names):
            yield case.name, load(case, folder / case.name), case.composition, case.published
    for name in NAMES:
        if not name.startswith(names):
            continue
        item = simulated(name, real_data(), seed)
        data = reflections_document(
            folder / item.name, name=item.name, merged=item.merged, cell=item.cell, laue=item.laue, radiation="electron"
        )
        yield item.name, data, item.composition, item.published
    for case in all_cases(real_data()):
        name = f"{case.name}-shuffled"
        if not name.startswith(names):
            continue
        merged = shuffled(merge(*read_hklf4(case.hkl), case.laue), case.cell, seed)
        data = reflections_document(
            folder / name, name=name, merged=merged, cell=case.cell, laue=case.laue, radiation=case.radiation
        )
        yield name, data, case.composition, None
    for original in NAMES[3:6]:
        name = f"{original}-shuffled"
        if not name.startswith(names):
            continue
        item = simulated(original, real_data(), seed)
        data = reflections_document(
            folder / name, name=name, merged=shuffled(item.merged, item.cell, seed), cell=item.cell, laue=item.laue,
            radiation="electron",
        )  # fmt: skip
        yield name, data, item.composition, None
    for case in all_cases(real_data()):
        if case.name not in FAULTS_IN:
            continue
        for faulty in (item for item in faulty_sets(case, seed) if item.name.startswith(names)):
            data = reflections_document(
                folder / faulty.name, name=faulty.name, merged=faulty.merged, cell=faulty.cell, laue=faulty.laue,
                radiation=faulty.radiation,
            )  # fmt: skip
            yield faulty.name, data, faulty.composition, case.published if faulty.survivable else None


def run(row: Row, seed: int, limit: float, *, refine: bool) -> bool:
    """Solve one set, print its row, and tell whether the verdict is acceptable."""
    name, data, formula, published = row
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as workdir:
        engine = DirectMethods(seed=seed, time_limit_s=limit, workers=1)
        solutions = engine.solve(data, Composition.parse(formula), Path(workdir))
        seconds = time.process_time() - begun
        after = f" {_refined(data, solutions, formula, Path(workdir))} |" if refine else ""
    best = solutions.best
    found = match_structure(best, published, cell=data.unit_cell).fraction if published is not None else 0.0
    print(
        f"| {name:26s} | {seed} | {solutions.verdict:10s} | {best.space_group:12s} | {best.r1:.3f} "
        f"| {solutions.trials:3d} | {seconds:6.1f} | {100 * found:3.0f} % | {_trouble(solutions)} |{after}",
        flush=True,
    )
    return solutions.verdict != "solved" or found >= 0.8


def _refined(data: Reflections, solutions: Solutions, formula: str, workdir: Path) -> str:
    """Return verdict and R1 after least squares, with the published R1 of real data."""
    folder = workdir / "refine"
    folder.mkdir()
    result = SmtbxRefiner().refine(data, solutions.best, Composition.parse(formula), folder)
    published = {case.name: case.r1_published for case in all_cases(real_data())}.get(data.id)
    return f"{result.verdict}, R1 {result.r1:.3f}" + ("" if published is None else f" (published {published:.3f})")


def _trouble(solutions: Solutions) -> str:
    """Return what the data, or else the best model, have against them."""
    against = [reason for reason in solutions.best.reasons if reason.startswith("against")]
    return "; ".join([*solutions.diagnosis, *against][:1])


def main() -> None:
    """Run the sets that were named, or all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--limit", type=float, default=120.0)
    parser.add_argument("--refine", action="store_true", help="refine too, and compare R1 with the published one")
    arguments = parser.parse_args()
    print(
        "| data | seed | verdict | space group | R1 | trials | CPU s | atoms found | against it |"
        + (" refined |" if arguments.refine else "")
        + "\n|---|---|---|---|---|---|---|---|---|"
        + ("---|" if arguments.refine else "")
    )
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            for row in data_sets(Path(folder) / str(seed), seed, tuple(arguments.names) or ("",)):
                good &= run(row, seed, arguments.limit, refine=arguments.refine)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
