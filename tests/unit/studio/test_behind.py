"""What is made in a thread behind the page: the newest of each kind reaches it, and errors do."""

import threading
from collections.abc import Callable

from flows.studio.behind import Behind


class Turns:
    """A document whose turns are taken by hand."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.came = threading.Semaphore(0)

    def add_next_tick_callback(self, callback: Callable[[], None]) -> None:
        self.waiting.append(callback)
        self.came.release()

    def on_session_destroyed(self, callback: Callable[[object], None]) -> None:
        self.ended = callback

    def take(self) -> None:
        assert self.came.acquire(timeout=30)
        self.waiting.pop(0)()


def test_what_is_made_comes_in_the_turn_of_the_page() -> None:
    turns, told = Turns(), []
    Behind(turns).want("image", 1, lambda: threading.current_thread().name, told.append)
    turns.take()
    assert len(told) == 1
    assert told[0] != threading.current_thread().name


def test_an_error_comes_as_one() -> None:
    turns, told = Turns(), []

    def fails() -> None:
        raise ValueError("no beam")

    Behind(turns).want("centre", 1, fails, told.append)
    turns.take()
    assert [str(one) for one in told] == ["no beam"]


def test_only_the_newest_of_a_kind_comes() -> None:
    turns, told, go_on = Turns(), [], threading.Event()
    behind = Behind(turns)
    behind.want("image", 1, lambda: go_on.wait(30) and "first", told.append)
    behind.want("image", 2, lambda: "second", told.append)
    behind.want("image", 2, lambda: "again", told.append)
    behind.want("image", 3, lambda: "third", told.append)
    go_on.set()
    turns.take()
    turns.take()
    assert told == ["third"]
    assert turns.waiting == []
    turns.ended(None)
