"""Work beside the page: told of in the page's turn, one at a time, stopped, and never silent when it fails."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from bokeh.document import Document

from flows.studio.desk import Desk
from flows.studio.errands import Errands
from flows.studio.work_process import StoppedError
from tasks.drawing import Scene
from tasks.model import InputError
from tests.synthetic.random_series import random_series


class Page(Document):
    """A document whose next turn is taken by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[object] = []
        self.more = threading.Condition()

    def add_next_tick_callback(self, callback: object) -> None:
        with self.more:
            self.waiting.append(callback)
            self.more.notify()

    def turn(self) -> None:
        with self.more:
            assert self.more.wait_for(lambda: self.waiting, timeout=20)
            calls, self.waiting = self.waiting, []
        for call in calls:
            call()


class Bench:
    def __init__(self, scene: Scene) -> None:
        self.page = Page()
        self.desk = Desk(scene)
        self.errands = Errands(self.page, self.desk)
        self.done: list[object] = []

    def until_ended(self) -> None:
        while self.errands.running is not None:
            self.page.turn()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder: Path = tmp_path_factory.mktemp("series")
    return Scene(random_series(folder, tilts=3, scan_shape=(4, 4), detector_shape=(8, 8)))


@pytest.fixture
def bench(scene: Scene) -> Iterator[Bench]:
    made = Bench(scene)
    yield made
    made.errands.end()


def test_what_it_tells_is_shown_and_what_comes_of_it_is_handed_over(bench: Bench) -> None:
    shown: list[tuple[str, str]] = []
    bench.desk.watch("message", lambda: shown.append(bench.desk.message))

    def work(tell: object, _stop: threading.Event) -> int:
        tell("12 of 81 tilts")
        return 42

    assert bench.errands.start("Judging", work, bench.done.append)
    bench.until_ended()
    assert bench.done == [42]
    assert shown == [("working", "Judging …"), ("working", "Judging: 12 of 81 tilts")]


def test_a_second_errand_is_refused_while_one_runs(bench: Bench) -> None:
    go_on = threading.Event()
    assert bench.errands.start("Judging", lambda _tell, _stop: go_on.wait(20), bench.done.append)
    assert not bench.errands.start("Solving", lambda _tell, _stop: 1, bench.done.append)
    assert bench.desk.message[0] == "warning"
    assert "Judging" in bench.desk.message[1]
    go_on.set()
    bench.until_ended()
    assert bench.done == [True]


def test_stop_ends_it_and_the_next_can_begin(bench: Bench) -> None:
    def work(tell: object, stop: threading.Event) -> None:
        assert stop.wait(20)
        tell("still something")  # is not shown over the stop
        raise StoppedError("stopped", "")

    bench.errands.start("Solving", work, bench.done.append)
    bench.errands.stop()
    bench.until_ended()
    assert bench.desk.message == ("info", "Solving was stopped.")
    assert bench.errands.start("Solving", lambda _tell, _stop: "again", bench.done.append)
    bench.until_ended()
    assert bench.done == ["again"]


def raising(error: Exception) -> object:
    def work(_tell: object, _stop: threading.Event) -> None:
        raise error

    return work


def test_an_error_says_what_to_do(bench: Bench) -> None:
    bench.errands.start("Solving", raising(InputError("the source is gone", "put it back")), bench.done.append)
    bench.until_ended()
    assert bench.desk.message == ("error", "the source is gone\nput it back")


def test_an_error_goes_to_whoever_asked_for_it(bench: Bench) -> None:
    failures: list[Exception] = []
    error = InputError("no", "yes")
    bench.errands.start("Solving", raising(error), bench.done.append, failed=failures.append)
    bench.until_ended()
    assert failures == [error]


def test_a_bug_is_said_and_logged_with_its_traceback(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.errands.start("Judging", raising(ZeroDivisionError("by zero")), bench.done.append)
    bench.until_ended()
    assert bench.desk.message[0] == "error"
    assert "ZeroDivisionError" in bench.desk.message[1]
    assert "Traceback" in caplog.text
    assert bench.done == []


def test_after_the_page_is_gone_nothing_is_told_any_more(bench: Bench) -> None:
    begun, go_on, told = threading.Event(), threading.Event(), threading.Event()

    def work(tell: object, _stop: threading.Event) -> None:
        begun.set()
        go_on.wait(20)
        tell("to nobody")
        told.set()

    bench.errands.start("Judging", work, bench.done.append)
    assert begun.wait(20)
    bench.errands.end()
    go_on.set()
    assert told.wait(20)
    assert bench.page.waiting == []
