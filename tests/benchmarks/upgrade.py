"""From version N to N+1 with a run in flight: N is an older commit of this repository, unpacked beside it.

``python tests/benchmarks/upgrade.py --from COMMIT [--drain]``. A facility of N is brought up and begins a run;
its services are stopped (with ``--drain`` after its runs have ended), and N+1 starts with the same folder: database,
ledger, run folders. The run in flight has to end right, what had ended must stay, and nothing may be run twice.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from flows.facility import load
from tests.system.facility_bench import ROOT, Bench, drop, drop_crystals, free_port, state, wait


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="apertura-n-") as place:
        packed = subprocess.run(["git", "-C", str(ROOT), "archive", commit], check=True, stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", place], check=True, input=packed.stdout)
        yield Path(place)


def command(tree: Path, *argv: str) -> None:
    # scripts of the environment find the packages of the tree that is installed for work: this one goes before it
    environment = {**os.environ, "PYTHONPATH": str(tree), "APERTURA_DEPLOYMENTS": str(tree / "deployments")}
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *argv],
        cwd=tree,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"


def bench_of(data: Path) -> Bench:
    facility = load(data)
    assert facility is not None
    return Bench(data, facility)


def upgrade(old: Path, data: Path, *, drained: bool) -> None:
    where = ["--data", str(data)]
    port = ["--port", str(free_port())]
    command(old, "facility", "up", *where, *port)
    bench = bench_of(data)
    try:
        ended = drop(data / "incoming" / "ended", seed=1)
        print(f"N: {bench.outcome(ended)}", flush=True)
        source = drop_crystals(data / "incoming" / ".flight", crystals=1).rename(data / "incoming" / "flight")
        run = bench.run(source)["id"]
        wait(lambda: any((data / "runs").glob("flight-*/ingest/document.json")), "the first step", step_s=0.05)
        waiting = drop(data / "incoming" / "waiting", seed=2)
        bench.run(waiting)
        steps = {path: path.stat().st_mtime_ns for path in (data / "runs").glob("*/ingest/document.json")}
        print(f"stopped: the run in flight is {state(bench.read(run))}", flush=True)
        if drained:
            bench.pause(paused=True)
            wait(lambda: bench.read(run)["state_type"] == "COMPLETED", "the run to end")
        command(old, "facility", "down", *where)
        begun = time.monotonic()
        command(ROOT, "facility", "up", *where, *port)
        bench = bench_of(data)
        print(f"N+1: up after {time.monotonic() - begun:.0f} s", flush=True)
        wait(lambda: bench.read(run)["state_type"] == "COMPLETED", "the run in flight to end right", limit_s=900)
        took = time.monotonic() - begun
        print(f"N+1: the run in flight: {state(bench.read(run))}, {took:.0f} s after the start of N+1", flush=True)
        print(f"N+1: the run that waited: {bench.outcome(waiting)}", flush=True)
        kept = sum(path.is_file() and path.stat().st_mtime_ns == when for path, when in steps.items())
        print(f"N+1: {kept} of {len(steps)} first steps were kept as N had made them", flush=True)
        arrived = drop(data / "incoming" / "arrived", seed=3)
        print(f"N+1: a data set that arrives then: {bench.outcome(arrived)}", flush=True)
        counts = sorted(len(bench.runs(one)) for one in (ended, source, waiting, arrived))
        print(f"runs of each data set: {counts}; tracebacks: {bench.tracebacks() or 'none'}", flush=True)
    finally:
        bench.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="commit", required=True, help="of version N")
    parser.add_argument("--drain", action="store_true")
    asked = parser.parse_args()
    data = Path(tempfile.mkdtemp(prefix="apertura-upgrade-")).resolve()
    with checkout(asked.commit) as old:
        upgrade(old, data, drained=asked.drain)
    shutil.rmtree(data)


if __name__ == "__main__":
    main()
