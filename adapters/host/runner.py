"""Running external programs: the only module that starts processes.

No shell. The program gets a process group of its own, killed as a whole at the time limit or when the caller is
interrupted; its output goes to files in the working directory, in the C locale, so that parsers see one language.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from tasks.model import Document, ProgramNotFoundError, ProgramTimeoutError

GRACE_S = 2.0
"""Between the polite and the final signal."""

TAIL_BYTES = 64 * 1024
"""Read from the end of a file for its last lines: 20 lines of up to 3 kB. Chosen, not measured; a log may be
gigabytes."""


class ProgramRun(Document):
    """A program that ended by itself."""

    argv: tuple[str, ...]
    returncode: int
    stdout: Path
    stderr: Path
    elapsed_s: float

    def tail(self, lines: int = 20) -> str:
        """Return the last lines of the error stream and of the output, for messages."""
        parts = [tail_of(path, lines) for path in (self.stderr, self.stdout)]
        return "\n".join(part for part in parts if part.strip())


def run_program(
    argv: Sequence[str],
    *,
    workdir: Path,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    stdin_text: str | None = None,
    log_name: str | None = None,
    install: str = "",
) -> ProgramRun:
    """Run a program to its end in `workdir`; a non-zero exit code is the caller's to judge.

    Parameters
    ----------
    argv
        Program and arguments. A bare name is looked up on PATH (of `env`, if it sets one).
    env
        Added to this process' environment; LC_ALL is C unless it says otherwise.
    stdin_text
        Given to the program's standard input, which is empty otherwise.
    log_name
        Stem of the two output files in `workdir`; by default the program's name.
    install
        What to do if the program is missing, for the error.

    Raises
    ------
    ProgramNotFoundError
        If the program is not there or not executable.
    ProgramTimeoutError
        If it was killed at the time limit.
    """
    environment = {**os.environ, "LC_ALL": "C", **(env or {})}
    program = shutil.which(argv[0], path=environment.get("PATH"))
    if program is None:
        raise ProgramNotFoundError(f"the program {argv[0]!r} is not on PATH", install)
    stem = log_name or Path(argv[0]).name
    stdout, stderr = workdir / f"{stem}.out", workdir / f"{stem}.err"
    started = time.monotonic()
    with stdout.open("wb") as out, stderr.open("wb") as err:
        returncode = _run([program, *argv[1:]], workdir, environment, out, err, stdin_text, timeout_s)
    elapsed = time.monotonic() - started
    run = ProgramRun(argv=tuple(argv), returncode=-1, stdout=stdout, stderr=stderr, elapsed_s=elapsed)
    if returncode is None:
        raise ProgramTimeoutError(f"{argv[0]} was stopped after {timeout_s:g} s", run.tail())
    return run.model_copy(update={"returncode": returncode})


def start_service(argv: Sequence[str], *, environment: Mapping[str, str], log: Path) -> int:
    """Start a program that goes on after this process has ended; return its process number.

    It leads a session of its own, reads nothing, and writes both its streams to `log`.

    Raises
    ------
    ProgramNotFoundError
        If the program is not there.
    """
    program = shutil.which(argv[0], path=environment.get("PATH"))
    if program is None:
        raise ProgramNotFoundError(f"the program {argv[0]!r} is not on PATH")
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [program, *argv[1:]],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return process.pid


class Companion:
    """A program that is talked to through one inherited descriptor, until it is killed."""

    def __init__(self, process: "subprocess.Popen[bytes]", errors: IO[bytes]) -> None:
        self._process = process
        self._errors = errors

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def tail(self) -> str:
        """Return the end of what it wrote to its error stream."""
        self._errors.seek(max(0, os.fstat(self._errors.fileno()).st_size - TAIL_BYTES))
        return "\n".join(self._errors.read().decode("utf-8", errors="replace").splitlines()[-20:])

    def kill(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._errors.close()


def start_companion(argv: Sequence[str], *, env: Mapping[str, str], descriptor: int) -> Companion:
    """Start a program that inherits `descriptor` under its number, and `env` beside this process' environment."""
    errors = tempfile.TemporaryFile()  # noqa: SIM115 closed by `kill`
    process = subprocess.Popen(
        argv,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=errors,
        stderr=errors,
        pass_fds=(descriptor,),
    )
    return Companion(process, errors)


def tail_of(path: Path, lines: int = 20) -> str:
    """Return the last lines of a text file, or nothing if there is none; undecodable bytes are replaced."""
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - TAIL_BYTES))
        text = stream.read().decode("utf-8", errors="replace")
    return "\n".join(text.splitlines()[-lines:])


def _run(
    argv: Sequence[str],
    workdir: Path,
    environment: Mapping[str, str],
    out: IO[bytes],
    err: IO[bytes],
    stdin_text: str | None,
    timeout_s: float,
) -> int | None:
    """Return the exit code, or None after killing the group at the time limit."""
    try:
        process = subprocess.Popen(
            argv,
            cwd=workdir,
            env=environment,
            stdin=subprocess.DEVNULL if stdin_text is None else subprocess.PIPE,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError, OSError) as error:
        raise ProgramNotFoundError(f"the program {argv[0]!r} cannot be started: {error}") from error
    with _killed_on_exit(process):
        try:
            process.communicate(None if stdin_text is None else stdin_text.encode(), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return None
        return process.returncode


@contextlib.contextmanager
def _killed_on_exit(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Kill the whole group on leaving, whatever the reason: children must not outlive their parent."""
    with _terminate_becomes_interrupt():
        try:
            yield
        finally:
            if process.poll() is None:
                _signal_group(process.pid, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE_S)
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


@contextlib.contextmanager
def _terminate_becomes_interrupt() -> Iterator[None]:
    """While a program runs, let SIGTERM unwind the stack (main thread only), so that the program is killed too."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def interrupt(_number: int, _frame: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
