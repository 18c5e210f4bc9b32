"""What a process takes itself is told from what others keep from it."""

import os
import subprocess
import time

from adapters.host.processes import OwnTime


def test_what_a_process_that_is_ready_to_work_is_not_given_does_not_count() -> None:
    own = OwnTime(os.getpid())
    time.sleep(0.3)  # seen from here this process is always at work: as one that had no processor for so long
    assert own.taken_s() < 0.1
    begin = time.process_time()
    while time.process_time() - begin < 0.3:
        pass
    assert 0.2 < own.taken_s() < 0.5


def test_waiting_for_anything_else_counts_and_so_does_having_ended() -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        own = OwnTime(process.pid)
        time.sleep(0.3)
        waited = own.taken_s()
        assert waited >= 0.25
        process.kill()
        process.wait()
        time.sleep(0.1)
        assert own.taken_s() >= waited + 0.1
