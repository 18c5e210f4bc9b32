"""Arrivals on a server with PostgreSQL: a burst of small data sets, each run once; from drop to body in seconds."""

import os
import statistics
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.system.facility_bench import Bench, drop, state
from tests.system.postgresql_bench import on_postgresql

pytestmark = [pytest.mark.needs_server, pytest.mark.needs_postgresql, pytest.mark.timeout(3600)]

BURST = 8


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with on_postgresql() as made:
        yield made


def test_from_drop_to_body(bench: Bench, record_property) -> None:
    seconds = []
    for number in range(3):
        source = drop(bench.data / "incoming" / f"single-{number}", seed=number)
        dropped = time.time()
        run = bench.ended(bench.run(source)["id"])
        assert state(run) == "Completed, No crystals"
        seconds.append(datetime.fromisoformat(run["start_time"]).timestamp() - dropped)
    median = statistics.median(seconds)
    record_property("drop_to_body_s", [round(value, 1) for value in sorted(seconds)])
    spread = f"{min(seconds):.1f} to {max(seconds):.1f} s"
    print(f"drop to body: median {median:.1f} s, {spread}, load {os.getloadavg()[0]:.1f}")


def test_a_burst_gives_each_data_set_its_one_run(bench: Bench) -> None:
    sources = [drop(bench.data / "incoming" / f"burst-{number:02d}", seed=100 + number) for number in range(BURST)]
    outcomes = [bench.outcome(source) for source in sources]
    assert outcomes == ["1 run: Completed, No crystals"] * BURST
    assert not (bench.data / "prefect" / "prefect.db").exists(), "the server ran on SQLite"


def test_no_log_holds_a_traceback(bench: Bench) -> None:
    bench.no_tracebacks()
