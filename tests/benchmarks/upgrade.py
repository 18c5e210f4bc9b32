"""From version N to N+1 with a run in flight: N is an older commit of this repository, unpacked beside it.

``python -m tests.benchmarks.upgrade --from COMMIT [--postgresql] [--drain] [--restore]``. A facility of N is brought up
and begins a run; its services are stopped (with ``--drain`` after ``apertura drain`` of N has let it end), and N+1
starts with the same folder: database, ledger, run folders. The run in flight has to end right, what had ended must
stay, and nothing may be run twice. With ``--restore`` (PostgreSQL only) N makes a backup before all that, the database
is dropped once N is stopped, and N+1 restores what N saved: the run in flight and what waits are then announced again.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from flows.facility import load
from tests.system.facility_bench import ROOT, Bench, drop, drop_crystals, free_port, state, wait
from tests.system.postgresql_bench import URL, Database, postgresql


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="apertura-n-") as place:
        packed = subprocess.run(["git", "-C", str(ROOT), "archive", commit], check=True, stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", place], check=True, input=packed.stdout)
        yield Path(place)


def command(tree: Path, *argv: str, module: str = "flows.cli", env: dict[str, str] | None = None) -> None:
    # scripts of the environment find the packages of the tree that is installed for work: this one goes before it
    own = {"PYTHONPATH": str(tree), "APERTURA_DEPLOYMENTS": str(tree / "deployments")}
    done = subprocess.run(
        [sys.executable, "-m", module, *argv],
        cwd=tree,
        env={**os.environ, **(env or {}), **own},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    print(f"  {' '.join([module, *argv])}: {(done.stdout + done.stderr).strip().splitlines()[-1:]}", flush=True)


def bench_of(data: Path, database: Database | None) -> Bench:
    facility = load(data)
    assert facility is not None
    return Bench(data, facility, database=database)


def in_flight(bench: Bench) -> tuple[Path, str, Path]:
    """Let a run come into the middle of its work, and another wait behind it; return source and run, and the other."""
    source = drop_crystals(bench.data / "incoming" / ".flight", crystals=1).rename(bench.data / "incoming" / "flight")
    run = str(bench.run(source)["id"])
    wait(lambda: any((bench.data / "runs").glob("flight-*/ingest/document.json")), "the first step", step_s=0.05)
    waiting = drop(bench.data / "incoming" / "waiting", seed=2)
    bench.run(waiting)
    print(f"N: the run in flight is {state(bench.read(run))}", flush=True)
    return source, run, waiting


def upgrade(old: Path, data: Path, database: Database | None, *, drained: bool, restored: bool) -> None:
    where = ["--data", str(data)]
    port = ["--port", str(free_port())]
    kept = str(data / "kept")
    command(old, "facility", "up", *where, *port)
    bench = bench_of(data, database)
    try:
        ended = drop(data / "incoming" / "ended", seed=1)
        print(f"N: {bench.outcome(ended)}", flush=True)
        if restored:
            command(old, "save", kept, module="flows.backup", env=bench.environment)
        source, run, waiting = in_flight(bench)
        steps = {path: path.stat().st_mtime_ns for path in (data / "runs").glob("*/ingest/document.json")}
        if drained:
            command(old, "drain", *where)
            found = [state(one) for one in bench.runs(waiting)]
            print(f"N: drained: in flight {state(bench.read(run))}, what waits {found}", flush=True)
        command(old, "facility", "down", *where)
        begun = time.monotonic()
        if restored:
            assert database is not None
            assert database.query("drop database prefect with (force)")
            assert database.query("create database prefect")
            command(ROOT, "restore", kept, module="flows.backup", env=bench.environment)
        command(ROOT, "facility", "up", *where, *port)
        bench = bench_of(data, database)
        print(f"N+1: up after {time.monotonic() - begun:.0f} s", flush=True)
        for what, one in (("in flight", source), ("that waited", waiting)):
            print(f"N+1: the run {what}: {bench.outcome(one)}, after {time.monotonic() - begun:.0f} s", flush=True)
        same = sum(path.is_file() and path.stat().st_mtime_ns == when for path, when in steps.items())
        print(f"N+1: {same} of {len(steps)} first steps were kept as N had made them", flush=True)
        arrived = drop(data / "incoming" / "arrived", seed=3)
        print(f"N+1: a data set that arrives then: {bench.outcome(arrived)}", flush=True)
        counts = [len(bench.runs(one)) for one in (ended, source, waiting, arrived)]
        print(f"runs of each data set: {counts}; runs in all: {len(bench.runs())}", flush=True)
        print(f"tracebacks: {bench.tracebacks() or 'none'}; load {os.getloadavg()[0]:.1f}", flush=True)
        assert counts == [1, 1, 1, 1], "a data set has no run, or two"
        assert database is None or not (data / "prefect" / "prefect.db").exists(), "the server ran on SQLite"
    finally:
        bench.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="commit", required=True, help="of version N")
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--drain", action="store_true")
    parser.add_argument("--restore", action="store_true")
    asked = parser.parse_args()
    if asked.restore and not asked.postgresql:
        parser.error("--restore needs --postgresql")
    data = Path(tempfile.mkdtemp(prefix="apertura-upgrade-")).resolve()
    with checkout(asked.commit) as old, postgresql() if asked.postgresql else nullcontext() as database:
        if database is not None:
            os.environ[URL] = database.url
        upgrade(old, data, database, drained=asked.drain, restored=asked.restore)
    shutil.rmtree(data)


if __name__ == "__main__":
    main()
