"""Cases made to deceive: ``python -m tests.benchmarks.adversarial [NAME ...] [--seeds N]``.

NAME is a case or the beginning of the names of several. Each is a file of intensities made from a published structure
(`tests.synthetic.adversarial_cases`) that is solved as ``apertura solve`` does; the truth is opened afterwards.

Prints one row per case and seed. "false" names what is claimed and wrong, "CRASH" a run
that ended otherwise than in an error of the product's own: the exit code is 1 if there is any of either.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.synthetic.adversarial_cases import RECIPES, Case, made
from tests.synthetic.adversarial_judge import Outcome, named
from tests.synthetic.adversarial_run import run_or_crash

Row = tuple[Case, Outcome]


def rows(names: tuple[str, ...], seeds: int, limit_s: float | None) -> Iterator[Row]:
    """Run the cases whose names begin as one of `names`."""
    for name in (name for name in RECIPES if name.startswith(names)):
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                case = made(name, Path(folder) / "made", seed=seed)
                yield case, run_or_crash(case, Path(folder) / "run", limit_s)


def told(case: Case, found: Outcome) -> str:
    """Return the row of a case."""
    settled = ", ".join(found.settled) or "-"
    verdict = "FALSE: " + ", ".join(found.false) if found.false else _in_a_word(case, found)
    return f"| {case.name} | {found.status} | {settled} | {found.reason[:110]} | {verdict} | {found.seconds:.0f} |"


def _in_a_word(case: Case, found: Outcome) -> str:
    if found.status == "crash":
        return "CRASH"
    if case.honest:
        return "right" if found.status == "solved" else "refused" if found.right["elements"] else "not found"
    return "right" if named(case, found) else "cause not first" + (" (named)" if _later(case, found) else "")


def _later(case: Case, found: Outcome) -> bool:
    return named(case, found._replace(reason=found.reasons))


def summary(done: list[Row]) -> str:
    """Return the three figures that count."""
    deceiving = [row for row in done if not row[0].honest]
    honest = [row for row in done if row[0].honest]
    false = sum(bool(found.false) for _, found in done)
    crashed = sum(found.status == "crash" for _, found in done)
    lost = sum(found.status != "solved" for _, found in honest)
    first = sum(named(*row) and not row[1].false and row[1].status != "crash" for row in deceiving)
    return (
        f"{false} of {len(done)} with a false claim; {lost} of {len(honest)} right structures not called solved; "
        f"true cause first in {first} of {len(deceiving)} ({first / max(1, len(deceiving)):.0%})"
        + (f"; {crashed} crashed" if crashed else "")
    )


def main() -> None:
    """Run the cases that were named, or all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--limit", type=float, default=None, help="CPU seconds of a search; that of the command if not given"
    )
    arguments = parser.parse_args()
    print("| case | status | settled | first reason | judged | CPU s |\n|---|---|---|---|---|---|", flush=True)
    done: list[Row] = []
    for row in rows(tuple(arguments.names) or ("",), arguments.seeds, arguments.limit):
        done.append(row)
        print(told(*row), flush=True)
    print(summary(done))
    sys.exit(1 if not done or any(found.false or found.status == "crash" for _, found in done) else 0)


if __name__ == "__main__":
    main()
