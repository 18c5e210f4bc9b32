"""The engine of threads: crystals side by side in this process."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any, Literal

import joblib
from pydantic import Field

from adapters.compute.place import ComputePlace
from tasks.model import Document
from tasks.model.cores import sharing_cores
from tasks.stage import done_here


class ThreadsCompute(Document):
    """Work on crystals in threads of this process: arrays, searches and programs run in kernels and processes."""

    engine: Literal["threads"] = "threads"
    workers: int = Field(default=2, ge=1, le=256, description="crystals worked on at once")

    @contextmanager
    def opened(self, place: ComputePlace) -> Iterator["ThreadHands"]:  # noqa: ARG002 the port's signature
        """Yield who does units of work; see `adapters.compute.place.Workforce`."""
        yield ThreadHands(self.workers)


class ThreadHands:
    """Does units of work in the threads that ask; several at once share the cores."""

    apart = False

    def __init__(self, workers: int) -> None:
        self.at_once = workers
        self._running = 0
        self._lock = threading.Lock()
        self._stopped = False

    def do(self, call: Callable[..., Document], arguments: Mapping[str, Any]) -> str:
        """Do a unit of work here; see `tasks.stage.Hands`."""
        if self._stopped:
            raise CancelledError
        with self._counted(), sharing_cores(self._share):
            return done_here(call, arguments)

    def stop(self) -> None:
        """Begin no further unit."""
        self._stopped = True

    def _share(self) -> int:
        return int(joblib.cpu_count()) // max(1, self._running)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
