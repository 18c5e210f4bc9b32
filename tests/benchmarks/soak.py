"""A day of a facility, with faults all the time: is anything lost, run twice, or larger in the evening?

``python -m tests.benchmarks.soak [--arrivals 96] [--every-s 45] [--out FILE]``: by default a data set for each quarter
of an hour of a day, one every 45 s, so that the day takes 72 minutes; schedules keep their own pace. With every second
arrival something goes wrong: what arrives is bad, late, cut, a copy or a link to itself, or a process is killed under a
run: its own, and in the first half of the day services and the database too, so that what lives through the second half
shows whether its memory stays. All at a facility as `apertura facility up` makes it, on PostgreSQL.

With ``--calm RUNS`` nothing is killed: that many light runs (a data set without crystals, and dry runs of `prune`) go
through the worker's pool one after the other, and after every fifth the memory of each service is said.

Said at the end: what became of every data set; how long after the last restart a run that was hit had ended right; and
the memory of every service over the day. Wall-clock seconds: state the load.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from tests.system.facility_bench import ENDED, WAIT_S, Bench, drop, kill, state, wait
from tests.system.postgresql_bench import on_postgresql

GOOD = "1 run: Completed, No crystals"
SAMPLE_S = 20.0
"""Between two looks at the memory of the services."""
WARM = 0.25
"""Of the life of a process: caches fill and modules are imported; its memory is compared after that."""


@dataclass
class Day:
    """One day, as it goes."""

    bench: Bench
    good: list[Path] = field(default_factory=list)
    no_run: dict[str, Path] = field(default_factory=dict)
    """Data sets that must give no run of their own, and why."""
    hit: list[tuple[str, str, float]] = field(default_factory=list)
    """Faults under a run: what, which run, when the last thing was there again."""
    memory: dict[tuple[str, int], list[tuple[float, float]]] = field(default_factory=dict)
    """By service and process number: when (s), and how much it held with its children (MiB)."""
    begun: float = field(default_factory=time.monotonic)

    def say(self, what: str) -> None:
        print(f"{(time.monotonic() - self.begun) / 60:6.1f} min, load {os.getloadavg()[0]:4.1f}: {what}", flush=True)

    def arrive(self, number: int) -> Path:
        made = drop(self.bench.data / "prepared" / f"day-{number:03d}", seed=5000 + number)
        source = made.rename(self.bench.data / "incoming" / made.name)
        self.good.append(source)
        return source

    def rest(self, seconds: float) -> None:
        """Wait, and look at the memory of the services meanwhile."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.look()
            time.sleep(min(SAMPLE_S, left))

    def look(self) -> None:
        for name, root in processes(self.bench):
            now = time.monotonic() - self.begun
            self.memory.setdefault((name, root.pid), []).append((now / 60, held_mib(name, root)))


def processes(bench: Bench) -> Iterator[tuple[str, psutil.Process]]:
    """Yield the services, and PostgreSQL's first process."""
    numbers = {name: bench.supervisor.pid(name) for name in bench.supervisor.states()}
    numbers["database"] = bench.database.process.pid
    for name, pid in numbers.items():
        try:
            if pid:
                yield name, psutil.Process(pid)
        except psutil.Error:
            continue


def held_mib(name: str, root: psutil.Process) -> float:
    """Return what a service holds for itself, in MiB: of PostgreSQL with its children, of a worker without its runs."""
    try:
        every = [root, *root.children(recursive=True)] if name == "database" else [root]
        return sum(one.memory_full_info().uss for one in every) / 2**20
    except psutil.Error:
        return float("nan")


def hit_run(day: Day) -> tuple[str, Path]:
    """Wait for a run that has begun; return it and its source."""
    found: list[tuple[str, Path]] = []

    def begun() -> bool:
        found[:] = [
            (run["id"], Path(run["parameters"]["source"]))
            for run in day.bench.runs_of("solve-series")
            if run["state_type"] == "RUNNING"
        ]
        return bool(found)

    wait(begun, "a run that has begun", step_s=0.1)
    return found[0]


def kill_run(day: Day, run: str) -> None:
    day.bench.kill_flow(run)


