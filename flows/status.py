"""What goes on at a facility: queue, running, last outcomes, disk, arrivals, licences."""

import shutil
import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from pydantic import Field

from adapters.programs.probe import SHELXD, SHELXL, SHELXS, SHELXT, XDS, probe
from flows.catalogue_record import CatalogueSummary, last_pass, summary_line
from flows.ledger import Ledger
from flows.site import LIVE_POOL, POOL, UPKEEP_POOL, Site, load_site
from tasks.model import Document

SHOWN = 200
"""Runs counted by state: the most that Prefect gives at once."""
LAST = 10
"""Ended runs, and data sets that wait for room, listed: half a terminal of 24 lines."""
STUDIO_S = 5.0
"""For the studio to answer, be it that the token is missing. Chosen, not measured: a person waits for the status."""
ACTIVE = {"PENDING", "RUNNING", "CANCELLING"}
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
"""Types of state; what is neither is scheduled (also late, or to be tried again) or waits for a person."""
LICENSED = (XDS, SHELXT, SHELXS, SHELXD, SHELXL)


class ListedRun(Document):
    """One run, as the server knows it."""

    name: str
    kind: str
    state: str
    message: str
    tags: tuple[str, ...]


class Refused(Document):
    """A folder that arrived and gives no run."""

    path: str
    reason: str


class HeldBack(Document):
    """A data set that waits until its proposal has room."""

    path: str
    reason: str


class Sign(Document):
    """When a service was last heard of."""

    service: str
    seconds_ago: float | None = Field(description="None: never")


class Status(Document):
    """The answer of `apertura status`."""

    site: str
    signs: tuple[Sign, ...] = Field(description="of the watcher, of each pool's workers, of the scheduler's janitor")
    studio: str | None = Field(description="address of the studio, without its token, and whether it answers")
    states: dict[str, int]
    running: tuple[ListedRun, ...] = Field(description="of the pipeline, and those that follow a series that grows")
    last: tuple[ListedRun, ...]
    waiting_to_be_announced: int | None
    refused: tuple[Refused, ...]
    held_back: tuple[HeldBack, ...] = Field(description="of those that wait: for room of their proposals")
    catalogue: CatalogueSummary | None = Field(description="its last pass; None: no pass yet, or no catalogue")
    licences: dict[str, str]
    disk_free_gib: float | None
    disk_used_fraction: float | None


def status() -> Status:
    """Ask the server and the site's folders.

    Raises
    ------
    httpx.HTTPError
        If the server does not answer.
    """
    site = load_site()
    with get_client(sync_client=True) as client:
        runs = recent(client)
        following = recent(client, flow="live-series")
        signs = signs_of_life(client, site)
    disk = shutil.disk_usage(site.runs) if site.runs and site.runs.is_dir() else None
    return Status(
        site=site.name,
        signs=signs,
        studio=studio(site),
        states=by_state(runs),
        running=tuple(run for run in (*runs, *following) if run.kind in ACTIVE),
        last=tuple(run for run in runs if run.kind in ENDED)[:LAST],
        waiting_to_be_announced=waiting(site),
        refused=refused(site),
        held_back=held_back(site),
        catalogue=last_pass(site),
        licences=licences(),
        disk_free_gib=round(disk.free / 2**30, 1) if disk else None,
        disk_used_fraction=round(disk.used / disk.total, 3) if disk else None,
    )


def studio(site: Site) -> str | None:
    """Return where the studio is and whether it answers; None for a site without one."""
    if site.studio_url is None:
        return None
    address = urlsplit(site.studio_url)._replace(query="").geturl()
    try:
        answers = httpx.get(address, timeout=STUDIO_S).status_code < httpx.codes.INTERNAL_SERVER_ERROR
    except (httpx.HTTPError, httpx.InvalidURL):
        answers = False
    return f"{address} {'answers' if answers else 'does not answer'}"


def signs_of_life(client: SyncPrefectClient, site: Site) -> tuple[Sign, ...]:
    """Return when each service was last heard of."""
    workers = (worker_sign(client, pool) for pool in (POOL, UPKEEP_POOL, *((LIVE_POOL,) if site.live else ())))
    return (watcher_sign(site), *workers, janitor_sign(client))


def by_state(runs: Iterable[ListedRun]) -> dict[str, int]:
    """Return how many runs are in each state, by the state's name."""
    return dict(Counter(run.state for run in runs))


def watcher_sign(site: Site) -> Sign:
    """Return when the watcher of this site's ledger was last alive."""
    there = site.ledger is not None and site.ledger.is_file()
    heard = Ledger(site.ledger).heard_of("watcher") if there and site.ledger else None
    return Sign(service="watcher", seconds_ago=None if heard is None else round(time.time() - heard, 1))


