"""Run a case as ``apertura solve`` does, from its file; the truth is opened afterwards."""

import traceback
from pathlib import Path

import psutil

from flows.commands import solve_intensities
from flows.run_folder import read_results
from flows.settings import load_settings
from tasks.model import ApertureError
from tests.synthetic.adversarial_cases import Case
from tests.synthetic.adversarial_judge import Outcome, outcome, refused


def run(case: Case, folder: Path, limit_s: float | None) -> Outcome:
    """Solve the file of a case as the command does, and judge what came out."""
    assigned = [f"compositions=['{case.composition}']"] if case.composition is not None else []
    assigned += ["solve.workers=1", *([] if limit_s is None else [f"solve.time_limit_s={limit_s}"])]
    before = _seconds()
    try:
        out = solve_intensities(
            case.hkl, folder, load_settings(None, assigned), cell=case.cell, space_group=case.space_group,
            radiation=case.radiation, energy_kev=None,
        )  # fmt: skip
        found = outcome(case, read_results(out), out)
    except ApertureError as error:
        found = refused(case, error.message)
    return found._replace(seconds=_seconds() - before)


def run_or_crash(case: Case, folder: Path, limit_s: float | None) -> Outcome:
    """Run a case as `run` does; a fault of the program becomes an outcome "crash", so that a table goes on."""
    before = _seconds()
    try:
        return run(case, folder, limit_s)
    except Exception as error:  # noqa: BLE001 whatever it is, the other cases are still to be run
        traceback.print_exc()
        message = f"{type(error).__name__}: {error}"
        return refused(case, message)._replace(status="crash", seconds=_seconds() - before)


def _seconds() -> float:
    """Return the CPU time of this process and of its children: ended ones, and the one that forks for refinement."""
    processes = [own := psutil.Process(), *own.children(recursive=True)]
    used = [process.cpu_times() for process in processes]
    return sum(item.user + item.system + item.children_user + item.children_system for item in used)
