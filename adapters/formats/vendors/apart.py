"""Calling a function of a library on a file of unknown origin in another process, which may hang or crash."""

import atexit
import contextlib
import functools
import importlib
import os
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from adapters.formats.scan_worker import BYTES_PER_SECOND_LEAST, ReadFunction, ScanWorker
from tasks.model import ApertureError, ProgramNotFoundError, SourceError

T = TypeVar("T")
TIMEOUT_S = 30.0
"""For opening a file and looking at its headers, which takes a tenth of a second. Chosen, not measured: half of what a
bad file may cost, the rest is for slow storage."""
MEMORY_BYTES = 6 * 2**30
"""Of a reading process: a few chunks of the largest size (`confined_hdf5.CHUNK_MOST`), packed and unpacked. Chosen, not
measured: readers take some hundred megabytes."""


class Readers:
    """Processes that read files for this one. One of them is kept, as starting takes longer than reading most files.

    A kept one ends with this process: its pipe is closed then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[ScanWorker] = []

    @contextlib.contextmanager
    def one(self, limit_s: float) -> Iterator[ScanWorker]:
        """Give a process that is nobody else's for the time being; what takes longer than the limit is ended."""
        with self._lock:
            worker = self._idle.pop() if self._idle else ScanWorker(cast("ReadFunction", called), timeout_s=limit_s)
        answered = False
        try:
            yield worker.within(limit_s)
            answered = True
        except ApertureError:
            answered = True
            raise
        finally:
            if answered:
                self._back(worker)
            else:
                worker.close()  # it may still be answering

    def _back(self, worker: ScanWorker) -> None:
        with self._lock:
            if not self._idle:
                self._idle.append(worker)
                return
        worker.close()

    def close(self) -> None:
        """End the process that is kept."""
        while self._idle:
            self._idle.pop().close()


@functools.cache
def readers(_process: int) -> Readers:
    """Return the readers of this process; one that was forked off has others."""
    found = Readers()
    atexit.register(found.close)
    return found


def called(path: Path, *, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Call a function on a file, in the other process, whose memory is bounded: a file may claim any."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, hard))
    return function(path, **arguments)


def apart(function: Callable[..., T], path: Path, *, beside_bytes: int = 0, **arguments: Any) -> T:
    """Return what `function(path, **arguments)` returns in another process; errors name the file.

    Parameters
    ----------
    beside_bytes
        Of files that are read along with this one: more bytes may take longer.

    Raises
    ------
    SourceError
        What the function raised; or that the file hangs or crashes the library.
    """
    with readers(os.getpid()).one(TIMEOUT_S + beside_bytes / BYTES_PER_SECOND_LEAST) as worker:
        try:
            return cast("T", worker.read(path, function=function, arguments=arguments))
        except SourceError as error:
            named = error.message if error.message.startswith(path.name) else f"{path.name}: {error.message}"
            raise SourceError(named, error.advice) from None


def optional(name: str, what: str) -> ModuleType:
    """Return a module of the optional libraries of formats.

    Raises
    ------
    ProgramNotFoundError
        If it is not installed, saying how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ProgramNotFoundError(
            f"{what} need the library {name.partition('.')[0]}, which is not installed",
            "pip install 'apertura[formats]'",
        ) from error
