"""How time and memory grow with the structure: ``python -m tests.benchmarks.structure_size [N ...]``.

For N atoms in the asymmetric unit of P 21, 18 A^3 each, to 0.9 A: CPU seconds of one turn of each step that a search or
a refinement repeats, the memory at the end, and the exponent of N that fits each step best (1 is in proportion to the
size, 2 that of direct summation of structure factors over atoms and reflections, 3 that of a full normal matrix).
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tasks.crystal.contents import atom_budget
from tasks.crystal.symmetry import symmetry_from_symbol
from tasks.model import Composition, UnitCell
from tasks.refine.geometry import contacts
from tasks.solve.building.atoms import Model
from tasks.solve.building.bonds import neighbours, too_close
from tasks.solve.building.density import density, peaks_in_group, plan_map
from tasks.solve.building.elements import assign_elements
from tasks.solve.building.least_squares import Free, refine
from tasks.solve.building.model_building import Task
from tasks.solve.building.recycling import SHARPNESS
from tasks.solve.building.weighting import weigh, weighting_of
from tasks.solve.data.observations import observe
from tasks.solve.data.prepared import normalised
from tests.synthetic.solve_simulated import molecules, simulate

SYMBOL, LAUE, D_MIN = "P 1 21 1", "P 1 2/m 1", 0.9
VOLUME_ANGSTROM3 = 18.0
FORMULA = Composition.parse("C3 N O H5")


class Step(NamedTuple):
    """What is repeated, and how to do it once."""

    name: str
    run: Callable[[], object]


def steps(count: int) -> tuple[list[Step], int]:
    """Return the steps for so many atoms, and the number of reflections."""
    edge = (2 * count * VOLUME_ANGSTROM3 / 0.97) ** (1 / 3)
    cell = UnitCell.of((edge * 0.9, edge, edge / 0.9, 90, 104, 90))
    truth = molecules(SYMBOL, cell, count, seed=1)
    merged = simulate(truth, cell, LAUE, d_min=D_MIN, noise=0.1, completeness=1.0)
    symmetry = symmetry_from_symbol(SYMBOL)

    def prepare() -> object:
        return normalised(merged, cell=cell, laue_group=LAUE, radiation="electron", composition=FORMULA)

    observed = observe(merged, symmetry, cell=cell, radiation="electron", d_min_angstrom=D_MIN)
    plan = plan_map(np.concatenate([observed.hkl, observed.missing]), symmetry, cell, D_MIN)
    task = Task(observed, symmetry, plan, atom_budget(FORMULA, cell.volume_angstrom3), FORMULA)
    ones = np.ones(count)
    model = Model(("C",) * count, truth.positions, np.full(count, 0.03), ones, ones)
    named = model._replace(element=truth.elements)
    weighting = weighting_of(observed, symmetry, reference="C", sharpness=SHARPNESS)
    coefficients = weigh(weighting, model).coefficients
    values = density(coefficients, plan)
    most = int(task.budget.high / symmetry.order) + 10
    places = truth.positions
    return [
        Step("normalise", prepare),
        Step("map", lambda: density(coefficients, plan)),
        Step("peaks", lambda: peaks_in_group(values, symmetry, cell, most=most)),
        Step("structure factors, weights", lambda: weigh(weighting, model)),
        Step("contacts", lambda: neighbours(places, symmetry, cell, within_angstrom=3.2)),
        Step("contacts of the refinement", lambda: contacts(places, places, symmetry.hall, cell, cutoff=3.2)),
        Step("atoms too close", lambda: too_close(places, ones, symmetry, cell, limit=0.95)),
        Step(
            "elements",
            lambda: assign_elements(model, symmetry, cell, composition=FORMULA, radiation="electron"),
        ),
        Step(
            "isotropic least squares, a cycle",
            lambda: refine(named, observed, symmetry, free=Free(u_iso=True), cycles=1),
        ),
    ], len(observed.hkl)


def seconds(step: Step) -> float:
    """Return the CPU seconds of one turn, the better of two."""
    times = []
    for _ in range(2):
        begun = time.process_time()
        step.run()
        times.append(time.process_time() - begun)
    return min(times)


def main() -> None:
    """Print a row for each step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sizes", nargs="*", type=int, default=[50, 100, 200, 300])
    sizes = parser.parse_args().sizes
    for step in steps(20)[0]:
        step.run()  # compiled before it is timed
    rows: dict[str, list[float]] = {}
    memory, reflections = [], []
    for count in sizes:
        todo, number = steps(count)
        reflections.append(number)
        for step in todo:
            rows.setdefault(step.name, []).append(seconds(step))
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print("| N | " + " | ".join(map(str, sizes)) + " | exponent |\n|---" * 1 + "|---" * (len(sizes) + 1) + "|")
    print("| reflections | " + " | ".join(map(str, reflections)) + " | |")
    for name, taken in rows.items():
        slope = np.polyfit(np.log(sizes), np.log(np.maximum(taken, 1e-4)), 1)[0] if len(sizes) > 1 else float("nan")
        print(f"| {name}, CPU s | " + " | ".join(f"{value:.3f}" for value in taken) + f" | {slope:.1f} |")
    print("| memory, MB | " + " | ".join(f"{value:.0f}" for value in memory) + " | |")


if __name__ == "__main__":
    main()
