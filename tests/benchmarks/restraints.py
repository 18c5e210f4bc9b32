"""Restraints where data are few: ``python -m tests.benchmarks.restraints [--ratios 3,5,7] [--seeds 2] [NAME ...]``.

Real data are cut to so many unique reflections per parameter of the isotropic model, at random (``thinned``) or by
resolution (``cut``), and refined from the published atoms, 0.1 A displaced, without restraints and with. A row: data
used per parameter, R1, how far the atoms are from those that all data give (root mean square, the floating origin taken
off), restraints kept.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from adapters.cctbx.refine_engine import SmtbxRefiner
from tasks.refine.models import Refinement
from tests.synthetic.few_data import distance_from, few_reflections, heavy_positions, start_of
from tests.synthetic.known_structures import composition
from tests.synthetic.real_data import real_data

NAMES = ("l-alanine", "tyrosine", "sucrose")


def main() -> None:
    """Print a row for each set, way of cutting, ratio and seed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--ratios", default="3,5,7")
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    print("| data | cut | wanted per parameter | seed | used | R1 | off, A | R1 restrained | off, A | restraints |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in arguments.names:
        known = all_data(name)
        for how in ("thinned", "cut"):
            for ratio in (float(text) for text in arguments.ratios.split(",")):
                for seed in range(arguments.seeds):
                    print(row(name, known, how=how, ratio=ratio, seed=seed), flush=True)


def all_data(name: str) -> np.ndarray:
    """Return the positions of the atoms that are not hydrogen, refined against all data."""
    return heavy_positions(refined(name, how="cut", ratio=1e6, seed=0, restraints="none"))


def refined(name: str, *, how: str, ratio: float, seed: int, restraints: str) -> Refinement:
    """Return the refinement of cut data from displaced atoms."""
    with tempfile.TemporaryDirectory() as folder:
        data = few_reflections(name, real_data(), Path(folder), how=how, ratio=ratio, seed=seed)
        start = start_of(name, real_data(), jitter_angstrom=0.1, seed=seed)
        return SmtbxRefiner(restraints=restraints).refine(data, start, composition(name), Path(folder))


def row(name: str, known: np.ndarray, *, how: str, ratio: float, seed: int) -> str:
    """Return the row of one set."""
    free, held = (refined(name, how=how, ratio=ratio, seed=seed, restraints=kind) for kind in ("none", "auto"))
    outcome = next((a.outcome.split(":")[0] for a in held.provenance.attempts if "restrained" in a.change), "none")
    cells = [name, how, f"{ratio:g}", str(seed), f"{free.reflections / free.parameters:.1f}"]
    for found in (free, held):
        cells += [f"{found.r1:.4f}", f"{distance_from(found, known):.4f}"]
    return "| " + " | ".join([*cells, f"{held.restraints}, {outcome}"]) + " |"


if __name__ == "__main__":
    main()
