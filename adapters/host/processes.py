"""Processes and who they are.

A number says nothing about a process: it may belong to a stranger by the time it is used. A process of ours is known
by a variable of its environment, which its user and root can read; psutil ends no process whose number was reused.
"""

import os
from collections.abc import Iterator

import psutil

GRACE_S = 10.0
"""Between the polite and the final signal: a flow's process ends in less (2 to 4 s with two cores busy)."""


def with_variable(name: str, value: str | None = None, *, command: str = "") -> Iterator[psutil.Process]:
    """Yield the other processes that have an environment variable, or have it with this value, and run this command.

    Processes of other users, whose environment cannot be read, are passed over.
    """
    for process in psutil.process_iter():
        try:
            found = process.environ().get(name)
            gone = process.status() == psutil.STATUS_ZOMBIE or command not in " ".join(process.cmdline())
        except (psutil.Error, OSError):
            continue
        if found is not None and not gone and value in {None, found} and process.pid != os.getpid():
            yield process


def variable_of(process: psutil.Process, name: str) -> str | None:
    """Return an environment variable of a process; None if it is gone or has none."""
    try:
        return str(found) if (found := process.environ().get(name)) is not None else None
    except (psutil.Error, OSError):
        return None


def end(processes: list[psutil.Process], *, grace_s: float = GRACE_S) -> int:
    """End processes with SIGTERM, those that remain with SIGKILL; return how many there were."""
    for process in processes:
        try:
            process.terminate()
        except psutil.Error:
            continue
    _, left = psutil.wait_procs(processes, timeout=grace_s)
    for process in left:
        try:
            process.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(left, timeout=grace_s)
    return len(processes)
