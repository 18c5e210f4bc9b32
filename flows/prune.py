"""Making room: intermediate files of solved runs, after their time; never a source, never an unsolved run's data.

A copy of scans that got a manifest (`flows.staging`) goes too when all its runs are solved and old, if the folder that
it was made of still holds every scan. So do the events of a series that was followed and never finished: it can be
followed on all the same.
"""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from pydantic import Field

from flows.live import KEEP, STATE, earlier
from flows.live_look import LOOK
from flows.live_scans import SCANS
from flows.live_series import FOLDER
from flows.proposals import conditions, owner_of
from flows.run_folder import CLAIM, in_progress
from flows.site import Site, load_site
from flows.staging import STAGED, expendable, remove_copy
from tasks.model import Document

INTERMEDIATE = (
    "ingest",
    "crystals/*/frames",
    "crystals/*/parts/*/frames",
    "crystals/*/integrate/frames",
    "crystals/*/integrate/dials",
    "crystals/*/gain",
    "crystals/*/nested/*/frames",
)
"""Folders below a run folder that can be made again from the source; results, hkl, CIF and report stay."""


class Removal(Document):
    """One folder that is, or would be, removed."""

    path: str
    mebibytes: float
    age_days: float


@flow(name="prune")
def prune(
    dry_run: bool = True,
    older_than_days: float | None = Field(
        default=None, gt=0, description="by default what the site's rules and retention say"
    ),
    by_schedule: bool = Field(default=False, description="set by the schedule: then the site file decides"),
) -> list[Removal]:
    """List the intermediate files of old solved runs; remove them unless it is a dry run."""
    site = load_site()
    if site.runs is None:
        return []
    if by_schedule and not site.retention.nightly:
        get_run_logger().info("nothing is removed: the site file does not say `retention: {nightly: true}`")
        return []
    days = days_of(site, older_than_days)
    intermediate = [*removable(site.runs, days), *removable_live(site.runs, days)]
    copies = removable_copies(site.runs, days)
    found = [*intermediate, *copies]
    if not dry_run:
        for removal in intermediate:
            shutil.rmtree(removal.path)
        for removal in copies:
            remove_copy(Path(removal.path))
    verb = "would be removed" if dry_run else "removed"
    get_run_logger().info("%d folders %s, %.0f MiB", len(found), verb, sum(item.mebibytes for item in found))
    create_table_artifact(key="prune", table=[item.model_dump() for item in found], description=verb)
    return found


def days_of(site: Site, told: float | None) -> Callable[[Path], float]:
    """Return how many days a run folder keeps its intermediate files: as told, by rules or by retention."""

    def days(folder: Path) -> float:
        if told is not None:
            return told
        return conditions(site, owner_of(site, folder)).solved_days or site.retention.solved_days

    return days


def removable(runs: Path, days: Callable[[Path], float]) -> list[Removal]:
    """Return the folders that may go: of runs that are solved and whose results are older than their `days`."""
    now = time.time()
    found = []
    for results in sorted(runs.glob("*/results.json")):
        age_days = (now - results.stat().st_mtime) / 86400.0
        folder = results.parent
        if age_days < days(folder) or not (folder / CLAIM).is_file() or status_of(results) != "solved":
            continue
        if in_progress(folder):  # run again, or a region of it
            continue
        for pattern in INTERMEDIATE:
            found += [
                Removal(path=str(path), mebibytes=size_of(path) / 2**20, age_days=age_days)
                for path in sorted(folder.glob(pattern))
                if path.is_dir() and not path.is_symlink()
            ]
    return found


def removable_copies(runs: Path, days: Callable[[Path], float]) -> list[Removal]:
    """Return the staged copies that may go: all runs of one are solved and old, and its scans are where they were."""
    now = time.time()
    ages: dict[str, list[float]] = {}
    kept = set()
    for claim in sorted(runs.glob(f"*/{CLAIM}")):
        results = claim.with_name("results.json")
        solved = results.is_file() and status_of(results) == "solved"
        age_days = (now - results.stat().st_mtime) / 86400.0 if solved else -1.0
        ages.setdefault(source_of(claim), []).append(age_days)
        kept |= set() if age_days >= days(claim.parent) else {source_of(claim)}
    found = []
    for copy in sorted(runs.glob(f"{STAGED}/*/[!.]*")):
        source = str(copy.resolve())
        if source in ages and source not in kept and expendable(copy):
            youngest = min(ages[source])
            found.append(Removal(path=str(copy), mebibytes=size_of(copy) / 2**20, age_days=youngest))
    return found


def removable_live(runs: Path, days: Callable[[Path], float]) -> list[Removal]:
    """Return what was made of the scans of series that nobody follows any more, if all of these are where they were."""
    now = time.time()
    found = []
    for path in sorted([*runs.glob(f"{FOLDER}/*/{KEEP}/{STATE}"), *runs.glob(f"*/{KEEP}/{STATE}")]):
        folder, age_days = path.parent.parent, (now - path.stat().st_mtime) / 86400.0
        if age_days < days(folder) or in_progress(folder) or (state := earlier(path)) is None:
            continue
        if state.source and all((Path(state.source) / scan.file).is_file() for scan in state.read):
            found += [
                Removal(path=str(one), mebibytes=size_of(one) / 2**20, age_days=age_days)
                for one in (path.parent / SCANS, path.parent / LOOK)
                if one.is_dir() and not one.is_symlink()
            ]
    return found


def source_of(claim: Path) -> str:
    """Return the source that a run was made of; nothing if its claim cannot be read."""
    try:
        content: Any = json.loads(claim.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(content.get("source", "")) if isinstance(content, dict) else ""


def status_of(results: Path) -> str | None:
    """Return the status in a results.json; None if it cannot be read, and then nothing is touched."""
    try:
        content: Any = json.loads(results.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content.get("status") if isinstance(content, dict) else None


def size_of(folder: Path) -> int:
    """Return the bytes below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
