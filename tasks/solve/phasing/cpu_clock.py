"""Time that does not depend on what else the machine does."""

import time


class CpuClock:
    """CPU seconds since its making: of the thread that asks, and what is added for work done elsewhere.

    A limit in CPU time lets the same data have the same verdict on a busy machine and with any number of processes.
    """

    def __init__(self) -> None:
        self._begun = time.thread_time()
        self._elsewhere = 0.0

    def add(self, seconds: float) -> None:
        """Count CPU seconds that another process spent."""
        self._elsewhere += seconds

    def seconds(self) -> float:
        """Return the CPU seconds used."""
        return time.thread_time() - self._begun + self._elsewhere
