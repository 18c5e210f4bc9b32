"""Time that does not depend on what else the machine does."""

import resource
import time


class CpuClock:
    """CPU seconds since its making: of this thread and, if there are several workers, of ended child processes.

    A limit in CPU time lets the same data have the same verdict on a busy machine.
    """

    def __init__(self, workers: int) -> None:
        self._with_children = workers > 1
        self._begun = self._now()

    def _now(self) -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN) if self._with_children else None
        return time.thread_time() + (children.ru_utime + children.ru_stime if children is not None else 0.0)

    def seconds(self) -> float:
        """Return the CPU seconds used."""
        return self._now() - self._begun
