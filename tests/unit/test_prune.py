"""What may be removed: intermediate files and copies of solved, old runs; nothing else."""

import fcntl
import importlib
import json
import logging
import os
import time
from pathlib import Path

import pytest

from flows.arrivals import Watcher
from flows.ledger import Ledger
from flows.prune import removable, removable_copies, removable_live
from flows.site import Retention, Site
from flows.staging import remove_copy, staged
from tasks.report import LiveScan, LiveState
from tests.synthetic.arriving_series import drop
from tests.unit.test_staging import scans, site

__all__ = ["site"]

prune_module = importlib.import_module("flows.prune")

DAY_S = 86400.0


def after_90_days(_: Path) -> float:
    return 90.0


def run_of(source: Path, folder: Path, *, status: str = "solved", age_days: float = 100.0) -> Path:
    (folder / "ingest").mkdir(parents=True)
    (folder / "ingest" / "events.npy").write_bytes(b"0" * 1000)
    (folder / "run.json").write_text(json.dumps({"source": str(source.resolve())}))
    results = folder / "results.json"
    results.write_text(json.dumps({"status": status}))
    when = time.time() - age_days * DAY_S
    os.utime(results, (when, when))
    return folder


@pytest.mark.parametrize(
    ("status", "age_days", "count"), [("solved", 100, 1), ("solved", 10, 0), ("not-solved", 100, 0)]
)
def test_intermediate_files_of_old_solved_runs_may_go(tmp_path: Path, status: str, age_days: float, count: int) -> None:
    run_of(tmp_path / "s", tmp_path / "runs" / "a", status=status, age_days=age_days)
    found = removable(tmp_path / "runs", after_90_days)
    assert len(found) == count
    assert all(removal.path.endswith("a/ingest") for removal in found)


def test_a_run_that_goes_on_keeps_its_files(tmp_path: Path) -> None:
    folder = run_of(tmp_path / "s", tmp_path / "runs" / "a")
    with (folder / ".lock").open("a+b") as lock:
        fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
        assert removable(tmp_path / "runs", after_90_days) == []
    assert len(removable(tmp_path / "runs", after_90_days)) == 1


@pytest.mark.parametrize(("nightly", "by_schedule", "left"), [(False, True, True), (True, True, False)])
def test_by_its_schedule_it_removes_what_the_site_file_says_and_no_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nightly: bool, by_schedule: bool, left: bool
) -> None:
    source = drop(tmp_path / "incoming" / "s")
    solved = run_of(source, tmp_path / "runs" / "a")
    unsolved = run_of(source, tmp_path / "runs" / "b", status="not-solved")
    of_site = Site(runs=tmp_path / "runs", retention=Retention(nightly=nightly))
    monkeypatch.setattr(prune_module, "load_site", lambda: of_site)
    monkeypatch.setattr(prune_module, "get_run_logger", lambda: logging.getLogger("test"))
    monkeypatch.setattr(prune_module, "create_table_artifact", lambda **_: None)
    prune_module.prune.fn(dry_run=False, older_than_days=None, by_schedule=by_schedule)
    assert (solved / "ingest").exists() is left
    assert (solved / "results.json").exists()
    assert (unsolved / "ingest").exists()
    assert len(list(source.iterdir())) == 7


def test_a_folder_that_is_no_run_of_ours_is_left_alone(tmp_path: Path) -> None:
    run = run_of(tmp_path / "s", tmp_path / "runs" / "a")
    (run / "run.json").unlink()
    assert removable(tmp_path / "runs", after_90_days) == []


def test_a_copy_goes_when_its_runs_are_solved_and_old_and_is_not_made_again(site: Site, tmp_path: Path) -> None:
    runs, rule = tmp_path / "runs", site.instruments["4D Camera"]
    folder = scans(site.incoming[0] / "a", age_s=100)
    copy = staged(folder, rule, runs)
    assert copy is not None
    assert removable_copies(runs, after_90_days) == [], "it has no run yet"
    run_of(copy, runs / "a")
    (found,) = removable_copies(runs, after_90_days)
    assert Path(found.path) == copy
    run_of(copy, runs / "b", age_days=5)
    assert removable_copies(runs, after_90_days) == [], "another run of it is young"
    (runs / "b" / "run.json").unlink()
    remove_copy(copy)
    assert staged(folder, rule, runs) is None
    assert Watcher(site, Ledger(tmp_path / "l.db")).look() == 0
    assert {path.name for path in folder.iterdir()} == {"scan_-2.5.h5", "scan_+10.h5", "scan_0.h5", "notes.txt"}


@pytest.mark.parametrize("loss", ["gone", "shorter"])
def test_a_copy_that_is_all_there_is_stays(site: Site, tmp_path: Path, loss: str) -> None:
    folder = scans(site.incoming[0] / "a", age_s=100)
    copy = staged(folder, site.instruments["4D Camera"], tmp_path / "runs")
    assert copy is not None
    run_of(copy, tmp_path / "runs" / "a")
    if loss == "gone":
        (folder / "scan_0.h5").unlink()
    else:
        (folder / "scan_0.h5").write_bytes(b"0")
    assert removable_copies(tmp_path / "runs", after_90_days) == []


@pytest.mark.parametrize(("age_days", "loss", "count"), [(100, False, 2), (10, False, 0), (100, True, 0)])
def test_the_events_of_a_series_that_was_never_finished_go_when_its_scans_are_where_they_were(
    tmp_path: Path, age_days: float, loss: bool, count: int
) -> None:
    source = tmp_path / "incoming" / "grows"
    source.mkdir(parents=True)
    (source / "scan_0.h5").write_bytes(b"0")
    keep = tmp_path / "runs" / "live" / "grows-0" / "live"
    for name in ("scans", "look"):
        (keep / name).mkdir(parents=True)
    read = LiveScan(file="scan_0.h5", tilt_deg=0.0, state="read")
    awaited = LiveScan(file="scan_1.h5", tilt_deg=1.0, state="awaited")
    state = LiveState(sample="grows", source=str(source), updated="", phase="stopped", scans=(read, awaited))
    (keep / "live.json").write_text(state.model_dump_json())
    when = time.time() - age_days * DAY_S
    os.utime(keep / "live.json", (when, when))
    if loss:
        (source / "scan_0.h5").unlink()
    assert len(removable_live(tmp_path / "runs", after_90_days)) == count
