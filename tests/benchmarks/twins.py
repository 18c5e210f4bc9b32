"""Twins by merohedry, solved and refined: ``python -m tests.benchmarks.twins [--fractions 0,0.35,0.5] [NAME ...]``.

NAME is a case of `tests.synthetic.twins`. Each is simulated with 5 % noise for electrons of 200 keV, written as HKLF 4
and read with its cell alone: Laue group, space group, law and fraction are found, only the composition is told. Prints
one row for each: the Laue group in which the data merge, what was solved and refined, R1 beside that of the true model
refined against a single crystal with the same noise, and how much of the structure was found. The exit code says
whether anything was solved in a wrong group, or a single crystal called a twin.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import gemmi
import numpy as np

from adapters.cctbx.refine_engine import SmtbxRefiner
from adapters.formats.read_intensities import reflections_from_file
from tasks.integrate import Reflections
from tasks.model import Composition
from tasks.refine import Refinement
from tasks.solve import Atom, DirectMethods, Solution
from tests.synthetic.match_structure import match_structure
from tests.synthetic.solve_cases import Published
from tests.synthetic.twins import CASES, TwinCase, hklf4, observe_twin

HANDS = {"P 31 2 1": "P 32 2 1"}


def data_of(case: TwinCase, fraction: float, seed: int, folder: Path) -> Reflections:
    """Return the data of a case as they are read from a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{case.name}.hkl"
    path.write_text(hklf4(observe_twin(case, fraction, seed=seed)))
    return reflections_from_file(path, cell=case.cell, radiation="electron", energy_kev=200, workdir=folder)


def untwinned_r1(case: TwinCase, seed: int, folder: Path) -> float:
    """Return R1 of the true model, refined as any other against a single crystal with the same noise."""
    data = data_of(case, 0.0, seed, folder)
    group = gemmi.SpaceGroup(case.space_group)
    atoms = tuple(
        Atom(label=f"{element}{number}", element=element, position=place, u_iso_angstrom2=u)
        for number, (element, place, u) in enumerate(case.sites)
    )
    solution = Solution(
        space_group=group.xhm(), hall=group.hall, unit_cell=case.cell, atoms=atoms, r1=0.1, verdict="solved"
    )
    (folder / "refine").mkdir(exist_ok=True)
    return SmtbxRefiner().refine(data, solution, Composition.parse(case.formula), folder / "refine").r1


def run(case: TwinCase, fraction: float, seed: int, folder: Path) -> bool:
    """Solve and refine one twin, print its row, and tell whether nothing is claimed that is wrong."""
    reference = untwinned_r1(case, seed, folder / "single")
    data = data_of(case, fraction, seed, folder / "twin")
    composition = Composition.parse(case.formula)
    begun = time.process_time()
    solutions = DirectMethods(seed=seed, workers=1).solve(data, composition, folder / "twin")
    seconds = time.process_time() - begun
    (folder / "twin/refine").mkdir()
    refined = SmtbxRefiner().refine(data, solutions.best, composition, folder / "twin/refine")
    elements, places, _ = zip(*case.sites, strict=True)
    published = Published(tuple(elements), np.array(places), gemmi.SpaceGroup(case.space_group))
    found = match_structure(solutions.best, published, cell=data.unit_cell).fraction
    twin = "none" if refined.twin is None else f"{refined.twin.law} {refined.twin.fraction:.3f}"
    row = (
        f"{case.name:9s}", f"{fraction:.2f}", seed, f"{data.laue_group:9s}", solutions.verdict,
        f"{refined.verdict:10s}", f"{refined.space_group:12s}", f"{twin:16s}", f"{refined.r1:.4f}",
        f"{reference:.4f}", f"{100 * found:3.0f} %", f"{seconds:5.1f}",
    )  # fmt: skip
    print(f"| {' | '.join(map(str, row))} |", flush=True)
    return _right(case, fraction, refined)


def _right(case: TwinCase, fraction: float, refined: Refinement) -> bool:
    group = HANDS.get(refined.space_group, refined.space_group)
    right = group == gemmi.SpaceGroup(case.space_group).xhm()
    if refined.verdict != "solved":
        return True
    return right and (refined.twin is None or fraction > 0.0)


def main() -> None:
    """Run the cases that were named, or all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--fractions", default="0,0.35,0.5")
    parser.add_argument("--seeds", default="0")
    arguments = parser.parse_args()
    print(
        "| case | fraction | seed | merges in | solved | refined | group | law, fraction | R1 | R1 of one crystal "
        "| atoms found | CPU s |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
    )
    good = True
    for seed in map(int, arguments.seeds.split(",")):
        for case in CASES:
            if arguments.names and case.name not in arguments.names:
                continue
            for fraction in map(float, arguments.fractions.split(",")):
                with tempfile.TemporaryDirectory() as folder:
                    good &= run(case, fraction, seed, Path(folder))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
