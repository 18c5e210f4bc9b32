"""The clock of the solving engines counts work, not waiting."""

import multiprocessing
import time

from tasks.solve.cpu_clock import CpuClock


def work() -> None:
    begun = time.process_time()
    while time.process_time() - begun < 0.3:
        pass


def test_waiting_does_not_count() -> None:
    clock = CpuClock(workers=1)
    time.sleep(0.3)
    assert clock.seconds() < 0.15


def test_work_counts() -> None:
    clock = CpuClock(workers=1)
    work()
    assert clock.seconds() > 0.2


def test_the_work_of_ended_processes_counts_where_there_are_workers() -> None:
    alone, together = CpuClock(workers=1), CpuClock(workers=2)
    process = multiprocessing.get_context("spawn").Process(target=work)
    process.start()
    process.join()
    assert together.seconds() - alone.seconds() > 0.2
