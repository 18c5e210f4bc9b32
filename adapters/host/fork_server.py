"""A Python process that has imported what is slow to import, and forks itself for every piece of work.

What a piece of work does, a crash included, stays in its own process: the server goes on. Beside each of them waits
another fork, its keeper, which tells how it ended. The server has one thread. It ends when the other end of its socket
is closed, and a piece of work is killed when nobody waits for it any more: when its owner has died, however.
"""

import atexit
import contextlib
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from adapters.host.runner import Companion, ProgramRun, start_companion
from tasks.model import ProgramFailedError, ProgramTimeoutError

ROOT = Path(__file__).resolve().parents[2]
BOOT = (
    "import importlib, sys; sys.path.insert(0, sys.argv[1]); importlib.import_module(sys.argv[3]);"
    "from adapters.host.fork_server import serve; serve(int(sys.argv[2]))"
)
"""The module is imported first of all, and the packages are found wherever the owner found them."""
ORDER_BYTES = 65536
"""Of an order at most: code and paths, of some hundred bytes each. Chosen, not measured; a longer one is refused by
the socket, not cut."""


KILLED_S = 10.0
"""For the keeper to kill what ran too long and to say so. Chosen, not measured: it waits for nothing but the system."""
EXIT_CODE = struct.Struct("i")


class _Server(NamedTuple):
    companion: Companion
    control: socket.socket


class ForkServer:
    """Runs Python code in forks of a process that has imported `module`; started by the first call, one at a time."""

    def __init__(self, module: str, *, env: dict[str, str]) -> None:
        self._module = module
        self._env = env
        self._server: _Server | None = None
        self._lock = threading.Lock()

    def run(self, code: str, argv: list[str], *, workdir: Path, timeout_s: float, log_name: str) -> ProgramRun:
        """Run `code` as ``python -c code argv`` does, in `workdir`; a non-zero exit code is the caller's to judge.

        Several threads may call it at once, and their work runs at once. What is written goes to two files in
        `workdir` of the stem `log_name`.

        Raises
        ------
        ProgramFailedError
            If the server cannot be started, or dies.
        ProgramTimeoutError
            If the process was killed at the time limit.
        """
        stdout, stderr = (workdir.absolute() / f"{log_name}.{kind}" for kind in ("out", "err"))
        order = {"code": code, "argv": argv, "workdir": str(workdir.absolute())}
        streams = {"stdout": str(stdout), "stderr": str(stderr)}
        started = time.monotonic()
        server, answer = self._ordered(json.dumps(order | streams).encode())
        with answer:
            returncode = self._awaited(server, answer, timeout_s)
        elapsed = time.monotonic() - started
        run = ProgramRun(argv=(log_name, *argv), returncode=-1, stdout=stdout, stderr=stderr, elapsed_s=elapsed)
        if returncode is None:
            raise ProgramTimeoutError(f"{log_name} was stopped after {timeout_s:g} s", run.tail())
        return run.model_copy(update={"returncode": returncode})

    def close(self) -> None:
        """End the server; the next call starts another one."""
        with self._lock:
            self._stop()

    def _ordered(self, order: bytes) -> tuple[_Server, socket.socket]:
        """Hand an order to the server, or to a new one if that has died; return it and where its answer comes."""
        here, there = socket.socketpair()
        with there, self._lock:
            server = self._server or self._start()
            try:
                socket.send_fds(server.control, [order], [there.fileno()])
            except (BrokenPipeError, ConnectionResetError):
                self._stop()
                server = self._start()
                socket.send_fds(server.control, [order], [there.fileno()])
        return server, here

    def _awaited(self, server: _Server, answer: socket.socket, timeout_s: float) -> int | None:
        """Return the exit code, or None after the process was killed at the time limit."""
        answer.settimeout(timeout_s)
        try:
            told = answer.recv(EXIT_CODE.size)
        except TimeoutError:
            answer.shutdown(socket.SHUT_WR)
            answer.settimeout(KILLED_S)
            with contextlib.suppress(TimeoutError):
                answer.recv(EXIT_CODE.size)
            return None
        if not told:
            with self._lock:
                said = server.companion.tail()
                if self._server is server:  # not one that another thread has started since
                    self._stop()
            raise ProgramFailedError(f"the process that imports {self._module} ended", said)
        return int(EXIT_CODE.unpack(told)[0])

    def _start(self) -> _Server:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            argv = [sys.executable, "-c", BOOT, str(ROOT), str(there.fileno()), self._module]
            companion = start_companion(argv, env={"LC_ALL": "C", **self._env}, descriptor=there.fileno())
        self._server = _Server(companion, here)
        atexit.register(self.close)
        return self._server

    def _stop(self) -> None:
        if self._server is not None:
            self._server.control.close()
            self._server.companion.kill()
            self._server = None
            atexit.unregister(self.close)


def serve(descriptor: int) -> None:
    """Fork for every order that comes through a socket, until its other end is closed."""
    os.setsid()  # an interrupt from the keyboard is the owner's business
    os.chdir("/")
    gc.collect()
    gc.freeze()  # what is imported is never garbage: forks need not look, and share its memory
    signal.signal(signal.SIGCHLD, _bury)
    control = socket.socket(fileno=descriptor)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, ORDER_BYTES, 1)
        if not message:
            return
        answer = socket.socket(fileno=descriptors[0])
        if os.fork() == 0:
            control.close()
            _keep(json.loads(message), answer)
        answer.close()


def _bury(*_: object) -> None:
    """Take note of keepers that have ended, at once: the time they used then counts as the server's."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _keep(order: dict[str, Any], answer: socket.socket) -> NoReturn:
    """Fork for the work and wait for its end; kill it if nobody waits for the answer any more; say how it ended."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        pid = os.fork()
        if pid == 0:
            answer.close()
            _work(order)
        select.select([os.pidfd_open(pid), answer.fileno()], [], [])
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):  # before it has a group of its own
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(OSError):
            answer.sendall(EXIT_CODE.pack(os.waitstatus_to_exitcode(status)))
    finally:
        os._exit(0)


def _work(order: dict[str, Any]) -> NoReturn:
    """Become the program of an order: its folder, its streams, its arguments, its code."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.chdir(order["workdir"])
        for name, target in (("stdout", 1), ("stderr", 2)):
            os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), target)
        sys.argv = ["-c", *order["argv"]]
        exec(order["code"], {"__name__": "__main__"})  # noqa: S102 # nosec B102 - the owner's own code
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - the exit code tells, and the error stream
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
