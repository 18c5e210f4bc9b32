"""What a server costs: from drop to the flow's body, and a run on a server beside the same run without one.

``python tests/benchmarks/facility.py [--postgresql] [--arrivals 5] [--pairs 2] [--bad 100] [--kills] [--alarms]``.
Wall-clock seconds: state the load. ``--bad`` drops so many bad manifests at once, with a good one among them;
``--kills [WORDS]`` (on PostgreSQL) kills one thing after the other under a run of its own, or those whose name has the
words, and says how long after the last restart that run had ended; ``--alarms [WORDS]`` lets every alarm fire, by what
it is about, or those whose subject has the words, and waits for the mail (half an hour).
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from adapters.formats.simulated_series import write_simulated_series
from flows.flight_check import tiny_case
from tasks.simulate.demo_structure import uio66
from tests.benchmarks.facility_alarms import let_all_fire
from tests.benchmarks.soak import UNDER_A_RUN, Day, recoveries
from tests.system.facility_bench import Bench, bring_up, drop, drop_crystals, wait
from tests.system.postgresql_bench import on_postgresql

LIMIT_S, LIMIT_FRACTION = 15.0, 0.05


@contextmanager
def on_sqlite() -> Iterator[Bench]:
    data = Path(tempfile.mkdtemp(prefix="apertura-bench-"))
    bench = bring_up(data)
    try:
        yield bench
    finally:
        bench.close()
        shutil.rmtree(data, ignore_errors=True)


def seconds(time_stamp: str) -> float:
    return datetime.fromisoformat(time_stamp).timestamp()


def begins(bench: Bench, source: Path, dropped: float) -> tuple[float, str]:
    """Return how long after the drop a run began (s), and of that what watcher, worker and process took."""
    run = bench.ended(bench.run(source)["id"])
    with bench.client as client:
        states = client.get("/flow_run_states/", params={"flow_run_id": run["id"]}).raise_for_status().json()
    taken = min(seconds(one["timestamp"]) for one in states if one["type"] == "PENDING")
    made, begun = seconds(run["created"]), seconds(run["start_time"])
    return begun - dropped, f"made {made - dropped:.1f}, taken {taken - made:.1f}, begun {begun - taken:.1f}"


def drop_to_body(bench: Bench, count: int) -> None:
    waits = []
    for number in range(count):
        source = drop(bench.data / "incoming" / f"bench-{number}", seed=1000 + number)
        wait_s, parts = begins(bench, source, time.time())
        print(f"  {wait_s:.1f} s: {parts}", flush=True)
        waits.append(wait_s)
    spread = f"{min(waits):.1f} to {max(waits):.1f}"
    print(
        f"drop to body: median {statistics.median(waits):.1f} s ({spread}), load {os.getloadavg()[0]:.1f}", flush=True
    )


def overhead(bench: Bench, count: int) -> None:
    source = bench.data / "incoming" / ".bench"
    write_simulated_series(uio66(), tiny_case(), source)
    shutil.rmtree(source / "truth")
    extra = []
    for number in range(count):
        plain = bench.plain_run(source, bench.data / "runs" / f"plain-{number}")
        run = bench.ended(bench.submit(source, out=bench.data / "runs" / f"served-{number}"))
        served = seconds(run["end_time"]) - seconds(run["created"])
        extra.append(served - plain)
        limit = max(LIMIT_S, LIMIT_FRACTION * plain)
        print(
            f"plain {plain:.1f} s, on a server {served:.1f} s from submission to end ({run['state_name']}): "
            f"{served - plain:+.1f} s (limit {limit:.1f}), load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    print(f"overhead: median {statistics.median(extra):+.1f} s")


def bad_manifests(bench: Bench, count: int) -> None:
    """Drop many bad manifests at once, then a good data set: when all are shown, and when the good one begins."""
    incoming = bench.data / "incoming"
    made = [drop(bench.data / f"bad-{number:03d}", seed=0) for number in range(count)]
    for folder in made:
        manifest = json.loads((folder / "tilt_series.json").read_text())
        (folder / "tilt_series.json").write_text(json.dumps({**manifest, "beam": {"energy_kev": -1.0}}))
        folder.rename(incoming / folder.name)
    dropped = time.time()
    good = drop(incoming / "zz-good", seed=900)
    shown: list[float] = []

    def all_shown() -> bool:
        found = bench.post("/artifacts/filter", artifacts={"key": {"like_": "refused-"}}, limit=200)
        shown.append(time.time() - dropped)
        return sum("bad-" in str(one["data"]) for one in found) >= count

    wait(all_shown, "all refusals to be shown")
    begun, parts = begins(bench, good, dropped)
    print(
        f"{count} bad manifests: all shown after {shown[-1]:.1f} s; a good one dropped after them begins after "
        f"{begun:.1f} s ({parts}), load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def kills(bench: Bench, about: str) -> None:
    """Kill each service and process in turn in the middle of a run of its own, as the day does."""
    day = Day(bench)
    for number, (what, act) in enumerate(UNDER_A_RUN.items()):
        if about not in what:
            continue
        made = drop_crystals(bench.data / "prepared" / f"kill-{number}", crystals=1, seed=70 + number)
        source = made.rename(bench.data / "incoming" / made.name)
        run = in_the_middle(bench, source)
        act(day, run)
        day.hit = [(what, run, time.time())]
        bench.ended(run)
        (row,) = recoveries(day)
        row["runs"] = len(bench.runs(source))
        print(f"{row}, load {os.getloadavg()[0]:.1f}", flush=True)


def in_the_middle(bench: Bench, source: Path) -> str:
    """Wait until the run of a source has its first step behind it; return its id."""
    run = str(bench.run(source)["id"])
    wait(
        lambda: any((bench.data / "runs").glob(f"{source.name}-*/ingest/document.json")), "the first step", step_s=0.05
    )
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--arrivals", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--bad", type=int, default=0)
    parser.add_argument("--kills", nargs="?", const="")
    parser.add_argument("--alarms", nargs="?", const="")
    asked = parser.parse_args()
    if asked.alarms is not None:
        let_all_fire(asked.alarms)
        return
    with on_postgresql() if asked.postgresql else on_sqlite() as bench:
        bench.outcome(drop(bench.data / "incoming" / "warm", seed=999))  # services that have just started still import
        if asked.kills is not None:
            kills(bench, asked.kills)
        if asked.bad:
            bad_manifests(bench, asked.bad)
        if asked.arrivals:
            drop_to_body(bench, asked.arrivals)
        if asked.pairs:
            overhead(bench, asked.pairs)


if __name__ == "__main__":
    main()