def worker_sign(client: SyncPrefectClient, pool: str) -> Sign:
    """Return when any worker of a pool last sent its heartbeat."""
    try:
        workers = client.request(
            "POST", "/work_pools/{work_pool_name}/workers/filter", path_params={"work_pool_name": pool}, json={}
        ).json()
    except ObjectNotFound:
        workers = []
    heard = [ago(datetime.fromisoformat(one["last_heartbeat_time"])) for one in workers if one["last_heartbeat_time"]]
    return Sign(service=f"worker of {pool}", seconds_ago=min(heard, default=None))


def janitor_sign(client: SyncPrefectClient) -> Sign:
    """Return when a pass of the janitor last ended: the scheduler and the maintenance worker did their part."""
    found = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=["janitor"])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.COMPLETED]))
        ),
        sort=FlowRunSort.END_TIME_DESC,
        limit=1,
    )
    ended = found[0].end_time if found else None
    return Sign(service="janitor", seconds_ago=None if ended is None else ago(ended))


def ago(when: datetime) -> float:
    """Return how many seconds ago something was."""
    return round((datetime.now(UTC) - when).total_seconds(), 1)


def recent(client: SyncPrefectClient, *, flow: str = "solve-series") -> list[ListedRun]:
    """Return the newest runs of a flow, by default the pipeline, newest first."""
    found: list[Any] = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=SHOWN,
    )
    return [
        ListedRun(
            name=run.name,
            kind=run.state_type.value if run.state_type else "unknown",
            state=run.state.name if run.state else "unknown",
            message=(run.state.message or "")[:200] if run.state else "",
            tags=tuple(run.tags),
        )
        for run in found
    ]


def waiting(site: Site) -> int | None:
    """Return how many data sets wait for the server; None without a ledger."""
    if site.ledger is None or not Path(site.ledger).is_file():
        return None
    return len(Ledger(site.ledger).waiting())


def refused(site: Site) -> tuple[Refused, ...]:
    """Return the folders that arrived and give no run."""
    if site.ledger is None or not Path(site.ledger).is_file():
        return ()
    return tuple(Refused(path=one.path, reason=one.reason) for one in Ledger(site.ledger).refused())


def held_back(site: Site) -> tuple[HeldBack, ...]:
    """Return the data sets that wait until their proposals have room, and why."""
    if site.ledger is None or not Path(site.ledger).is_file():
        return ()
    return tuple(HeldBack(path=one.path, reason=one.held) for one in Ledger(site.ledger).waiting() if one.held)


def licences() -> dict[str, str]:
    """Return what is known of the licensed programs: until when, or that they are absent or cannot be used."""
    found = {}
    for program in LICENSED:
        result = probe(program)
        until = f"licensed until {result.licence_until}" if result.licence_until else "installed"
        found[program.name] = "not installed" if result.path is None else result.note or until
    return found


def table(answer: Status) -> str:
    """Return the status as text."""
    lines = [
        f"{answer.site}: "
        + (", ".join(f"{count} {name}" for name, count in sorted(answer.states.items())) or "no runs")
    ]
    lines += [f"  now   {run.name}: {run.state}" for run in answer.running]
    lines += [f"  ended {run.name}: {run.state}: {run.message}" for run in answer.last]
    heard = [f"{one.service} {said_ago(one.seconds_ago)}" for one in answer.signs]
    lines.append("last heard of: " + ", ".join(heard))
    lines.append("aperture studio: " + (answer.studio or "none: the site file names no `studio_url`"))
    if answer.waiting_to_be_announced is not None:
        lines.append(f"data sets that wait for their run: {answer.waiting_to_be_announced}")
    lines += [f"  {one.path} waits for room: {one.reason}" for one in answer.held_back[:LAST]]
    lines += [f"  and {len(answer.held_back) - LAST} more"] if len(answer.held_back) > LAST else []
    lines += [f"  no run for {one.path}: {one.reason}" for one in answer.refused]
    if answer.catalogue is not None:
        lines.append(f"catalogue: {summary_line(answer.catalogue, time.time())}")
        lines += [f"  {one.folder} is not registered: {one.reason}" for one in answer.catalogue.failures]
    if answer.disk_free_gib is not None:
        lines.append(f"disk of the runs: {answer.disk_free_gib} GiB free ({answer.disk_used_fraction:.0%} used)")
    lines += [f"{name}: {said}" for name, said in answer.licences.items() if said != "not installed"]
    if absent := [name for name, said in answer.licences.items() if said == "not installed"]:
        lines.append(f"licensed programs that are not installed: {', '.join(absent)}")
    return "\n".join(lines)


def said_ago(seconds: float | None) -> str:
    """Return how long ago something was, as a person says it."""
    if seconds is None:
        return "never"
    return f"{seconds:.0f} s ago" if seconds < 120 else f"{seconds / 60:.0f} min ago"
