"""Success rates of structure solution: ``python -m tests.benchmarks.solve phases|structures``.

``phases``: how often the best phase set of a search in P1 agrees with the published or simulated model.
``structures``: how often the engine `direct-methods` finds the published atoms, blind.
Prints Markdown tables. The models are read to judge the result only.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tasks.integrate.reflection_file import Merged
from tasks.model import Composition, NoSolutionError
from tasks.model.scattering import d_star_squared
from tasks.solve.engines import DirectMethods
from tasks.solve.methods import DualSpace
from tasks.solve.phasing import PhaseSet, StopRule, phase_p1
from tasks.solve.prepared import PreparedData, prepare
from tests.synthetic.known_structures import (
    SETS,
    KnownStructure,
    composition,
    load_merged,
    load_model,
    load_uio66,
)
from tests.synthetic.match_structure import match_structure
from tests.synthetic.phase_truth import phase_agreement
from tests.synthetic.random_structures import random_molecule, shuffled_in_shells, simulated_intensities
from tests.synthetic.solve_cases import all_cases, load

FINEST_ANGSTROM = 0.8
RIGHT_CORRELATION = 0.6
"""Of the E map with that of the model. Structures of a few heavy atoms: of the F map."""


class PhaseCase(NamedTuple):
    """A data set whose structure is known; made anew for each seed where it is simulated."""

    name: str
    make: Callable[[int], tuple[PreparedData, KnownStructure | None]]
    heavy: bool = False


def phase_cases() -> Iterator[PhaseCase]:
    """Yield the real sets, the simulated ones, and data without a structure."""
    for name in SETS:
        yield PhaseCase(name, lambda _, name=name: _real(name), heavy=name == "luag")
    yield PhaseCase("UiO-66, 1.0 A, I flattened by 20 %", _uio66, heavy=True)
    yield _molecule(30, "P -1", 1.0, 0.7, 0.2)
    yield _molecule(25, "P 1 21/c 1", 1.0, 0.65, 0.25)
    yield _molecule(25, "P 21 21 21", 1.0, 0.7, 0.2)
    yield _molecule(60, "P 1 21 1", 0.9, 0.8, 0.1)
    yield _molecule(100, "P 1 21/c 1", 0.9, 1.0, 0.0)
    for name in ("tyrosine", "cinchonine-xds", "natrolite", "sucrose"):
        yield PhaseCase(f"{name}, shuffled in shells", lambda seed, name=name: _shuffled(name, seed))


def _real(name: str) -> tuple[PreparedData, KnownStructure]:
    model = load_model(name)
    return _prepared(load_merged(name), model, SETS[name].laue, SETS[name].radiation, composition(name)), model


def _shuffled(name: str, seed: int) -> tuple[PreparedData, None]:
    model = load_model(name)
    merged = shuffled_in_shells(load_merged(name), model.cell, seed=seed)
    return _prepared(merged, model, SETS[name].laue, SETS[name].radiation, composition(name)), None


def _uio66(seed: int) -> tuple[PreparedData, KnownStructure]:
    model = load_uio66()
    merged = simulated_intensities(model, d_min_angstrom=1.0, seed=seed, noise=0.15, flattening=0.2, completeness=0.95)
    return _prepared(merged, model, "F m -3 m", "electron", Composition.parse("Zr6C48H28O32")), model


def _molecule(atoms: int, group: str, d_min: float, completeness: float, flattening: float) -> PhaseCase:
    def make(seed: int) -> tuple[PreparedData, KnownStructure]:
        model = random_molecule(atoms, group, seed=seed)
        merged = simulated_intensities(
            model, d_min_angstrom=d_min, seed=seed, noise=0.1, completeness=completeness, flattening=flattening
        )
        contents = Composition(counts={name: float(number) for name, number in Counter(model.elements).items()})
        return _prepared(merged, model, group, "electron", contents), model

    label = f"{atoms} C N O, {group}, {d_min} A, {completeness:.0%} complete, I flattened by {flattening:.0%}"
    return PhaseCase(label, make)


def _prepared(merged: Merged, model: KnownStructure, laue: str, radiation: str, contents: Composition) -> PreparedData:
    outermost = float(1 / np.sqrt(d_star_squared(merged.hkl, model.cell).max()))
    limit = FINEST_ANGSTROM if outermost < FINEST_ANGSTROM else None
    return prepare(
        merged, cell=model.cell, laue_group=laue, radiation=radiation, composition=contents, d_min_angstrom=limit
    )


def phases_table(*, seeds: int, only: str, workers: int) -> None:
    """Print one row per data set."""
    print("| set | P1 reflections | complete | right | trials | s | cfom | cc_free | map correlation |")
    print("|---|---|---|---|---|---|---|---|---|")
    for case in phase_cases():
        if only not in case.name:
            continue
        rows = []
        for seed in range(seeds):
            data, model = case.make(seed)
            begun = time.monotonic()
            found = phase_p1(data, method=DualSpace(), seed=seed, n_trials=64, stop=StopRule(), workers=workers)
            rows.append((found, time.monotonic() - begun, _agreement(found[0], data, model, heavy=case.heavy)))
        best = [found[0].figures for found, _, _ in rows]
        right = sum(agreement > RIGHT_CORRELATION for _, _, agreement in rows)
        print(
            f"| {case.name} | {len(data.hkl)} | {data.diagnosis.completeness:.0%} "
            f"| {'-' if model is None else f'{right}/{seeds}'} | {_range([len(found) for found, _, _ in rows])} "
            f"| {_range([seconds for _, seconds, _ in rows], 0)} | {_range([figures['cfom'] for figures in best], 2)} "
            f"| {_range([figures['cc_free'] for figures in best], 2)} | {_range([row[2] for row in rows], 2)} |",
            flush=True,
        )


def _agreement(phases: PhaseSet, data: PreparedData, model: KnownStructure | None, *, heavy: bool) -> float:
    if model is None:
        return 0.0
    truth = model.structure_factors(phases.hkl, data.radiation)
    weight = np.abs(truth) * data.f if heavy else phases.amplitude
    return phase_agreement(phases.hkl, phases.phase_rad, truth, weight).correlation


def _range(values: list[float], digits: int = 0) -> str:
    """Return the median and the extremes."""
    low, middle, high = min(values), float(np.median(values)), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def structures_table(*, seeds: int, only: str, workers: int) -> None:
    """Print one row per real data set, solved blind."""
    print("| set | published R1 | found | verdicts | space group | trials | s | R1 | rms, A |")
    print("|---|---|---|---|---|---|---|---|---|")
    for case in all_cases():
        if only not in case.name:
            continue
        rows = []
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                data = load(case, Path(folder) / "data")
                begun = time.monotonic()
                engine = DirectMethods(seed=seed, workers=workers)
                try:
                    solutions = engine.solve(data, Composition.parse(case.composition), Path(folder))
                except NoSolutionError:
                    continue
            match = match_structure(solutions.best, case.published, cell=case.cell)
            rows.append((solutions, match, time.monotonic() - begun))
        if not rows:
            print(f"| {case.name} | {case.r1_published:.3f} | 0/{seeds} | | | | | | |", flush=True)
            continue
        right = sum(match.fraction >= 0.8 for _, match, _ in rows)
        print(
            f"| {case.name} | {case.r1_published:.3f} | {right}/{seeds} "
            f"| {', '.join(sorted({row[0].verdict for row in rows}))} "
            f"| {', '.join(sorted({row[0].best.space_group for row in rows}))} "
            f"| {_range([row[0].trials for row in rows])} | {_range([row[2] for row in rows])} "
            f"| {_range([row[0].best.r1 for row in rows], 3)} | {_range([row[1].rms_angstrom for row in rows], 2)} |",
            flush=True,
        )


def main() -> None:
    """Run one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=["phases", "structures"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="part of a set's name")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    table = phases_table if options.table == "phases" else structures_table
    table(seeds=options.seeds, only=options.only, workers=options.workers)


if __name__ == "__main__":
    main()