def kill_service(name: str) -> Callable[[Day, str], None]:
    def act(day: Day, run: str) -> None:
        day.bench.kill(name)
        if name == "server":
            wait(lambda: day.bench.get("/ready").is_success, "the server")

    return act


def kill_worker_and_run(day: Day, run: str) -> None:
    day.bench.kill("worker")
    day.bench.kill_flow(run)


def kill_database(day: Day, run: str) -> None:
    day.bench.database.stop(signal.SIGQUIT)
    time.sleep(5)
    day.bench.database.start()


def kill_everything(day: Day, run: str) -> None:
    bench = day.bench
    for name in ("worker", "watcher", "upkeep", "server"):
        kill(bench.supervisor.pid(name))
    bench.kill_flow(run)
    kill_database(day, run)
    wait(lambda: bench.get("/ready").is_success, "the server")


def arrives_bad(day: Day, number: int) -> None:
    folder = drop(day.bench.data / "prepared" / f"bad-{number:03d}", seed=1)
    manifest = json.loads((folder / "tilt_series.json").read_text())
    (folder / "tilt_series.json").write_text(json.dumps({**manifest, "beam": {"energy_kev": -1.0}}))
    day.no_run[f"refused {number}"] = folder.rename(day.bench.data / "incoming" / folder.name)


def arrives_by_link(day: Day, number: int) -> None:
    folder = day.bench.data / "incoming" / f"link-{number:03d}"
    folder.mkdir()
    (folder / "tilt_series.json").symlink_to(folder / "tilt_series.json")
    day.no_run[f"linked {number}"] = folder


