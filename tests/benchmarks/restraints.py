"""Restraints where data are few: ``python -m tests.benchmarks.restraints [--ratios 3,5,7] [--seeds 2] [NAME ...]``.

Real data are cut to so many unique reflections per parameter of the isotropic model, at random (``thinned``) or by
resolution (``cut``), and refined from the published atoms, 0.1 A displaced, without restraints and with. A row: R1, how
far the atoms are from the published ones (root mean square, the floating origin taken off), restraints kept.
"""

import argparse
import tempfile
from pathlib import Path

from adapters.cctbx.refine_engine import SmtbxRefiner
from tests.synthetic.few_data import distance_from, few_reflections, start_of
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
    print("| data | cut | per parameter | seed | R1 | off, A | R1 restrained | off, A | restraints |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in arguments.names:
        for how in ("thinned", "cut"):
            for ratio in (float(text) for text in arguments.ratios.split(",")):
                for seed in range(arguments.seeds):
                    print(row(name, how, ratio, seed), flush=True)


def row(name: str, how: str, ratio: float, seed: int) -> str:
    """Return the row of one set."""
    cells = [name, how, f"{ratio:g}", str(seed)]
    kept = ""
    for restraints in ("none", "auto"):
        with tempfile.TemporaryDirectory() as folder:
            data = few_reflections(name, real_data(), Path(folder), how=how, ratio=ratio, seed=seed)
            start = start_of(name, real_data(), jitter_angstrom=0.1, seed=seed)
            found = SmtbxRefiner(restraints=restraints).refine(data, start, composition(name), Path(folder))
            off = distance_from(found, name, real_data())
            cells += [f"{found.r1:.4f}", f"{off:.4f}"]
            kept = next((a.outcome.split(":")[0] for a in found.provenance.attempts if "restrained" in a.change), "-")
    return "| " + " | ".join([*cells, kept]) + " |"


if __name__ == "__main__":
    main()
