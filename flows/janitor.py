"""Scheduled reconciliation: runs whose process is gone, bounded retries of crashes, data sets nobody announced.

State-aware and delayed on purpose: the documented heartbeat automation marks suspended runs as crashed, and
rescheduling at once races with the worker's own report.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter
from prefect.states import Crashed, Scheduled
from pydantic import Field

from flows.approval import Approval, default_answer
from flows.arrivals import Watcher
from flows.ledger import Ledger
from flows.site import load_site
from tasks.model import Document

PAGE = 200
FORGET_S = 86400.0
NO_RETRY_TAG = "no-retry"


class JanitorReport(Document):
    """What one pass did, by run name."""

    zombies: tuple[str, ...] = ()
    retried: tuple[str, ...] = ()
    gave_up: tuple[str, ...] = ()
    unanswered: tuple[str, ...] = ()
    data_sets: int = 0


@flow(name="janitor")
def janitor(
    zombie_after_s: float = Field(default=120.0, gt=0, description="without a heartbeat; more than two intervals"),
    pending_after_s: float = Field(
        default=600.0, gt=0, description="taken by a worker, but not begun: the worker died between the two"
    ),
    max_attempts: int = Field(default=4, ge=1, description="runs of a flow in all: the first and the retries"),
    retry_delay_s: float = Field(default=30.0, ge=0),
    settle_s: float = Field(default=20.0, ge=0, description="a crash is left to its worker for so long"),
) -> JanitorReport:
    """Mark runs without a living process as crashed, retry crashed ones at most three times, catch up on arrivals."""
    log = get_run_logger()
    now = datetime.now(UTC)
    with get_client(sync_client=True) as client:
        limits = {StateType.RUNNING: zombie_after_s, StateType.PENDING: pending_after_s}
        zombies = tuple(
            bury(client, run, now)
            for state, limit_s in limits.items()
            for run in deployed(client, state)
            if dead(client, run, now, limit_s)
        )
        retried, gave_up = [], []
        for run in deployed(client, StateType.CRASHED):
            age = (now - run.state.timestamp).total_seconds() if run.state else 0.0
            if age < settle_s or age > FORGET_S or NO_RETRY_TAG in run.tags:
                continue
            if run.run_count >= max_attempts:
                gave_up.append(run.name)
            elif try_again(client, run, now + timedelta(seconds=retry_delay_s)):
                retried.append(run.name)
        waiting = deployed(client, StateType.PAUSED)
        unanswered = tuple(answer_for(client, run) for run in waiting if overdue(run, now))
    report = JanitorReport(
        zombies=zombies,
        retried=tuple(retried),
        gave_up=tuple(gave_up),
        unanswered=unanswered,
        data_sets=catch_up(),
    )
    log.info("%s", report)
    return report


@flow(name="sweep")
def sweep() -> int:
    """Announce every complete data set of the incoming folders; those that have a run keep it."""
    return catch_up()


def catch_up() -> int:
    """Look at the incoming folders once and announce what waits; return how many were announced."""
    site = load_site()
    if not site.incoming or site.ledger is None:
        return 0
    watcher = Watcher(site, Ledger(site.ledger))
    watcher.look()
    return watcher.announce()


def deployed(client: SyncPrefectClient, state: StateType) -> list[FlowRun]:
    """Return all runs of deployments in one type of state, page by page."""
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[state])))
    runs: list[FlowRun] = []
    while page := client.read_flow_runs(flow_run_filter=wanted, limit=PAGE, offset=len(runs)):
        runs += page
        if len(page) < PAGE:
            break
    return [run for run in runs if run.deployment_id is not None]


def dead(client: SyncPrefectClient, run: FlowRun, now: datetime, zombie_after_s: float) -> bool:
    """Tell whether a flow that runs or should begin has been silent for too long."""
    if run.state is None:
        return False
    last = max(last_heartbeat(client, run.id) or run.state.timestamp, run.state.timestamp)
    return (now - last).total_seconds() > zombie_after_s


def bury(client: SyncPrefectClient, run: FlowRun, now: datetime) -> str:
    """Mark one run as crashed; return its name."""
    client.set_flow_run_state(run.id, Crashed(message=f"janitor: no heartbeat at {now:%F %T} UTC"))
    return run.name


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
