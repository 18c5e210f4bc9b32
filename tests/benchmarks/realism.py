"""Real cameras and crystals, simulated, run and judged by the truth:
``OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks.realism CASE...``.

CASE is a case of `tests.synthetic.realism_cases`, or the beginning of the names of several; ``--list`` names all. Seeds
1 to 20 may set constants, 101 and later judge (``--first``). With ``--folder`` series and runs are kept there, and what
is there is judged again without being made again. Prints a Markdown row for each crystal and merged set of each
case and seed: verdict, whether the structure is the one simulated, space group, cell against the truth, correlation
and R of the merged intensities with the truth, the largest deviation of the ten strongest from the reflections after
them, root mean square of (I - truth) / sigma in four shells, part of the reflections measured, R1, extinction; then a
row for the case: precision and recall of the apertures, CPU s of the run, and what the verdict says. The exit code is 1
if a verdict of "solved" is false.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from adapters.formats.simulated_series import write_simulated_series
from tests.synthetic.realism_cases import CASES, STRUCTURES
from tests.synthetic.run_scores import CrystalScore, score_positions, score_run

HEAD = (
    "| case | seed | crystal | verdict | structure | group | cell | correlation | R | strongest ten | (I-T)/sigma "
    "| measured | R1 | extinction |"
)
LIMIT_S = 3600.0
"""Wall time of one run: twenty times what one takes on two idle cores."""
FOUND_NOTHING = {0, 1}
"""Exit codes of a run that ended: solved, or not."""


def run_case(name: str, seed: int, folder: Path) -> bool:
    """Make, run and judge one series; print its rows and tell whether no verdict is false."""
    case = CASES[name]
    structure = STRUCTURES[case.structure]()
    source, run = folder / f"{name}-{seed}" / "source", folder / f"{name}-{seed}" / "run"
    if not (source / "tilt_series.json").is_file():
        write_simulated_series(structure, case.settings(seed), source)
    before = _children_s()
    if not (run / "results.json").is_file():
        command = [sys.executable, "-m", "flows.cli", "run", str(source), "--out", str(run)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            print(f"| {name} | {seed} | the run did not end within {LIMIT_S:.0f} s |", flush=True)
            return True
        if done.returncode not in FOUND_NOTHING:
            print(f"| {name} | {seed} | the run ended with {done.returncode}: {done.stderr.strip().splitlines()[-1]} |")
            return True
    rows = score_run(source, run, structure)
    for row in rows:
        print(f"| {name} | {seed} | {_crystal(row)} |", flush=True)
    positions = score_positions(source, run)
    where = (
        "no apertures" if positions is None else f"precision {positions.precision:.3f}, recall {positions.recall:.3f}"
    )
    words = "; ".join(dict.fromkeys(row.words for row in rows if row.words))
    print(f"| {name} | {seed} | {where}, {_children_s() - before:.0f} CPU s, {words} |", flush=True)
    return not any(row.verdict == "solved" and not row.right for row in rows)


def _crystal(row: CrystalScore) -> str:
    structure = "right" if row.right else "FALSE" if row.verdict == "solved" else "-"
    intensities = "| | | |"
    if (score := row.intensities) is not None:
        spread = " ".join(f"{value:.2f}" for value in score.spread)
        intensities = (
            f"{score.correlation:.4f} | {score.r_value:.3f} | {score.strongest:.3f} | {spread} | {score.measured:.3f}"
        )
    cell = f"{100 * row.cell_error:+.2f} %"
    return (
        f"{row.name} | {row.verdict} | {structure} | {row.group} | {cell} | {intensities} | {row.r1:.3f} "
        f"| {row.extinction:.3g}"
    )


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    """Run the chosen cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=101)
    parser.add_argument("--folder", type=Path, help="keep series and runs here")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    beginnings = tuple(name for name in options.cases if name not in CASES)
    chosen = [name for name in CASES if name in options.cases or (beginnings and name.startswith(beginnings))]
    if options.list or not chosen:
        print("\n".join(CASES))
        return 0
    print(f"{HEAD}\n{'|---' * HEAD.count('| ')}|")
    honest = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for name in chosen:
            for seed in range(options.first, options.first + options.seeds):
                honest = run_case(name, seed, folder) and honest
    return 0 if honest else 1


if __name__ == "__main__":
    sys.exit(main())
