"""Arrivals on a server with PostgreSQL: a burst of small data sets, each run once; from drop to body in seconds."""

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.system.facility_bench import Bench, bring_up, clear_away, state, wait
from tests.system.test_facility import drop, free_port

pytestmark = [pytest.mark.needs_server, pytest.mark.needs_postgresql, pytest.mark.timeout(3600)]

BURST = 20


def binaries() -> Path:
    """Return Debian's folder of the server's programs: it is not on PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("the PostgreSQL server is not installed")
    return found[-1].parent


def as_owner() -> list[str]:
    """PostgreSQL refuses to run as root."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="apertura-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    programs, port = binaries(), free_port()
    initdb = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "prefect", "-A", "trust", "-N"]
    subprocess.run([*as_owner(), *initdb], check=True, capture_output=True, timeout=300, cwd=folder)
    options = ["-D", str(folder / "data"), "-k", str(folder), "-p", str(port), "-h", "127.0.0.1", "-F"]
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen(
            [*as_owner(), str(programs / "postgres"), *options], stdout=log, stderr=log, cwd=folder
        )
    asked = ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "prefect", "-d", "postgres", "-v", "ON_ERROR_STOP=1"]

    def query(text: str, name: str = "postgres") -> bool:
        done = subprocess.run([*asked[:8], name, *asked[9:], "-c", text], check=False, capture_output=True, timeout=60)
        return done.returncode == 0

    wait(lambda: query("select 1"), "PostgreSQL")
    assert query("create database prefect")
    assert query("create extension if not exists pg_trgm", "prefect")
    yield f"postgresql+asyncpg://prefect:unused@127.0.0.1:{port}/prefect"
    server.terminate()
    server.wait(60)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def bench(database: str) -> Iterator[Bench]:
    data = Path(tempfile.mkdtemp(prefix="apertura-pg-facility-"))
    before = os.environ.get("PREFECT_SERVER_DATABASE_CONNECTION_URL")
    os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database
    try:
        made = bring_up(data)
        yield made
        clear_away(made.facility)
    finally:
        del os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"]
        if before is not None:
            os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = before
    shutil.rmtree(data, ignore_errors=True)


def test_from_drop_to_body(bench: Bench, record_property) -> None:
    seconds = []
    for number in range(5):
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
