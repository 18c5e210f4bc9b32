"""Arrivals on a server with PostgreSQL: a burst of small data sets, each run once; from drop to body in seconds."""

import os
import statistics
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from flows.site import SITE_VARIABLE
from tests.system.facility_bench import Bench, drop, state
from tests.system.postgresql_bench import URL, on_postgresql

pytestmark = [pytest.mark.needs_server, pytest.mark.needs_postgresql, pytest.mark.timeout(3600)]

BURST = 8
SERVICES = ("server", "upkeep", "worker", "studio", "watcher")


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


def test_a_dump_comes_back_into_an_empty_database_only(bench: Bench, tmp_path: Path) -> None:
    other = {URL: f"{bench.database.url.removesuffix('prefect')}other", SITE_VARIABLE: ""}
    assert bench.database.query("create database other")
    content = "create table alembic_version as select '9c1ab1d1a5b2'::text version_num; create table run as select 7 id"
    assert bench.database.query(content, "other")
    saved = bench.python("-m", "flows.backup", "save", str(tmp_path / "kept"), env=other)
    assert saved.returncode == 0, saved.stderr
    full = bench.python("-m", "flows.backup", "restore", str(tmp_path / "kept"), env=other)
    assert "database holds something" in full.stderr
    assert bench.database.query("drop database other")
    assert bench.database.query("create database other")
    restored = bench.python("-m", "flows.backup", "restore", str(tmp_path / "kept"), env=other)
    assert restored.returncode == 0, restored.stderr
    assert bench.database.query("select 1 / (id - 6) from run where id = 7", "other")


@pytest.mark.faults
def test_after_a_backup_was_restored_everything_is_there_and_nothing_is_run_twice(bench: Bench, tmp_path: Path) -> None:
    incoming = bench.data / "incoming"
    before = drop(incoming / "before", seed=200)
    bench.outcome(before)
    known = {run["id"]: state(run) for run in bench.runs()}
    saved = bench.python("-m", "flows.backup", "save", str(tmp_path / "kept"))
    assert saved.returncode == 0, saved.stderr
    after = drop(incoming / "after", seed=201)
    bench.outcome(after)
    made = {path: path.stat().st_mtime_ns for path in (bench.data / "runs").glob("*/ingest/document.json")}
    with bench.rough():
        for name in reversed(SERVICES):
            bench.supervisor.stop(name)
        assert bench.database.query("drop database prefect with (force)")
        assert bench.database.query("create database prefect")
        restored = bench.python("-m", "flows.backup", "restore", str(tmp_path / "kept"))
        assert restored.returncode == 0, restored.stderr
        for name in SERVICES:
            bench.start(name)
        assert bench.outcome(after) == "1 run: Completed, No crystals"
    assert known.items() <= {run["id"]: state(run) for run in bench.runs()}.items()
    assert len(bench.runs()) == len(known) + 1
    assert {path: path.stat().st_mtime_ns for path in made} == made, "finished steps were computed again"


def test_no_log_holds_a_traceback(bench: Bench) -> None:
    bench.no_tracebacks()
