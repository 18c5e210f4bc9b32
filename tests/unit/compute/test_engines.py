"""Blocks of work are done where the settings say, with the same result; a process that dies costs its block only."""

import logging
import threading
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

from adapters.compute import processes
from adapters.compute.block import BLOCK_BYTES
from adapters.compute.dask_workers import DaskCompute
from adapters.compute.here import ThreadsCompute
from adapters.compute.place import ComputePlace
from adapters.compute.processes import ProcessesCompute
from flows.parallel import Abreast
from tasks.model import ProgramFailedError, ScienceError
from tasks.model.cores import sharing_cores, usable_cores
from tasks.stage import handed_to
from tests.synthetic.blocks import Asked, Done, write_word

WORDS = ("spot", "lattice", "phase")


def asked_of(engine: Any, folder: Path, asked: list[Asked]) -> list[Done]:
    with engine.opened(ComputePlace(folder)) as hands, Abreast(hands) as pool:
        return pool.each(lambda one: write_word(one, workdir=folder / one.word), asked)


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def in_threads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("threads")
    asked_of(ThreadsCompute(workers=2), folder, [Asked(word=word) for word in WORDS])
    return folder


@pytest.mark.parametrize("engine", [ProcessesCompute(workers=2), DaskCompute(workers=2)], ids=lambda one: one.engine)
def test_blocks_of_which_workers_die_come_to_what_they_come_to_in_threads(
    engine: Any, tmp_path: Path, in_threads: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run, marks = tmp_path / "run", tmp_path / "marks"
    marks.mkdir()
    asked = [Asked(word=word) for word in WORDS]
    with caplog.at_level(logging.INFO, "apertura"), engine.opened(ComputePlace(run)) as hands, Abreast(hands) as pool:
        begun = pool.each(lambda one: write_word(one, workdir=run / one.word), asked)
        assert bytes_in(run) == bytes_in(in_threads) | {
            name: content for name, content in bytes_in(run).items() if name.startswith(".notes")
        }
        deadly = [Asked(word="axis", deaths=1, marks=marks), Asked(word="edge")]
        died = pool.each(lambda one: write_word(one, workdir=run / one.word), deadly)
        with pytest.raises(ScienceError, match="no angle"):
            pool.each(lambda one: write_word(one, workdir=run / one.word), [Asked(word="angle", fails=True)])
        if engine.engine == "processes":
            with pytest.raises(ProgramFailedError, match="three processes died"):
                hands.do(write_word, {"asked": Asked(word="cut", deaths=9, marks=marks), "workdir": run / "cut"})
    assert [one.length for one in (*begun, *died)] == [4, 7, 5, 4, 4]
    assert len(list(marks.glob("axis-*"))) == 2
    told = [record.getMessage() for record in caplog.records if record.name == "apertura.blocks"]
    assert sum(text.startswith("writing lattice in process") for text in told) == 1
    assert not (run / ".notes").exists()
    assert not list(run.glob(".*.partial.*"))


def test_what_goes_on_is_ended_when_one_crystal_stops_the_run(tmp_path: Path) -> None:
    ended = []

    class Hands:
        at_once = 2
        apart = False

        def do(self, call: Any, arguments: Any) -> str:
            raise AssertionError

        def stop(self) -> None:
            ended.append("stopped")

    def work(number: int) -> int:
        if number == 1:
            raise ProgramFailedError("no program", "install it")
        return number

    with pytest.raises(ProgramFailedError), Abreast(Hands()) as pool:
        pool.each(work, [0, 1, 2, 3])
    assert ended == ["stopped"]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_crystal_goes_on_as_soon_as_it_can(workers: int) -> None:
    with Abreast(workers=workers) as pool:
        first = [pool.begin(abs, number, of=3) for number in (-1, -2, -3)]
        second = [pool.begin_after(one, float, of=3) for one in first]
        assert [one.result() for one in second] == [1.0, 2.0, 3.0]


def test_nothing_follows_a_step_that_failed() -> None:
    def fail(_: int) -> int:
        raise ProgramFailedError("no program", "install it")

    with Abreast(workers=2) as pool:
        first = pool.begin(fail, 1, of=2)
        second = pool.begin_after(first, float, of=2)
        with pytest.raises(ProgramFailedError):
            first.result()
        with pytest.raises(CancelledError):
            second.result(timeout=60)


def test_no_more_processes_are_begun_than_memory_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(processes, "free_memory", lambda: 2 * BLOCK_BYTES + 1)
    with ProcessesCompute(workers=8).opened(ComputePlace(tmp_path)) as hands:
        assert hands.at_once == 2
    assert "2 workers instead of 8" in caplog.text


def test_crystals_in_threads_share_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    both = threading.Barrier(2)
    seen: list[int] = []

    def look(number: int) -> None:
        with handed_to(None), hands._counted(), sharing_cores(hands._share):
            both.wait(60)
            seen.append(usable_cores())
            both.wait(60)

    with ThreadsCompute(workers=2).opened(ComputePlace(tmp_path)) as hands, Abreast(hands) as pool:
        pool.each(look, [1, 2])
    assert seen == [4, 4]
    assert usable_cores() == 8
