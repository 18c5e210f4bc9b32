"""Scheduled reconciliation: runs whose process is gone, bounded retries of crashes, data sets nobody announced.

State-aware and delayed on purpose: the documented heartbeat automation marks suspended runs as crashed, and
rescheduling at once races with the worker's own report. What a run's process does is seen, not guessed, where it is on
this machine: a live process is never given up, however long the server did not hear of it.
"""

import os
import re
import socket
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run as this_run
from prefect.states import Cancelled, Crashed, Scheduled
from pydantic import Field

from adapters.host.processes import end, variable_of, with_variable
from flows.approval import Approval, default_answer
from flows.arrivals import Watcher
from flows.arrivals_page import publish_arrivals
from flows.conditions import seen, tell
from flows.deliveries import ATTEMPTS_MAX, NO_RETRY_TAG
from flows.engine import RUN_VARIABLE
from flows.ledger import Ledger
from flows.site import load_site
from tasks.model import Document

PAGE = 200
"""Runs asked for at once: the most that Prefect 3.8 gives."""
FORGET_S = 86400.0
"""A crash that old is history: somebody has looked at it, or nobody wants it."""
MAINTENANCE = ("janitor", "sweep", "catalogue")
"""Flows of which the next scheduled run does what a lost one would have done."""
ENGINE = "flows.engine"
"""In the command of the process of a run, and not in those of the programs that it starts."""
SERVER_VARIABLE = "PREFECT_API_URL"
LATE_S = 30.0
"""A maintenance run that has waited so long is dropped: this pass does its work (passes come every 60 s)."""
GAP_S = 150.0
"""Between two passes, beyond which the server was away: two intervals of 60 s and the start of a process."""


class JanitorReport(Document):
    """What one pass did, by run name."""

    zombies: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()
    retried: tuple[str, ...] = ()
    gave_up: tuple[str, ...] = ()
    unanswered: tuple[str, ...] = ()
    orphans: int = 0
    data_sets: int = 0
    told: tuple[str, ...] = ()


@flow(name="janitor")
def janitor(
    zombie_after_s: float = Field(
        default=300.0, gt=0, description="without a heartbeat, of a run whose machine is not this one; heard all along"
    ),
    gone_after_s: float = Field(
        default=20.0, ge=0, description="in its state, of a run that has no process on the only machine with workers"
    ),
    pending_after_s: float = Field(
        default=120.0, gt=0, description="taken by a worker, but not begun: the worker died between the two"
    ),
    max_attempts: int = Field(
        default=ATTEMPTS_MAX, ge=1, description="runs of a flow in all: the first and the retries"
    ),
    retry_delay_s: float = Field(default=10.0, ge=0),
    settle_s: float = Field(default=20.0, ge=0, description="a crash is left to its worker for so long"),
) -> JanitorReport:
    """Mark runs without a living process as crashed, retry crashed ones at most three times, announce what waits."""
    log = get_run_logger()
    now = datetime.now(UTC)
    with get_client(sync_client=True) as client:
        drop_late(client, now)
        watch = SignsOfLife(client, now)
        limits = {
            StateType.RUNNING: (gone_after_s, zombie_after_s),
            StateType.PENDING: (pending_after_s, max(pending_after_s, zombie_after_s)),
            StateType.CANCELLING: (gone_after_s, zombie_after_s),
        }
        dead = [
            run
            for state, (here_s, elsewhere_s) in limits.items()
            for run in deployed(client, state)
            if watch.is_dead(run, here_s=here_s, elsewhere_s=elsewhere_s)
        ]
        buried = [bury(client, run, now) for run in dead]
        retried, gave_up = [], []
        for run in deployed(client, StateType.CRASHED):
            age = (now - run.state.timestamp).total_seconds() if run.state else 0.0
            mine = any(run.id == other.id for other in dead)
            if (age < settle_s and not mine) or age > FORGET_S or NO_RETRY_TAG in run.tags or is_maintenance(run):
                continue
            if run.run_count >= max_attempts:
                gave_up.append(run.name)
            elif try_again(client, run, now + timedelta(seconds=retry_delay_s)):
                retried.append(run.name)
        waiting = deployed(client, StateType.PAUSED)
        unanswered = tuple(answer_for(client, run) for run in waiting if overdue(run, now))
        orphans = end_orphans(client)
        conditions = seen(load_site(), pipeline(deployed(client, StateType.SCHEDULED)), waiting, now)
        announced = announce_waiting()
        publish_arrivals(client, load_site())
    tell(conditions)
    report = JanitorReport(
        zombies=tuple(run.name for run, state in buried if state is StateType.CRASHED),
        cancelled=tuple(run.name for run, state in buried if state is StateType.CANCELLED),
        retried=tuple(retried),
        gave_up=tuple(gave_up),
        unanswered=unanswered,
        orphans=orphans,
        data_sets=announced,
        told=tuple(f"{one.event}: {one.name}" for one in conditions),
    )
    log.info("%s", report)
    return report