def arrives_again(day: Day, number: int) -> None:
    copy = day.bench.data / "incoming" / f"copy-{number:03d}"
    shutil.copytree(day.good[number // 2], copy)
    day.no_run[f"copy {number}"] = copy


def arrives_in_pieces(day: Day, number: int) -> None:
    made = drop(day.bench.data / "prepared" / f"late-{number:03d}", seed=6000 + number)
    source = day.bench.data / "incoming" / made.name
    source.mkdir()
    day.good.append(source)
    for path in sorted(made.iterdir(), reverse=True):
        shutil.copy(path, source)
        time.sleep(1.0)


def never_whole(day: Day, number: int) -> None:
    day.no_run[f"half {number}"] = drop(
        day.bench.data / "incoming" / f"half-{number:03d}", seed=7000 + number, complete=False
    )


UNDER_A_RUN: dict[str, Callable[[Day, str], None]] = {
    "process of the run": kill_run,
    "worker": kill_service("worker"),
    "worker and process of the run": kill_worker_and_run,
    "server": kill_service("server"),
    "watcher": kill_service("watcher"),
    "database": kill_database,
    "maintenance": kill_service("upkeep"),
    "everything at once": kill_everything,
}
ON_ARRIVAL = (arrives_bad, arrives_again, arrives_in_pieces, never_whole, arrives_by_link)


def one_day(day: Day, arrivals: int, every_s: float) -> None:
    faults = list(UNDER_A_RUN.items())
    for number in range(arrivals):
        begin = time.monotonic()
        day.arrive(number)
        if number % 4 == 1:
            what, act = faults[(number // 4) % len(faults) if 2 * number < arrivals else 0]
            run, source = hit_run(day)
            act(day, run)
            day.hit.append((what, run, time.time()))
            day.say(f"killed under {source.name}: {what}")
        elif number % 4 == 3:
            arrives = ON_ARRIVAL[(number // 4) % len(ON_ARRIVAL)]
            arrives(day, number)
            day.say(arrives.__name__.replace("_", " "))
        day.rest(max(0.0, every_s - (time.monotonic() - begin)))
    wait(lambda: all_ended(day), "the end of the last run", limit_s=4 * WAIT_S)


def calm_day(day: Day, runs: int) -> None:
    """Let light runs go one after the other, and say what each service holds after every fifth."""
    for number in range(1, runs + 1):
        outcome = day.bench.outcome(day.arrive(number)) if number % 5 == 1 else state(day.bench.maintain("prune"))
        day.look()
        if number % 5 == 0:
            held = {name: round(seen[-1][1], 1) for (name, _), seen in day.memory.items()}
            day.say(f"after {number} runs ({outcome}): {held} MiB")


def all_ended(day: Day) -> bool:
    found = every_run(day)
    there = {run["parameters"]["source"] for run in found}
    return all(str(source) in there for source in day.good) and all(run["state_type"] in ENDED for run in found)


def every_run(day: Day) -> list[dict[str, Any]]:
    """Return the runs of the pipeline, more than the 200 of a page."""
    found: list[dict[str, Any]] = []
    while True:
        page = day.bench.post(
            "/flow_runs/filter",
            flows={"name": {"any_": ["solve-series"]}},
            limit=200,
            offset=len(found),
            sort="EXPECTED_START_TIME_ASC",
        )
        found += page
        if len(page) < 200:
            return found


def outcomes(day: Day) -> dict[str, Any]:
    """Return how many data sets became what."""
    runs = every_run(day)
    of = {str(source): [run for run in runs if run["parameters"]["source"] == str(source)] for source in day.good}
    ended = {Path(name).name: f"{len(mine)} run: {', '.join(map(state, mine))}" for name, mine in of.items()}
    wrongly = [
        name for name, path in day.no_run.items() if any(run["parameters"]["source"] == str(path) for run in runs)
    ]
    starts = [
        min(stamp(run["start_time"]), stamp(run["end_time"])) - stamp(run["created"])
        for run in runs
        if run["run_count"] == 1 and run["start_time"]
    ]
    return {
        "data_sets": len(day.good),
        "one_run_ended_right": sum(one == GOOD for one in ended.values()),
        "others": {name: one for name, one in ended.items() if one != GOOD},
        "must_give_no_run": len(day.no_run),
        "gave_one": wrongly,
        "runs_in_all": len(runs),
        "wait_for_a_slot_s_median": round(statistics.median(starts), 1) if starts else None,
    }


def stamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def recoveries(day: Day) -> list[dict[str, Any]]:
    """Return of each fault under a run how long after the last restart that run had ended, and how."""
    rows = []
    for what, run, when in day.hit:
        ended = day.bench.read(run)
        rows.append({"killed": what, "ended_s_after": round(stamp(ended["end_time"]) - when, 1), "state": state(ended)})
    return rows


def growth(day: Day) -> list[dict[str, Any]]:
    """Return of the longest-lived process of each service how its memory went, after it was warm."""
    rows = []
    for service in sorted({name for name, _ in day.memory}):
        lives = [seen for (name, _), seen in day.memory.items() if name == service]
        seen = np.array(max(lives, key=lambda one: one[-1][0] - one[0][0]))
        seen = seen[np.isfinite(seen[:, 1])]
        late = seen[seen[:, 0] >= seen[0, 0] + WARM * (seen[-1, 0] - seen[0, 0])]
        half = len(late) // 2
        rows.append(
            {
                "service": service,
                "lives": len(lives),
                "minutes": round(float(seen[-1, 0] - seen[0, 0]), 1),
                "first_mib": round(float(np.median(late[:half, 1])), 1) if half else None,
                "last_mib": round(float(np.median(late[half:, 1])), 1) if half else None,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arrivals", type=int, default=96)
    parser.add_argument("--every-s", type=float, default=45.0)
    parser.add_argument("--calm", type=int, default=0, metavar="RUNS")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with on_postgresql() as bench:
        day = Day(bench)
        try:
            if asked.calm:
                calm_day(day, asked.calm)
            else:
                one_day(day, asked.arrivals, asked.every_s)
        except (TimeoutError, httpx.HTTPError) as error:
            day.say(f"ended early: {error}")
        told = {
            "outcomes": outcomes(day),
            "recoveries": recoveries(day),
            "memory": growth(day),
            "samples": {f"{name} {pid}": seen for (name, pid), seen in day.memory.items()},
        }
        if asked.out:
            asked.out.write_text(json.dumps(told, indent=1))
        print(json.dumps({name: told[name] for name in ("outcomes", "recoveries", "memory")}, indent=1))


if __name__ == "__main__":
    main()
