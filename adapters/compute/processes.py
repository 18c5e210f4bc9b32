"""The engine of processes: each worker is a program of its own, which stays; the death of one costs its block only."""

import contextlib
import logging
import os
import queue
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import joblib
import psutil
from joblib.externals.loky import ProcessPoolExecutor
from pydantic import Field

from adapters.compute.block import BLOCK_BYTES, CrystalBlock, do_block, thread_limits
from adapters.compute.notes import notes_told
from adapters.compute.place import ComputePlace
from adapters.host.memory import free_memory
from tasks.model import Document, ProgramFailedError
from tasks.stage import code_version

log = logging.getLogger("apertura.compute")

PARENT_LOOKED_FOR_EVERY_S = 1.0
"""A worker whose run was killed works on for so long at most; the look is one system call."""


class ProcessesCompute(Document):
    """Work on crystals in processes of this machine."""

    engine: Literal["processes"] = "processes"
    workers: int = Field(default=2, ge=1, le=256, description="processes, one crystal each at a time")

    @contextmanager
    def opened(self, place: ComputePlace) -> Iterator["ProcessHands"]:
        """Yield who does units of work; see `adapters.compute.place.Workforce`."""
        workers = max(1, min(self.workers, free_memory() // BLOCK_BYTES))
        if workers < self.workers:
            log.warning(
                "%d workers instead of %d: %.1f GiB of memory are free, and each needs %.1f",
                *(workers, self.workers, free_memory() / 2**30, BLOCK_BYTES / 2**30),
            )
        with notes_told(place.run) as notes:
            hands = ProcessHands(workers, notes)
            try:
                yield hands
            finally:
                hands.stop()


class ProcessHands:
    """Does blocks in single processes; one whose process dies is done again, the second time with all others idle."""

    apart = True

    def __init__(self, workers: int, notes: Path) -> None:
        self.at_once = workers
        self._notes = notes
        self._stopped = False
        self._gathering = threading.Lock()
        self._slots = [_Slot(joblib.cpu_count() // workers) for _ in range(workers)]
        self._idle: queue.SimpleQueue[_Slot] = queue.SimpleQueue()
        for slot in self._slots:
            self._idle.put(slot)

    def do(self, call: Callable[..., Document], arguments: Mapping[str, Any]) -> str:
        """Do a block in the next idle process; see `tasks.stage.Hands`.

        Raises
        ------
        ProgramFailedError
            If three processes died at it.
        """
        block = CrystalBlock(call, dict(arguments), self._notes, code_version(), None)
        with self._taken(1) as (slot,):
            for _ in range(2):
                if (done := self._tried(slot, block)) is not None:
                    return done
        log.warning("%s: once more, with nothing beside it", block.name)
        with self._taken(self.at_once) as slots:
            for slot in slots:
                slot.end()  # what others hold is freed, too
            if (done := self._tried(slots[0], block)) is not None:
                return done
        raise ProgramFailedError(
            f"{block.name}: three processes died at it",
            "if the system killed them for want of memory, use a larger one",
        )

    def stop(self) -> None:
        """End all processes and what they started."""
        self._stopped = True
        for slot in self._slots:
            slot.end()

    def _tried(self, slot: "_Slot", block: CrystalBlock) -> str | None:
        """Return what came of a block; None if its process died."""
        cores = joblib.cpu_count() // max(1, self.at_once - self._idle.qsize())
        try:
            return slot.pool().submit(do_block, block._replace(cores=cores)).result()
        except (BrokenProcessPool, RuntimeError, CancelledError) as error:
            if self._stopped:
                raise CancelledError from None
            if not isinstance(error, BrokenProcessPool):
                raise
            log.warning("%s: its process died (%s); another one does it", block.name, type(error).__name__)
            slot.end()
            return None

    @contextmanager
    def _taken(self, number: int) -> Iterator[list["_Slot"]]:
        with self._gathering if number > 1 else contextlib.nullcontext():
            slots = [self._idle.get() for _ in range(number)]
        try:
            if self._stopped:
                raise CancelledError
            yield slots
        finally:
            for slot in slots:
                self._idle.put(slot)


class _Slot:
    """The place of one process, which is started when it is needed."""

    def __init__(self, cores: int) -> None:
        self._environment = thread_limits(cores)
        self._pool: ProcessPoolExecutor | None = None
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")  # that loky recycles

    def pool(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, initializer=_begin, initargs=(os.getpid(),), env=self._environment)
        return self._pool

    def end(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, kill_workers=True)


def _begin(parent: int) -> None:
    """Leave interrupts from the keyboard to the parent, and end, with all that was started here, when it dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_LOOKED_FOR_EVERY_S)
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
    os._exit(1)