class SignsOfLife:
    """What is known of the processes of runs: seen on this machine, heard of from others.

    Where all workers of a pool are on this machine, the process of each of its runs is seen here or is gone. Of other
    machines there are heartbeats only, and their absence says something only for the time in which the server could
    hear them: since the last gap between two passes of the janitor.
    """

    def __init__(self, client: SyncPrefectClient, now: datetime) -> None:
        self._client = client
        self._now = now
        self._seen = {variable_of(process, RUN_VARIABLE) for process in with_variable(RUN_VARIABLE, command=ENGINE)}
        self._pools: dict[str, bool] = {}
        self._heard_since: datetime | None = None

    def is_dead(self, run: FlowRun, *, here_s: float, elsewhere_s: float) -> bool:
        """Tell whether the process of a run that should have one is gone."""
        if run.state is None or self.has_process(run):
            return False
        age_s = (self._now - run.state.timestamp).total_seconds()
        if self._only_here(run.work_pool_name):
            return age_s > here_s
        since = max(last_heartbeat(self._client, run.id) or run.state.timestamp, run.state.timestamp, self._heard())
        return (self._now - since).total_seconds() > elsewhere_s

    def has_process(self, run: FlowRun) -> bool:
        """Tell whether the process of a run is on this machine."""
        return str(run.id) in {*self._seen, str(this_run.id)}

    def _only_here(self, pool: str | None) -> bool:
        """Tell whether every worker that a pool has or lately had bears the name of this machine."""
        if pool is None:
            return False
        if pool not in self._pools:
            place = {"work_pool_name": pool}
            workers = self._client.request("POST", "/work_pools/{work_pool_name}/workers/filter", path_params=place)
            names = [str(worker["name"]) for worker in workers.json()]
            mine = re.compile(rf"{re.escape(socket.gethostname())}-(\d+|upkeep)")
            self._pools[pool] = bool(names) and all(mine.fullmatch(name) for name in names)
        return self._pools[pool]

    def _heard(self) -> datetime:
        """Return since when passes of the janitor follow each other without a gap."""
        if self._heard_since is None:
            passes = self._client.read_flow_runs(
                flow_filter=FlowFilter(name=FlowFilterName(any_=["janitor"])),
                flow_run_filter=FlowRunFilter(
                    state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.COMPLETED]))
                ),
                sort=FlowRunSort.EXPECTED_START_TIME_DESC,
                limit=20,
            )
            self._heard_since = self._now
            for begun in sorted((run.start_time for run in passes if run.start_time), reverse=True):
                if (self._heard_since - begun).total_seconds() > GAP_S:
                    break
                self._heard_since = begun
        return self._heard_since


def drop_late(client: SyncPrefectClient, now: datetime) -> None:
    """Delete maintenance runs that are late: one pass does the work of all that were missed while nothing ran."""
    late = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=list(MAINTENANCE))),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            expected_start_time=FlowRunFilterExpectedStartTime(before_=now - timedelta(seconds=LATE_S)),
        ),
        limit=PAGE,
    )
    for run in late:
        if str(run.id) != str(this_run.id):
            client.delete_flow_run(run.id)


def pipeline(runs: list[FlowRun]) -> list[FlowRun]:
    """Return the runs that somebody waits for: not those that a schedule makes."""
    return [run for run in runs if not run.auto_scheduled]


def is_maintenance(run: FlowRun) -> bool:
    """Tell whether a lost run is made up for by the next scheduled one."""
    return "scheduled-maintenance" in run.tags


