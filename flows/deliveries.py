"""Data sets that come again: delivered anew, renamed, moved, or put back after another version.

One whose run ended keeps it; one whose run failed gets another; of one that is under way the end is waited for.
"""

from enum import StrEnum
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound

from flows.ledger import Entry, Ledger, run_key

ATTEMPTS_MAX = 4
"""Of a run that crashes: the first, and three that the janitor schedules."""
NO_RETRY_TAG = "no-retry"
FAILED = {StateType.FAILED, StateType.CANCELLED}


class Fate(StrEnum):
    """What became of a run."""

    under_way = "under way"
    ended = "ended"
    failed = "failed"


def reconsider(ledger: Ledger) -> int:
    """Decide about everything that came again; return how many get another run. Raises when the server is away."""
    entries = ledger.again()
    if not entries:
        return 0
    again = 0
    with get_client(sync_client=True) as client:
        for entry in entries:
            again += decide(ledger, entry, fate_of(client, entry.run))
    return again


def decide(ledger: Ledger, entry: Entry, fate: Fate) -> bool:
    """Record what a data set that came again gets; return whether that is another run."""
    note = entry.note or "delivered again"
    if fate is Fate.failed:
        ledger.needs_another_run(entry, f"{note}: run {entry.deliveries + 1} of it, for the one before failed")
        return True
    if fate is Fate.ended:
        ledger.keeps_its_run(entry, f"{note}: it has its run")
    return False


def due(key: str) -> tuple[int, FlowRun | None]:
    """Return which delivery of a data set is due, and its run; None: it has none, for those of all before failed.

    Raises when the server is away.
    """
    delivery = 1
    with get_client(sync_client=True) as client:
        while (run := _run_of(client, run_key(key, delivery))) is not None and judged(run) is Fate.failed:
            delivery += 1
    return delivery, run


def _run_of(client: SyncPrefectClient, key: str) -> FlowRun | None:
    wanted = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[key]))
    found = client.read_flow_runs(flow_run_filter=wanted, limit=1)
    return found[0] if found else None


def fate_of(client: SyncPrefectClient, run: str | None) -> Fate:
    """Return what became of a run; one that was deleted counts as failed."""
    if run is None:
        return Fate.failed
    try:
        return judged(client.read_flow_run(UUID(run)))
    except ObjectNotFound:
        return Fate.failed


def judged(run: FlowRun) -> Fate:
    """Return what became of a run, by its state."""
    if run.state_type is StateType.COMPLETED:
        return Fate.ended
    given_up = run.state_type is StateType.CRASHED and (run.run_count >= ATTEMPTS_MAX or NO_RETRY_TAG in run.tags)
    return Fate.failed if given_up or run.state_type in FAILED else Fate.under_way
