"""The effort of a search is counted in trials: no clock decides what comes out, and a guard that ended it is named."""

import itertools
import logging
from pathlib import Path

import numpy as np
import pytest

from tasks.integrate import Reflections, read_merged
from tasks.model import Composition
from tasks.solve.data.prepared import normalised_to_find_atoms
from tasks.solve.engines import DirectMethods
from tasks.solve.phasing.cpu_clock import CpuClock
from tasks.solve.search.campaign import most_trials
from tasks.solve.search.progress import SearchProgress
from tasks.solve.search.reporter import Reporter
from tasks.solve.settings import SolveSettings
from tests.synthetic.solve_cases import reflections_document
from tests.synthetic.solve_simulated import simulated


def noise(folder: Path) -> Reflections:
    """Return intensities of nothing: those of a small structure, exchanged at random."""
    item = simulated("p-1-30", folder, 0)
    rows = np.random.default_rng(3).permutation(len(item.merged.hkl))
    mixed = item.merged._replace(intensity=item.merged.intensity[rows], sigma=item.merged.sigma[rows])
    return reflections_document(
        folder / "noise", name="noise", merged=mixed, cell=item.cell, laue=item.laue, radiation="electron"
    )


FORMULA = Composition.parse("C18 N6 O6")


def test_the_same_trials_are_made_however_slow_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = noise(tmp_path)
    engine = DirectMethods(trials=3, workers=1)
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    quick = engine.solve(data, FORMULA, tmp_path / "a")
    seconds = CpuClock.seconds
    monkeypatch.setattr(CpuClock, "seconds", lambda self: 40.0 * seconds(self))
    slow = engine.solve(data, FORMULA, tmp_path / "b")
    assert quick.trials == slow.trials == 3
    assert quick == slow


def test_the_guard_ends_a_search_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = noise(tmp_path)
    ticks = itertools.count(0, 600)
    monkeypatch.setattr(CpuClock, "seconds", lambda _: float(next(ticks)))
    ended = DirectMethods(workers=1).solve(data, FORMULA, tmp_path)
    assert ended.trials < 12
    assert any("time limit" in line and "solve.time_limit_s" in line for line in ended.diagnosis)


def test_larger_cells_have_fewer_trials_and_a_given_number_stands(tmp_path: Path) -> None:
    data = noise(tmp_path)
    prepared = normalised_to_find_atoms(
        read_merged(data.merged), cell=data.unit_cell, laue_group="P -1", radiation="electron", composition=FORMULA
    )
    larger = prepared._replace(atoms_per_cell=10 * prepared.atoms_per_cell)
    settings = SolveSettings()
    assert most_trials(settings, larger) < most_trials(settings, prepared)
    assert most_trials(SolveSettings(trials=17), prepared) == 17


def test_a_long_search_tells_what_is_new_and_otherwise_when_trials_have_doubled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    progress, reporter = SearchProgress(), Reporter("crystal-01")
    with caplog.at_level(logging.INFO, logger="apertura.search"):
        for trials in (4, 6, 8, 12, 16):
            progress.trials = trials
            reporter.tell(progress, most=500)
    assert [record.getMessage().split(",")[0] for record in caplog.records] == [
        f"crystal-01: {trials} of at most 500 trials" for trials in (4, 8, 16)
    ]
