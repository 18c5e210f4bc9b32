"""Trials in other processes: the same results, no guard needed in the caller's script, and no death of the search."""

import contextlib
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tasks
from tasks.crystal.symmetry import compatible_groups, space_group, symmetry_of
from tasks.integrate.reflection_file import read_merged
from tasks.model import Composition
from tasks.solve.data.prepared import normalised
from tasks.solve.groups.group_odds import GroupOdds
from tasks.solve.phasing import crew
from tasks.solve.search.campaign import Search, _search_groups
from tasks.solve.search.candidates import open_workshop
from tasks.solve.search.progress import SearchProgress
from tasks.solve.search.reporter import Reporter
from tasks.solve.settings import SolveSettings
from tests.synthetic.random_structures import random_molecule, simulated_intensities
from tests.synthetic.solve_cases import reflections_document

ROOT = Path(tasks.__file__).resolve().parents[1]


def square(number: int) -> int:
    return number * number


def process_of(number: int) -> int:
    return os.getpid()


def die_elsewhere(number: int) -> int:
    if multiprocessing.parent_process() is not None or "loky" in multiprocessing.current_process().name.lower():
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_results_come_in_the_order_of_the_items_and_the_work_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "WORTH_PROCESSES_S", -1.0)
    with crew.Crew(2) as two:
        assert list(two.run(square, range(20))) == [number * number for number in range(20)]
        assert os.getpid() not in set(two.run(process_of, range(4)))


def test_little_work_starts_no_process() -> None:
    with crew.Crew(4) as four:
        assert set(four.run(process_of, range(4))) == {os.getpid()}


def test_when_a_process_dies_the_calls_are_made_here(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(crew, "WORTH_PROCESSES_S", -1.0)
    with caplog.at_level(logging.WARNING), crew.Crew(2) as two:
        assert list(two.run(die_elsewhere, range(5))) == [0, 1, 2, 3, 4]
        assert list(two.run(process_of, [0])) == [os.getpid()]
    assert "died" in caplog.text
    assert len(caplog.records) == 1


def test_a_daemonic_process_uses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "current_process", lambda: type("Process", (), {"daemon": True}))
    assert crew.usable_workers(8) == 1
    assert crew.usable_workers(None) == 1


def searched(workers: int, folder: Path) -> tuple[list[tuple[str, float, int]], int, float]:
    """Run two waves of in-group trials; return the models, the number of trials and what is asked of later ones."""
    structure = random_molecule(9, "P 1 21/c 1", seed=3)
    merged = simulated_intensities(structure, d_min_angstrom=1.0, seed=3, noise=0.1)
    data = reflections_document(
        folder, name="small", merged=merged, cell=structure.cell, laue="P 1 2/m 1", radiation="electron"
    )
    composition = Composition.parse("C7 N O")
    prepared = normalised(
        read_merged(data.merged),
        cell=structure.cell,
        laue_group=data.laue_group,
        radiation="electron",
        composition=composition,
    )
    workshop = open_workshop(
        prepared.unique,
        [symmetry_of(group) for group in compatible_groups(space_group(data.laue_group))],
        cell=structure.cell,
        radiation="electron",
        composition=composition,
        d_min_angstrom=prepared.d_min_angstrom,
    )
    progress, settings = SearchProgress(), SolveSettings(turns_in_group=25)
    with crew.Crew(workers) as hands:
        at = Search(settings, 100, prepared, workshop, progress, hands, Reporter("tyrosine"))
        odds = GroupOdds(workshop.groups, prepared)
        for _ in range(2):
            _search_groups(at, odds, count=5)
    rows = [(one.task.symmetry.hall, one.built.fit.r1, one.trial) for one in progress.candidates]
    return rows, progress.trials, progress.least_correlation


def test_trials_in_groups_agree_exactly_in_any_number_of_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(crew, "WORTH_PROCESSES_S", -1.0)
    one, two = (searched(workers, tmp_path / str(workers)) for workers in (1, 2))
    assert one == two
    assert len(one[0]) > 0
    assert np.isfinite([r1 for _, r1, _ in one[0]]).all()


SCRIPT = """
from pathlib import Path
import sys
from tasks.model import Composition
from tasks.solve.phasing import crew
from tasks.solve.engines import DirectMethods
from tests.synthetic.random_structures import random_molecule, simulated_intensities
from tests.synthetic.solve_cases import reflections_document

crew.WORTH_PROCESSES_S = -1.0
print("the script runs")
structure = random_molecule(9, "P 1 21/c 1", seed=3)
merged = simulated_intensities(structure, d_min_angstrom=1.0, seed=3, noise=0.1)
folder = Path(sys.argv[1])
data = reflections_document(
    folder, name="small", merged=merged, cell=structure.cell, laue="P 1 2/m 1", radiation="electron"
)
found = DirectMethods(workers=2, trials=8).solve(data, Composition.parse("C7 N O"), folder)
print(found.verdict, found.best.space_group)
"""


def test_a_script_without_a_guard_may_use_several_processes(tmp_path: Path) -> None:
    script = tmp_path / "no_guard.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), str(tmp_path / "run")],
        capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == "the script runs"
    assert done.stdout.count("the script runs") == 1
    assert "solved" in done.stdout


ENDLESS = """
import time
from tasks.solve.phasing import crew

crew.WORTH_PROCESSES_S = -1.0
with crew.Crew(2) as two:
    list(two.run(time.sleep, [0.3] * 1000))
"""


def workers_of(parent: int) -> list[Path]:
    """Return the entries in /proc of the processes of a pool."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            status, command = (entry / "stat").read_text(), (entry / "cmdline").read_text()
            if int(status.rpartition(")")[2].split()[1]) == parent and "LokyProcess" in command:
                found.append(entry)
    return found


def is_alive(process: Path) -> bool:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_processes_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    with subprocess.Popen(
        [sys.executable, str(script)], env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
    ) as parent:
        until(lambda: len(workers_of(parent.pid)) == 2)
        workers = workers_of(parent.pid)
        time.sleep(1.0)
        parent.kill()
    until(lambda: not any(is_alive(worker) for worker in workers))


def until(condition: Callable[[], bool], *, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