def end_orphans(client: SyncPrefectClient) -> int:
    """End the processes on this machine of runs that somebody deleted or cancelled; return how many.

    Only those that talk to the same server: of the runs of another facility on this machine it knows nothing.
    """
    ended = 0
    for process in with_variable(RUN_VARIABLE):
        name = variable_of(process, RUN_VARIABLE)
        if name is None or name == str(this_run.id):
            continue
        if variable_of(process, SERVER_VARIABLE) != os.environ.get(SERVER_VARIABLE):
            continue
        try:
            run = client.read_flow_run(UUID(name))
        except ObjectNotFound:
            ended += end([process])
        except ValueError:
            continue
        else:
            if run.state is not None and run.state.type is StateType.CANCELLED:
                ended += end([process])
    return ended


@flow(name="sweep")
def sweep() -> int:
    """Announce every complete data set of the incoming folders; those that have a run keep it."""
    return catch_up()


def catch_up() -> int:
    """Look at the incoming folders once and announce what waits; return how many were announced.

    It reads up to 64 MiB of every file that lies there, which a pass of the janitor each minute must not.
    """
    site = load_site()
    if site.incoming and site.ledger is not None:
        Watcher(site, Ledger(site.ledger)).look()
    return announce_waiting()


def announce_waiting() -> int:
    """Announce what the ledger has and the server does not know; return how many were announced."""
    site = load_site()
    return 0 if site.ledger is None else Watcher(site, Ledger(site.ledger)).announce()


def deployed(client: SyncPrefectClient, state: StateType) -> list[FlowRun]:
    """Return all runs of deployments in one type of state, page by page."""
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[state])))
    runs: list[FlowRun] = []
    while page := client.read_flow_runs(flow_run_filter=wanted, limit=PAGE, offset=len(runs)):
        runs += page
        if len(page) < PAGE:
            break
    return [run for run in runs if run.deployment_id is not None]


def bury(client: SyncPrefectClient, run: FlowRun, now: datetime) -> tuple[FlowRun, StateType]:
    """End one run that has no process: cancelled if that was asked for, crashed otherwise."""
    cancelled = run.state is not None and run.state.type is StateType.CANCELLING
    kind = Cancelled if cancelled else Crashed
    client.set_flow_run_state(run.id, kind(message=f"janitor: no process at {now:%F %T} UTC"), force=True)
    return run, StateType.CANCELLED if cancelled else StateType.CRASHED


def try_again(client: SyncPrefectClient, run: FlowRun, when: datetime) -> bool:
    """Schedule a crashed run anew, unless somebody has done so since it was listed."""
    if client.read_flow_run(run.id).state_type is not StateType.CRASHED:
        return False
    state: State[Any] = Scheduled(name="AwaitingRetry", message="the janitor tries again", scheduled_time=when)
    client.set_flow_run_state(run.id, state, force=True)
    return True


def overdue(run: FlowRun, now: datetime) -> bool:
    """Tell whether the time limit of the approval that a suspended run waits for has passed."""
    asked = run.parameters.get("approval")
    if run.state is None or not isinstance(asked, dict):
        return False
    return (now - run.state.timestamp).total_seconds() / 3600.0 > Approval.model_validate(asked).limit_h


def answer_for(client: SyncPrefectClient, run: FlowRun) -> str:
    """Resume a run that nobody answered with its stated default; return its name."""
    approval = Approval.model_validate(run.parameters["approval"])
    client.resume_flow_run(run.id, run_input=default_answer(approval.default))
    return run.name


def last_heartbeat(client: SyncPrefectClient, run_id: UUID) -> datetime | None:
    """Return when a run was last heard of; None if never in two days."""
    wanted = EventFilter(
        event=EventNameFilter(name=["prefect.flow-run.heartbeat"]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run_id}"]),
        occurred=EventOccurredFilter(since=datetime.now(UTC) - timedelta(days=2)),
    )
    answer = client._client.post("/events/filter", json={"filter": wanted.model_dump(mode="json"), "limit": 1})  # noqa: SLF001 the client has no call for it
    answer.raise_for_status()
    events = answer.json()["events"]
    return datetime.fromisoformat(events[0]["occurred"]) if events else None
