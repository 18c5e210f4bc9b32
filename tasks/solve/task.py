"""The unit of work: the intensities of one crystal become a structure."""

import logging
from pathlib import Path

from tasks.integrate import Reflections
from tasks.model import Composition, plain
from tasks.solve.models import Solutions
from tasks.solve.ports import Solver
from tasks.stage import stage

log = logging.getLogger("apertura.solve")


def summary(solutions: Solutions) -> str:
    """Return the table of space groups as Markdown."""
    rows = ["| space group | score | R1 | phase error | reasons |", "|---|---|---|---|---|"]
    for trial in solutions.space_groups:
        r1 = "" if trial.r1 is None else f"{trial.r1:.3f}"
        error = "" if trial.phase_error_deg is None else f"{trial.phase_error_deg:.0f}"
        rows.append(
            f"| {plain(trial.symbol)} | {trial.score:.3f} | {r1} | {error} | {plain('; '.join(trial.reasons))} |"
        )
    return "\n".join([f"{plain(solutions.id)}: {solutions.verdict}. {plain(solutions.margin)}", "", *rows])


@stage(name="solve {data.id}", summary=summary)
def solve_structure(data: Reflections, composition: Composition | None, engine: Solver, workdir: Path) -> Solutions:
    """Find phases, space group and a first model with one engine."""
    solutions = engine.solve(data, composition, workdir)
    log.info(
        "%s: %s in %s, R1 %.3f, %d atoms, %d trials",
        data.id,
        solutions.verdict,
        solutions.best.space_group,
        solutions.best.r1,
        len(solutions.best.atoms),
        solutions.trials,
    )
    return solutions
