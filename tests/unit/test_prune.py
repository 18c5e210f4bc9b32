"""What may be removed: intermediate files and copies of solved, old runs; nothing else."""

import json
import os
import time
from pathlib import Path

import pytest

from flows.arrivals import Watcher
from flows.ledger import Ledger
from flows.prune import removable, removable_copies
from flows.site import Site
from flows.staging import remove_copy, staged
from tests.unit.test_staging import scans, site

__all__ = ["site"]

DAY_S = 86400.0


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
    found = removable(tmp_path / "runs", 90.0)
    assert len(found) == count
    assert all(removal.path.endswith("a/ingest") for removal in found)


def test_a_folder_that_is_no_run_of_ours_is_left_alone(tmp_path: Path) -> None:
    run = run_of(tmp_path / "s", tmp_path / "runs" / "a")
    (run / "run.json").unlink()
    assert removable(tmp_path / "runs", 90.0) == []


def test_a_copy_goes_when_its_runs_are_solved_and_old_and_is_not_made_again(site: Site, tmp_path: Path) -> None:
    runs, rule = tmp_path / "runs", site.instruments["4D Camera"]
    folder = scans(site.incoming[0] / "a", age_s=100)
    copy = staged(folder, rule, runs)
    assert copy is not None
    assert removable_copies(runs, 90.0) == [], "it has no run yet"
    run_of(copy, runs / "a")
    (found,) = removable_copies(runs, 90.0)
    assert Path(found.path) == copy
    run_of(copy, runs / "b", age_days=5)
    assert removable_copies(runs, 90.0) == [], "another run of it is young"
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
    assert removable_copies(tmp_path / "runs", 90.0) == []
