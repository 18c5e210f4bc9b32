"""The clock of the solving engines counts work, not waiting."""

import time

from tasks.solve.phasing.cpu_clock import CpuClock


def work() -> None:
    begun = time.process_time()
    while time.process_time() - begun < 0.3:
        pass


def test_waiting_does_not_count() -> None:
    clock = CpuClock()
    time.sleep(0.3)
    assert clock.seconds() < 0.15


def test_work_counts() -> None:
    clock = CpuClock()
    work()
    assert clock.seconds() > 0.2


def test_work_done_elsewhere_counts_as_told() -> None:
    clock = CpuClock()
    clock.add(5.0)
    assert 5.0 <= clock.seconds() < 5.1
