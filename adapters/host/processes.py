"""Processes and who they are.

A number says nothing about a process: it may belong to a stranger by the time it is used. A process of ours is known
by a variable of its environment, which its user and root can read; psutil ends no process whose number was reused.
"""

import os
import time
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


class OwnTime:
    """The time that a process takes itself: at work on a processor, or waiting for anything but a processor.

    On a busy machine it is less than the time that passes: what others keep from its work does not hang.
    """

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._worked_s, self._looked_s = self._worked(), time.monotonic()
        self._taken_s = 0.0

    def taken_s(self) -> float:
        """Return it in seconds, since this was made; what passed since the last call is judged by how it is now."""
        worked_s, now_s = self._worked(), time.monotonic()
        worked, passed = worked_s - self._worked_s, now_s - self._looked_s
        self._worked_s, self._looked_s = worked_s, now_s
        self._taken_s += min(worked, passed) if self._wants_to_work() else passed
        return self._taken_s

    def _worked(self) -> float:
        try:
            times = self._process.cpu_times()
        except psutil.Error:  # it has ended: who waits for it hears of that otherwise
            return self._worked_s
        return float(times.user + times.system)

    def _wants_to_work(self) -> bool:
        try:
            return bool(self._process.status() == psutil.STATUS_RUNNING)
        except psutil.Error:
            return False
