"""Long work of the studio in a process of its own: the window stays quick, and the work can be ended at any time.

The process is a program of its own, as that of `adapters.formats.scan_worker` and for its reasons: the caller's main
script is not run again.
"""

import os
import secrets
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, TypeVar

from adapters.host.processes import end, with_variable
from adapters.host.runner import start_companion
from tasks.model import ApertureError, InputError, ProgramFailedError

T = TypeVar("T")
Tell = Callable[[str], None]
WORK_VARIABLE = "APERTURA_STUDIO_WORK"
"""In the environment of the process and of all that it starts: by it they are found and ended."""
GRACE_S = 2.0
"""Between the polite and the final signal: a person waits. Chosen, not measured."""
POLL_S = 0.2
"""Between looks at whether the work was to be ended. Chosen, not measured: a person waits no longer for a stop."""
NICENESS = 5
"""Of the process: where cores are few, the window that is drawn in goes first. Chosen, not measured."""


class StoppedError(InputError):
    """The work was ended because somebody asked for that."""

    code = "I140"


def in_own_process(function: Callable[..., T], request: Any, *, tell: Tell, stop: threading.Event) -> T:
    """Return ``function(request, tell)``, called in another process; blocks until it is done.

    Parameters
    ----------
    function
        Of a module, by whose name the other process finds it.
    request
        What it works on; must be picklable.
    tell
        Called here with what the function tells there.
    stop
        Ends the work when it is set.

    Raises
    ------
    StoppedError
        If `stop` was set.
    ApertureError
        What the function raised.
    ProgramFailedError
        If the process died: out of memory, or a bug, whose traceback is the advice.
    """
    here, there = Pipe()
    key = secrets.token_hex(16)
    modules = os.pathsep.join(str(Path(place).resolve()) for place in sys.path)
    with there:
        argv = [sys.executable, "-m", __name__, str(there.fileno())]
        companion = start_companion(argv, env={"PYTHONPATH": modules, WORK_VARIABLE: key}, descriptor=there.fileno())
    with here:
        try:
            here.send((function, request))
            return _answer(here, tell, stop)
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise ProgramFailedError("the process of this work died", companion.tail()) from error
        finally:
            if stop.is_set():  # its own children too
                end(list(with_variable(WORK_VARIABLE, key)), grace_s=GRACE_S)
            companion.kill()


def _answer(connection: Connection, tell: Tell, stop: threading.Event) -> Any:
    while not stop.is_set():
        if not connection.poll(POLL_S):
            continue
        kind, value = connection.recv()
        if kind == "done":
            return value
        if kind == "failed":
            raise value
        tell(value)
    raise StoppedError("stopped", "begin again when you like: what was finished is kept")


def main(descriptor: int) -> None:
    """Do the work that comes through a pipe, and send what becomes of it."""
    os.nice(NICENESS)
    with Connection(descriptor) as connection:
        function, request = connection.recv()
        one_at_a_time = threading.Lock()

        def tell(text: str) -> None:
            with one_at_a_time:
                connection.send(("tell", text))

        try:
            done = function(request, tell)
        except ApertureError as error:
            connection.send(("failed", error))
        else:
            connection.send(("done", done))


if __name__ == "__main__":
    main(int(sys.argv[1]))
