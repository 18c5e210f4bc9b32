"""Draining a work pool before its worker is stopped: a flow whose worker is stopped stays "running" for ever."""

import time

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType

from tasks.model import ProgramTimeoutError

ACTIVE = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


def drain(pool: str, *, limit_s: float, resume: bool) -> int:
    """Pause a work pool and wait until none of its runs is active; return how many there were at the start.

    Parameters
    ----------
    pool
        Name of the work pool.
    limit_s
        How long to wait.
    resume
        Let the pool accept work again afterwards (its worker then takes it up when started again).

    Raises
    ------
    ProgramTimeoutError
        If runs are still active at the end; the pool stays paused.
    """
    pools = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
    active = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=ACTIVE)))
    with get_client(sync_client=True) as client:
        client.update_work_pool(pool, WorkPoolUpdate(is_paused=True))
        first = left = client.count_flow_runs(flow_run_filter=active, work_pool_filter=pools)
        end = time.monotonic() + limit_s
        while left and time.monotonic() < end:
            time.sleep(1.0)
            left = client.count_flow_runs(flow_run_filter=active, work_pool_filter=pools)
        if left:
            raise ProgramTimeoutError(f"{left} runs of pool {pool} are still active", "the pool stays paused")
        if resume:
            client.update_work_pool(pool, WorkPoolUpdate(is_paused=False))
    return first
