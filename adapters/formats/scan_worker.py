"""Reading HDF5 in a process of its own, with a time limit.

A damaged file can make the HDF5 library loop forever or crash (found by changing single bytes of good files); neither
may cost more than that file. The process is forked from a clean server, so a new one after an accident costs little.
"""

import math
import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tasks.ingest.ports import ScanData
from tasks.model import SourceError

ReadFunction = Callable[..., ScanData]

BYTES_PER_SECOND_LEAST = 2_000_000
ALARM_MARGIN_S = 30
ADVICE = "copy the file again"


class ScanWorker:
    """Calls one reading function in a child process, and starts another child when that one hangs or dies."""

    def __init__(self, function: ReadFunction, *, timeout_s: float, preload: str) -> None:
        self._function = function
        self._timeout_s = timeout_s
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([preload])
        self._child: tuple[BaseProcess, Connection] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def read(self, path: Path, **shapes: Any) -> ScanData:
        """Return what the function returns for this file.

        Raises
        ------
        SourceError
            What the function raised; or that the file hangs or crashes the library.
        """
        _, connection = self._child or self._start()
        limit = self._timeout_s + path.stat().st_size / BYTES_PER_SECOND_LEAST
        try:
            connection.send((path, shapes, limit))
            if not connection.poll(limit):
                self._stop()
                raise SourceError(f"not a readable stempy file: reading took longer than {limit:.0f} s", ADVICE)
            answer = connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            self._stop()
            raise SourceError("not a readable stempy file: the HDF5 library crashed on it", ADVICE) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _start(self) -> tuple[BaseProcess, Connection]:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(there, self._function), daemon=True)
        process.start()
        there.close()
        self._child = (process, here)
        return self._child

    def _stop(self) -> None:
        if self._child is not None:
            process, connection = self._child
            connection.close()
            process.kill()
            process.join()
            process.close()
            self._child = None


def _serve(connection: Connection, function: ReadFunction) -> None:
    """Answer every request by a result or an error, until the other end is closed.

    An interrupt from the keyboard is the parent's business. The alarm ends a child that hangs after its parent died.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            path, shapes, limit = connection.recv()
        except EOFError:
            return
        signal.alarm(math.ceil(limit) + ALARM_MARGIN_S)
        try:
            answer: ScanData | Exception = function(path, **shapes)
        except Exception as error:  # noqa: BLE001 - it is raised again on the other side
            answer = error
        signal.alarm(0)
        connection.send(answer)
