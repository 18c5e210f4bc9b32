"""Draining a work pool before its worker is stopped: a flow whose worker is stopped stays "running" for ever.

The pool stays closed: opened before the worker is gone, it would give it one more run, which is lost. It is opened by
the next start (`facility up`, the worker's unit) or by ``apertura drain --open``.
"""

import time

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound

from tasks.model import ProgramTimeoutError, SettingsError

ACTIVE = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
LOOK_S, IDLE_LOOKS = 1.0, 5
"""A worker that was given a run just before its pool was closed says so within a second: looked at for five. Chosen,
not measured."""


def drain(pool: str, *, limit_s: float) -> int:
    """Close a work pool and wait until none of its runs is active; return how many there were at the start.

    Parameters
    ----------
    pool
        Name of the work pool.
    limit_s
        How long to wait.

    Raises
    ------
    SettingsError
        If there is no pool of this name.
    ProgramTimeoutError
        If runs are still active at the end; the pool stays closed then, too.
    """
    pools = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
    active = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=ACTIVE)))
    with get_client(sync_client=True) as client:
        set_paused(client, pool, paused=True)
        first = left = client.count_flow_runs(flow_run_filter=active, work_pool_filter=pools)
        idle, end = 0, time.monotonic() + limit_s
        while idle < IDLE_LOOKS and (time.monotonic() < end or not left):
            time.sleep(LOOK_S)
            left = client.count_flow_runs(flow_run_filter=active, work_pool_filter=pools)
            idle = 0 if left else idle + 1
            first = max(first, left)
        if left:
            raise ProgramTimeoutError(f"{left} runs of pool {pool} are still active", "the pool stays closed")
    return first


def open_again(pool: str) -> None:
    """Let a pool accept work again.

    Raises
    ------
    SettingsError
        If there is none of this name.
    """
    with get_client(sync_client=True) as client:
        set_paused(client, pool, paused=False)


def set_paused(client: SyncPrefectClient, pool: str, *, paused: bool) -> None:
    """Close or open a pool.

    Raises
    ------
    SettingsError
        If there is none of this name.
    """
    try:
        client.update_work_pool(pool, WorkPoolUpdate(is_paused=paused))
    except ObjectNotFound as error:
        raise SettingsError(f"--pool {pool}: the server has none of this name", "`python -m flows.deploy`") from error
