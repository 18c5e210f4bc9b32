"""Reading scans in a process of its own, with a limit to the time that it takes itself.

A damaged file can make the HDF5 library loop forever or crash (found by changing single bytes of good files); neither
may cost more than that file. The process is a program of its own, not a child of `multiprocessing`: that would run
the caller's main script again, and a script without a guard would lose every file.
"""

import contextlib
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from queue import LifoQueue
from types import TracebackType
from typing import Any, Self

from adapters.host.processes import OwnTime
from adapters.host.runner import Companion, start_companion
from tasks.model import ProgramFailedError, SourceError

ReadFunction = Callable[..., Any]

BYTES_PER_SECOND_LEAST = 2_000_000
"""Slower than this a reader hangs. `StempyReader.read` takes 0.5 CPU s for 115 MB (262 144 frames of 100 electrons),
240 MB/s: the rest is for network storage and busy machines."""
LOOK_S = 1.0
"""Between two looks at what a reading takes. Chosen, not measured: a look costs some 0.1 ms."""
BUSY = 20
"""Times the limit after which a reading ends however little the machine let it work. Chosen, not measured: ten others
at work on each of two cores; past that a scan that was lost is better than a run that stands."""
ALARM_MARGIN_S = 30
"""After that, at which the parent has ended the reader: it only counts where the parent died. Chosen, not measured;
less could end a reader that the parent still waits for."""
START_S = 120.0
"""For starting Python and importing the reader: 1.5 s on a busy machine of two cores; the rest, chosen and not
measured, is for cold network storage."""
ADVICE = "copy the file again"


def file_bytes(path: Path) -> int:
    """Return the bytes of one file."""
    return path.stat().st_size


class ScanWorker:
    """Calls one reading function in another process, and starts another one when that one hangs or dies."""

    def __init__(
        self, function: ReadFunction, *, timeout_s: float, bytes_of: Callable[[Path], int] = file_bytes
    ) -> None:
        self._function = function
        self._timeout_s = timeout_s
        self._bytes_of = bytes_of
        self._child: tuple[Companion, Connection] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def within(self, timeout_s: float) -> Self:
        """Set the limit of the readings that follow."""
        self._timeout_s = timeout_s
        return self

    def close(self) -> None:
        """End the process; the next reading starts another one."""
        self._stop()

    def read(self, path: Path, **shapes: Any) -> Any:
        """Return what the function returns for this file.

        Raises
        ------
        SourceError
            What the function raised; or that the file hangs or crashes the library.
        ProgramFailedError
            If the process cannot be started: no file is to blame for that.
        """
        companion, connection = self._child or self._start()
        limit = self._timeout_s + self._bytes_of(path) / BYTES_PER_SECOND_LEAST
        try:
            connection.send((path, shapes, BUSY * limit))
            if not _answers(connection, companion.pid, limit):
                self._stop()
                raise SourceError(f"not a readable scan: reading took longer than {limit:.0f} s", ADVICE)
            answer = connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            self._stop()
            raise SourceError("not a readable scan: the library that reads it crashed", ADVICE) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _start(self) -> tuple[Companion, Connection]:
        here, there = Pipe()
        modules = os.pathsep.join(str(Path(place).resolve()) for place in sys.path)  # its own would begin elsewhere
        with there:
            argv = [sys.executable, "-m", __name__, str(there.fileno())]
            companion = start_companion(argv, env={"PYTHONPATH": modules}, descriptor=there.fileno())
        self._child = (companion, here)
        try:
            here.send(self._function)
            ready = here.poll(START_S) and here.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            ready = False
        if not ready:
            said = companion.tail()
            self._stop()
            raise ProgramFailedError("the process that reads scans could not be started", said)
        return self._child

    def _stop(self) -> None:
        if self._child is not None:
            companion, connection = self._child
            connection.close()
            companion.kill()
            self._child = None


class ScanWorkers:
    """Some processes that read, each one scan at a time; a further one starts when all others are at work."""

    def __init__(
        self,
        function: ReadFunction,
        *,
        timeout_s: float,
        bytes_of: Callable[[Path], int] = file_bytes,
        workers: int = 1,
    ) -> None:
        self._free: LifoQueue[ScanWorker] = LifoQueue()
        self._every = [ScanWorker(function, timeout_s=timeout_s, bytes_of=bytes_of) for _ in range(workers)]
        for worker in self._every:
            self._free.put(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for worker in self._every:
            worker.close()

    def store(self, path: Path, **shapes: Any) -> Any:
        """Return what the function returns for this file, from any thread; see `ScanWorker.read`."""
        worker = self._free.get()
        try:
            return worker.read(path, **shapes)
        finally:
            self._free.put(worker)


def _answers(connection: Connection, pid: int, limit_s: float) -> bool:
    """Wait for an answer for as long as the process takes less than the limit itself."""
    taken, end = OwnTime(pid), time.monotonic() + BUSY * limit_s
    while not connection.poll(min(LOOK_S, limit_s)):
        if taken.taken_s() > limit_s or time.monotonic() > end:
            return False
    return True


def serve(connection: Connection) -> None:
    """Take the function, then answer every request by a result or an error, until the other end is closed.

    An interrupt from the keyboard is the parent's business. The alarm ends a process that hangs after its parent died.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    function: ReadFunction = connection.recv()
    connection.send(True)
    while True:
        path, shapes, limit = connection.recv()
        signal.alarm(math.ceil(limit) + ALARM_MARGIN_S)
        try:
            answer: Any = function(path, **shapes)
        except Exception as error:  # noqa: BLE001 - it is raised again on the other side
            answer = error
        signal.alarm(0)
        connection.send(answer)


if __name__ == "__main__":
    channel = Connection(int(sys.argv[1]))  # open until this process ends: what it says of an error comes before
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        serve(channel)
