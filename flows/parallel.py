"""Crystals side by side: threads that carry the Prefect context, so that tasks called in them are recorded.

A thread goes through the steps of a crystal; where its units of work are done (here, in other processes, on other
machines) is decided by `compute` in the settings. So the order stands in the pipeline and nowhere else.
"""

import contextvars
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from adapters.compute.place import ComputePlace, Workforce
from flows.site import load_site
from tasks.stage import handed_to

if TYPE_CHECKING:
    from flows.settings import Settings  # every engine, which threads need not wait for

A = TypeVar("A")
B = TypeVar("B")


@contextmanager
def abreast(settings: "Settings", run: Path) -> Iterator["Abreast"]:
    """Open what `settings.compute` says for the crystals of a run, and end it."""
    named = getattr(settings.compute, "cluster", None) is not None
    place = ComputePlace(run, load_site().clusters if named else {})
    with settings.compute.opened(place) as hands, Abreast(hands) as pool:
        yield pool


def side_by_side(function: Callable[[A], B], items: Sequence[A], *, workers: int) -> list[B]:
    """Return ``[function(item) for item in items]``, several at once in this process, in the order of the items."""
    with Abreast(workers=workers) as pool:
        return pool.each(function, items)


class Abreast:
    """Calls functions for crystals, some at once, each in a thread that only waits for what `hands` do.

    Without hands, units of work are done in these threads. Where only one thing is to be done at once, it is done in
    the thread that asks, which an interrupt reaches. When the context is left by an error, what goes on is ended.
    """

    def __init__(self, hands: Workforce | None = None, *, workers: int = 1) -> None:
        self.at_once = workers if hands is None else hands.at_once
        self._hands = hands
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._context = contextvars.copy_context()
        self._ended = False

    @property
    def apart(self) -> bool:
        """Whether units of work are done outside this process."""
        return self._hands is not None and self._hands.apart

    def __enter__(self) -> Self:
        self._context = contextvars.copy_context()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._ended = True
            if self._hands is not None:
                self._hands.stop()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=kind is not None)

    def each(self, function: Callable[[A], B], items: Sequence[A]) -> list[B]:
        """Return ``[function(item) for item in items]``, in the order of the items."""
        begun = [self.begin(function, item, of=len(items)) for item in items]
        return [one.result() for one in begun]

    def begin(self, function: Callable[[A], B], item: A, *, of: int) -> Future[B]:
        """Call a function in a thread; in this one, before it returns, if only one of `of` may be done at once."""
        if min(self.at_once, of) == 1:
            done: Future[B] = Future()
            done.set_result(self._called(function, item))
            return done
        with self._lock:
            if self._ended:
                raise CancelledError
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.at_once, thread_name_prefix="crystal")
            return self._pool.submit(self._context.copy().run, self._called, function, item)

    def begin_after(self, earlier: Future[A], function: Callable[[A], B], *, of: int) -> Future[B]:
        """Call a function with the result of an earlier call, as soon as that is there; not, where that failed."""
        if min(self.at_once, of) == 1:
            return self.begin(function, earlier.result(), of=of)
        later: Future[B] = Future()

        def take_up(done: Future[A]) -> None:
            if done.cancelled() or done.exception() is not None:
                later.cancel()
                return
            try:
                self.begin(function, done.result(), of=of).add_done_callback(hand_on)
            except (CancelledError, RuntimeError):  # all is ending: the pool takes nothing more
                later.cancel()

        def hand_on(done: Future[B]) -> None:
            if done.cancelled():
                later.cancel()
            elif (error := done.exception()) is not None:
                later.set_exception(error)
            else:
                later.set_result(done.result())

        earlier.add_done_callback(take_up)
        return later

    def _called(self, function: Callable[[A], B], item: A) -> B:
        with handed_to(self._hands):
            return function(item)
