"""Trials in this process and in others: the same results in the same order wherever they run."""

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Self, TypeVar

from joblib.externals.loky import ProcessPoolExecutor

from tasks.model.cores import usable_cores
from tasks.solve.phasing.cpu_clock import CpuClock

log = logging.getLogger("apertura.solve")

A = TypeVar("A")
B = TypeVar("B")

WORTH_PROCESSES_S = 3.0
"""CPU time after which other processes are started: about what starting one costs."""
MOST_BY_DEFAULT = 4
"""Processes where no number is given: several crystals may be worked on at once, each with its own."""


def usable_workers(wanted: int | None) -> int:
    """Return how many processes to use: as wanted, or by the cores this process may use; 1 where none can be started.

    A daemonic process of `multiprocessing` cannot have children.
    """
    if multiprocessing.current_process().daemon:
        return 1
    return min(MOST_BY_DEFAULT, usable_cores()) if wanted is None else wanted


PARENT_LOOKED_FOR_EVERY_S = 1.0
"""An orphan works on for so long at most; the look is one system call."""


class Crew:
    """Calls a function for many items and yields the results in the order of the items.

    The first calls are made here; once they have cost as much as starting processes does, the rest go to others. A
    call must depend on nothing but its item: then the number of processes changes nothing but the time. The
    processes are programs of their own that do not run the caller's main script again (joblib's loky, not a pool of
    `multiprocessing`): a script needs no guard. Where one dies (out of memory, say), the calls are made here.
    """

    def __init__(self, workers: int | None = 1, *, clock: CpuClock | None = None) -> None:
        self.clock = clock or CpuClock()
        self._workers = usable_workers(workers)
        self._cancelled = False
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def run(self, function: Callable[[A], B], items: Sequence[A]) -> Iterator[B]:
        """Yield ``function(item)`` of each item; what is left when the caller stops is not begun."""
        done = 0
        while done < len(items) and not self._share():
            yield function(items[done])
            done += 1
        if done < len(items):
            yield from self._elsewhere(function, items[done:])

    def _share(self) -> bool:
        return self._workers > 1 and (self._pool is not None or self.clock.seconds() > WORTH_PROCESSES_S)

    def _elsewhere(self, function: Callable[[A], B], items: Sequence[A]) -> Iterator[B]:
        futures = self._submitted(function, items)
        try:
            for item, future in zip(items, futures, strict=True):
                yield self._result(function, item, future)
        finally:
            for future in futures:
                if future is not None and future.cancel():
                    self._cancelled = True

    def _submitted(self, function: Callable[[A], B], items: Sequence[A]) -> "list[_Timed[B] | None]":
        """Return the calls under way; None for those to be made here because the processes died meanwhile."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self._workers, initializer=_end_with, initargs=(os.getpid(),))
        try:
            return [self._pool.submit(_timed, function, item) for item in items]
        except BrokenProcessPool as error:
            self._give_up(error)
            return [None] * len(items)

    def _result(self, function: Callable[[A], B], item: A, future: "_Timed[B] | None") -> B:
        if future is None:
            return function(item)
        try:
            result, seconds = future.result()
        except BrokenProcessPool as error:
            self._give_up(error)
            return function(item)
        self.clock.add(seconds)
        return result

    def _give_up(self, error: BrokenProcessPool) -> None:
        if self._pool is not None:
            log.warning("a process of the trials died (%s): they go on in this one", error)
        self._workers = 1
        self.close()

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        if self._pool is not None:
            # loky dies at killing while cancelled calls are pending, and then never ends: let those under way end
            self._pool.shutdown(wait=True, kill_workers=not self._cancelled)
            self._pool = None


_Timed = Future[tuple[B, float]]
"""A result to come, and the CPU seconds it cost."""


def _end_with(parent: int) -> None:
    """Watch, in a process of a pool, for the death of the one that started it: killed, it cannot end its pool."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_LOOKED_FOR_EVERY_S)
    os._exit(1)


def _timed(function: Callable[[A], B], item: A) -> tuple[B, float]:
    begun = time.thread_time()
    result = function(item)
    return result, time.thread_time() - begun
