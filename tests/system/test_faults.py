"""Faults, injected one after the other into one real facility: nothing lost, nothing run twice, no wrong state.

APERTURA_WRITE_FAULT_TABLE=deployments/README.md writes what was seen between the markers of that file.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.facility_bench import (
    ENDED,
    Bench,
    differences,
    drop,
    drop_crystals,
    drop_rotation,
    kill,
    state,
    wait,
    write_table,
)
from tests.system.postgresql_bench import on_postgresql

pytestmark = [
    pytest.mark.faults,
    pytest.mark.needs_server,
    pytest.mark.needs_postgresql,
    pytest.mark.timeout(3600),
]

ONCE = "1 run: Completed, No crystals"
NONE = "0 runs"


@pytest.fixture
def bench() -> Iterator[Bench]:
    with on_postgresql() as made:
        begin = time.monotonic()
        yield made
        subprocess.run(["umount", str(made.data / "runs" / "full")], check=False, capture_output=True)
        if name := os.environ.get("APERTURA_WRITE_FAULT_TABLE"):
            write_table(made.rows, Path(name), (time.monotonic() - begin) / 60)


def test_nothing_is_lost_run_twice_or_called_what_it_is_not(bench: Bench) -> None:
    """One test, because the faults build on each other: a test runner must not spread them."""
    sources = arrive(bench)
    arrivals_go_wrong(bench, sources)
    processes_are_killed_in_the_middle_of_runs(bench)
    announced_by_events(bench)
    a_run_killed_twice_ends_with_the_same_bytes(bench)
    every_data_set_has_its_one_run(bench, sources)
    run_folders_and_engines_go_wrong(bench, sources)
    the_disk_is_full(bench, sources)
    a_taken_port_is_refused(bench)
    assert len(bench.rows) >= 20


def arrive(bench: Bench) -> dict[str, Path]:
    """Data sets that arrived while nothing could go right; their runs are made but none has begun."""
    bench.pause(paused=True)
    incoming = bench.data / "incoming"
    found = {"first": drop(incoming / "first", seed=1)}
    bench.run(found["first"])
    found["copy"] = Path(shutil.copytree(found["first"], incoming / "copy"))
    found["half"] = drop(incoming / "half", seed=2, complete=False)

    prepared = drop(bench.data / "prepared" / "late", seed=3)
    found["late"] = incoming / "late"
    found["late"].mkdir()
    shutil.copy(prepared / "tilt_series.json", found["late"])
    for path in sorted(prepared.glob("*.h5"), reverse=True):
        time.sleep(0.6)
        bench_early = len(bench.runs(found["late"]))
        shutil.copy(path, found["late"])
    bench.run(found["late"])
    bench.record("manifest first, its files later and out of order", NONE, f"{bench_early} runs")

    second = bench.second_watcher()
    found["two"] = drop(incoming / "two", seed=4)
    bench.run(found["two"])
    kill(second.pid)

    bench.kill("watcher", comes_back=False)
    found["unwatched"] = drop(incoming / "unwatched", seed=5)
    for name, when in (("future", time.time() + 86400), ("past", 1.0)):
        found[name] = drop(incoming / name, seed=6 + len(name))
        for path in (*found[name].iterdir(), found[name]):
            os.utime(path, (when, when))
    found["denied"] = drop(incoming / "denied", seed=7)
    (found["denied"] / "scan_3.h5").chmod(0)
    found["read-only"] = drop(incoming / "read-only", seed=8)
    for path in (*found["read-only"].iterdir(), found["read-only"]):
        path.chmod(0o555 if path.is_dir() else 0o444)
    found["vanishes"] = drop(incoming / "vanishes", seed=9)
    found["cut"] = drop(incoming / "cut", seed=10)
    bench.start("watcher")
    for name in ("unwatched", "future", "past", "read-only", "vanishes", "cut"):
        bench.run(found[name])
    return found


def arrivals_go_wrong(bench: Bench, sources: dict[str, Path]) -> None:
    before = len(bench.runs())
    bench.kill_server()
    gone = drop(bench.data / "incoming" / "gone", seed=11)
    time.sleep(3)
    bench.start("server")
    bench.run(gone)
    sources["gone"] = gone

    denied = len(bench.runs(sources["denied"]))
    bench.record("permission denied on a file: before", NONE, f"{denied} runs")
    (sources["denied"] / "scan_3.h5").chmod(0o644)
    bench.run(sources["denied"])

    before = len(bench.runs())
    for path in bench.data.glob("ledger.db*"):
        path.unlink()
    bench.kill("watcher", comes_back=False)
    bench.start("watcher")
    for path in sources["first"].iterdir():
        os.utime(path)
    key = "select count(*) from datasets where state = 'announced'"
    wait(lambda: ledger(bench, key) >= before, "all data sets to be announced again")
    bench.record(
        "ledger deleted, watcher killed and started again", "0 new runs", f"{len(bench.runs()) - before} new runs"
    )
    copies = len(bench.runs(sources["copy"]))
    bench.record("the same data set copied to a second folder", NONE, f"{copies} runs")
    shutil.rmtree(sources["vanishes"])
    with (sources["cut"] / "scan_2.h5").open("r+b") as stream:
        stream.truncate(1000)
    check(bench)


def processes_are_killed_in_the_middle_of_runs(bench: Bench) -> None:
    bench.pause(paused=False)
    hit = [
        (killed_at_start, "flow process killed -9 while it starts"),
        (killed_in_ingest, "flow process killed -9 in its first step"),
        (killed_after_ingest, "flow process killed -9 after its first step"),
        (worker_killed, "worker killed -9 under a run"),
        (worker_and_flow_killed, "worker and flow process killed -9: a run without process"),
        (killed_while_pending, "worker killed -9 between taking a run and beginning it"),
        (server_killed, "server killed -9 under a run, gone for 60 s"),
        (database_restarted, "database restarted under a run"),
        (everything_killed, "reboot: server, worker, watcher and flow process killed -9"),
        (redeployed, "all deployments made again under a run"),
    ]
    victims: list[Path] = []
    for inject, _ in hit:
        run = next_running(bench, victims)
        victims.append(Path(run["parameters"]["source"]))
        inject(bench, run["id"], victims[-1])
    wait(lambda: all(run["state_type"] in ENDED for run in bench.runs()), "the end of all runs")
    for (_, fault), victim in zip(hit, victims, strict=True):
        bench.record(fault, ONCE, bench.outcome(victim))
    check(bench)


def announced_by_events(bench: Bench) -> None:
    """For sites without a watcher: events too early, too often, and beside a watcher."""
    bench.kill("watcher", comes_back=False)
    prepared = drop(bench.data / "prepared" / "by-event", seed=12)
    source = Path(shutil.copytree(prepared, bench.data / "incoming" / "by-event"))
    (source / "scan_5.h5").unlink()
    bench.announce_by_event(source)
    dispatched(bench, 1)
    early = len(bench.runs(source))
    bench.record("event posted before the data set is complete", NONE, f"{early} runs")
    shutil.copy(prepared / "scan_5.h5", source)
    for _ in range(3):
        bench.announce_by_event(source)
    dispatched(bench, 4)
    bench.start("watcher")
    bench.record("event posted three times, and a watcher beside it", ONCE, bench.outcome(source))
    check(bench)


def dispatched(bench: Bench, count: int) -> None:
    def all_ended() -> bool:
        found = bench.runs_of("dispatch")
        return len(found) == count and all(run["state_type"] in ENDED for run in found)

    wait(all_ended, f"{count} runs of the dispatcher")


def a_run_killed_twice_ends_with_the_same_bytes(bench: Bench) -> None:
    source = drop_crystals(bench.data / "incoming" / ".two-crystals", crystals=2)
    whole, broken = bench.data / "runs" / "whole", bench.data / "runs" / "broken"
    bench.plain_run(source, whole)
    run = bench.submit(source, out=broken)
    for inside in ("apertures/document.json", "crystals/crystal-01/integrate/document.json"):
        wait(lambda inside=inside: (broken / inside).exists(), inside, step_s=0.01)
        bench.kill_flow(run)
        wait(lambda: bench.read(run)["state_type"] == "CRASHED", "the worker's report")
    outcome = state(bench.ended(run))
    unequal = differences(whole, broken)
    bench.record(
        "flow process killed -9 twice in a run that solves: compared with an undisturbed run",
        "Completed, Solved; no file differs",
        f"{outcome}; {', '.join(unequal) or 'no file'} differs",
    )
    check(bench)


def every_data_set_has_its_one_run(bench: Bench, sources: dict[str, Path]) -> None:
    faults = {
        "two": "two watchers with one ledger",
        "unwatched": "watcher killed -9, data set dropped meanwhile",
        "future": "clock step: files dated tomorrow",
        "past": "clock step: files dated 1970",
        "denied": "permission denied on a file: after it was granted",
        "read-only": "read-only incoming folder",
        "gone": "server gone when the data set arrives",
        "first": "a data set touched and announced again",
    }
    for name, fault in faults.items():
        bench.record(fault, ONCE, bench.outcome(sources[name]))
    bench.record("file shorter than its manifest says", NONE, f"{len(bench.runs(sources['half']))} runs")

    bench.outcome(sources["vanishes"])
    (run,) = bench.runs(sources["vanishes"])
    bench.record("source vanishes between announcement and run", "Failed, I110", judged(bench, run["id"]))
    (run,) = bench.runs(sources["cut"])
    bench.record("file cut off between announcement and run", "Failed, I111", judged(bench, run["id"]))
    named = "scan_2.h5 is another" in bench.error_of(run["id"]).replace("\\", "")
    bench.record("file cut off: said on the run's page", "named", "named" if named else "not named")
    moved_again(bench)
    check(bench)


def moved_again(bench: Bench) -> None:
    """Data sets that come again: renamed under a run, and delivered anew after a failure."""
    source = drop_crystals(bench.data / "incoming" / ".renamed", crystals=1, seed=20)
    source = source.rename(bench.data / "incoming" / "renamed")
    run = bench.run(source)["id"]
    reached(bench, source, "run.json")
    other = source.rename(bench.data / "incoming" / "renamed-since")
    bench.record("data set renamed under its run", "Failed, I110", judged(bench, run))
    bench.ended(bench.run(other)["id"])
    bench.record("the same: under its new name", "1 run: Completed, Solved", bench.outcome(other))

    again = drop(bench.data / "incoming" / "again", seed=21)
    bench.pause(paused=True)
    first = bench.run(again)["id"]
    kept = again.rename(bench.data / "again")
    bench.pause(paused=False)
    judged(bench, first)
    shutil.copytree(kept, again)
    wait(lambda: len(bench.runs(again)) == 2, "another run of what was delivered anew")
    wait(lambda: all(one["state_type"] in ENDED for one in bench.runs(again)), "its end")
    states = ", ".join(sorted(state(one) for one in bench.runs(again)))
    bench.record("data set delivered anew after its run failed", "Completed, No crystals, Failed", states)


def run_folders_and_engines_go_wrong(bench: Bench, sources: dict[str, Path]) -> None:
    first = bench.folder_of(sources["first"])
    assert first is not None
    results = (first / "results.json").read_bytes()
    other = bench.submit(sources["two"], out=first)
    bench.record("run folder of another source", "Failed, I120", judged(bench, other))
    assert (first / "results.json").read_bytes() == results, "the results of another run were touched"

    document = first / "ingest" / "document.json"
    document.write_text('{"key": ')
    again = bench.submit(sources["first"], out=first)
    bench.record("document of a finished step damaged", "Completed, No crystals", state(bench.ended(again)))
    json.loads(document.read_text())

    series = drop_rotation(bench.data / "incoming" / ".rotation")
    engine = {"integrate": {"engine": "xds", "timeout_s": 3.0}}
    for mode, fault, expected in (
        ("hang", "engine hangs: stopped at its time limit", "Failed, P301"),
        ("crash", "engine crashes", "Failed, P302"),
    ):
        (bench.data / "fakes" / "mode").write_text(mode)
        run = bench.submit(series, out=bench.data / "runs" / f"engine-{mode}", settings=engine)
        bench.record(fault, expected, judged(bench, run))
    check(bench)


def the_disk_is_full(bench: Bench, sources: dict[str, Path]) -> None:
    folder = bench.data / "runs" / "full"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(folder)], check=False)
    if mounted.returncode != 0:
        return  # without the right to mount a small file system the fault cannot be made
    run = bench.submit(sources["first"], out=folder)
    bench.record("disk full in the run folder", "Failed, I100", judged(bench, run))
    subprocess.run(["mount", "-o", "remount,size=16m", str(folder)], check=True)
    retry = {"type": "SCHEDULED", "name": "AwaitingRetry"}
    bench.post(f"/flow_runs/{run}/set_state", state=retry, force=True)
    bench.record("disk full: retried after room was made", "Completed, No crystals", state(bench.ended(run)))
    check(bench)


def a_taken_port_is_refused(bench: Bench) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        where = ["--data", str(bench.data / "second"), "--port", str(holder.getsockname()[1])]
        refused = bench.run_apertura("facility", "up", *where)
    said = "exit 2, one line" if "taken by another program" in refused.stderr else refused.stderr[-200:]
    bench.record("port of `facility up` taken", "exit 2, one line", said, ok=refused.returncode == 2 and "exit" in said)
    assert not (bench.data / "second").exists()
    check(bench)


def check(bench: Bench) -> None:
    wrong = [row for row in bench.rows if not row.ok]
    assert not wrong, wrong


def judged(bench: Bench, run_id: str) -> str:
    """Return the state of a run and the code of the error that its page shows."""
    ended = bench.ended(run_id)
    told = bench.error_of(run_id)
    return f"{state(ended)}, {told.removeprefix('### ').split(':')[0]}"


def ledger(bench: Bench, query: str) -> int:
    import sqlite3

    try:
        connection = sqlite3.connect(f"file:{bench.data / 'ledger.db'}?mode=ro", uri=True)
    except sqlite3.OperationalError:
        return 0
    try:
        return int(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


def next_running(bench: Bench, victims: list[Path]) -> dict:
    """Wait for a run that has begun and that no fault has hit yet; where none is left, a data set arrives."""
    spared = {str(path) for path in victims} | {str(bench.data / "incoming" / name) for name in ("vanishes", "cut")}

    def untouched(*states: str) -> list[dict]:
        return [
            run for run in bench.runs() if run["state_type"] in states and run["parameters"]["source"] not in spared
        ]

    def candidates() -> list[dict]:
        return untouched("PENDING", "RUNNING")

    if not untouched("SCHEDULED", "PENDING", "RUNNING"):
        number = len(victims)
        bench.run(drop(bench.data / "incoming" / f"victim-{number}", seed=100 + number))
    wait(lambda: bool(candidates()), "a run that begins", step_s=0.05)
    return candidates()[0]


def reached(bench: Bench, source: Path, inside: str) -> None:
    """Wait until a run has come so far that something is in its folder."""
    wait(
        lambda: (folder := bench.folder_of(source)) is not None and (folder / inside).exists(),
        f"{inside} of {source.name}",
        step_s=0.01,
    )


def running(bench: Bench, run: str) -> None:
    wait(lambda: bench.read(run)["state_type"] != "PENDING", "the run to begin", step_s=0.05)


def killed_at_start(bench: Bench, run: str, source: Path) -> None:
    running(bench, run)
    bench.kill_flow(run)
    wait(lambda: bench.read(run)["state_type"] == "CRASHED", "the worker's report")


def killed_in_ingest(bench: Bench, run: str, source: Path) -> None:
    reached(bench, source, "run.json")
    bench.kill_flow(run)
    wait(lambda: bench.read(run)["state_type"] == "CRASHED", "the worker's report")


def killed_after_ingest(bench: Bench, run: str, source: Path) -> None:
    reached(bench, source, "ingest/document.json")
    bench.kill_flow(run)
    folder = bench.folder_of(source)
    assert folder is not None
    made = (folder / "ingest" / "document.json").stat().st_mtime_ns
    wait(lambda: bench.read(run)["state_type"] == "CRASHED", "the worker's report")
    bench.ended(run)
    kept = (folder / "ingest" / "document.json").stat().st_mtime_ns == made
    bench.record("the same: finished steps", "not computed again", "not computed again" if kept else "computed again")


def worker_killed(bench: Bench, run: str, source: Path) -> None:
    running(bench, run)
    bench.kill("worker", comes_back=False)
    bench.ended(run)
    bench.start("worker")


def worker_and_flow_killed(bench: Bench, run: str, source: Path) -> None:
    running(bench, run)
    bench.kill("worker", comes_back=False)
    bench.kill_flow(run)
    bench.record("the same: before the janitor", "Running", state(bench.read(run)))
    time.sleep(2)
    bench.start("worker")


def killed_while_pending(bench: Bench, run: str, source: Path) -> None:
    bench.kill("worker", comes_back=False)
    time.sleep(1)
    if (pid := bench.flow_process(run)) is not None:
        kill(pid)
    time.sleep(2)
    bench.start("worker")


def server_killed(bench: Bench, run: str, source: Path) -> None:
    running(bench, run)
    bench.kill_server()
    time.sleep(60)
    bench.start("server")


def database_restarted(bench: Bench, run: str, source: Path) -> None:
    running(bench, run)
    bench.database.stop(signal.SIGQUIT)
    time.sleep(3)
    bench.database.start()


def everything_killed(bench: Bench, run: str, source: Path) -> None:
    running(bench, run)
    bench.kill("worker", comes_back=False)
    bench.kill("watcher", comes_back=False)
    bench.kill_server()
    bench.kill_flow(run)
    bench.start("server")
    bench.start("worker")
    bench.start("watcher")


def redeployed(bench: Bench, run: str, source: Path) -> None:
    done = bench.python("-m", "flows.deploy", "--runs-at-once", "2")
    assert done.returncode == 0, done.stderr
    bench.ended(run)
