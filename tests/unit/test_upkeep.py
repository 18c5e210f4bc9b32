"""The worker of the maintenance pool: runs without a process give its slots back, at its start and while it works."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from flows import janitor, upkeep
from flows.site import POOL, UPKEEP_POOL


class FakeServer:
    """Holds runs, and what they were set to."""

    def __init__(self, runs: list[FlowRun]) -> None:
        self._runs = runs
        self.ended: dict[UUID, StateType] = {}

    def read_flow_runs(self, *, flow_run_filter: Any, limit: int, offset: int) -> list[FlowRun]:
        asked = flow_run_filter.state.type.any_
        return [run for run in self._runs if run.state is not None and run.state.type in asked][offset:]

    def set_flow_run_state(self, run: UUID, state: State[Any], *, force: bool) -> None:
        assert force, "its rules would let no Pending run crash"
        self.ended[run] = state.type


def held(kind: StateType, *, since_s: float, pool: str = UPKEEP_POOL) -> FlowRun:
    state = State(type=kind, timestamp=datetime.now(UTC) - timedelta(seconds=since_s))
    return FlowRun(id=uuid4(), flow_id=uuid4(), deployment_id=uuid4(), work_pool_name=pool, state=state)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Any:
    def serving(*runs: FlowRun, alive: tuple[FlowRun, ...] = ()) -> FakeServer:
        server = FakeServer(list(runs))

        @contextmanager
        def client(**_: Any) -> Iterator[FakeServer]:
            yield server

        monkeypatch.setattr(upkeep, "get_client", client)
        monkeypatch.setattr(janitor, "with_variable", lambda *_, **__: [str(run.id) for run in alive])
        monkeypatch.setattr(janitor, "variable_of", lambda process, _: process)
        return server

    return serving


def test_at_the_start_every_run_of_the_pool_without_a_process_is_ended(serve: Any) -> None:
    lost = held(StateType.PENDING, since_s=1)
    cancelling = held(StateType.CANCELLING, since_s=1)
    living = held(StateType.RUNNING, since_s=900)
    server = serve(lost, cancelling, living, held(StateType.PENDING, since_s=900, pool=POOL), alive=(living,))
    assert upkeep.free_slots() == 2
    assert server.ended == {lost.id: StateType.CRASHED, cancelling.id: StateType.CANCELLED}


def test_while_it_works_a_run_that_is_about_to_get_its_process_is_left_alone(serve: Any) -> None:
    lost = held(StateType.PENDING, since_s=upkeep.LOST_S + 5)
    server = serve(lost, held(StateType.PENDING, since_s=upkeep.LOST_S / 4))
    assert upkeep.free_slots(older_than_s=upkeep.LOST_S) == 1
    assert set(server.ended) == {lost.id}


def test_a_server_that_is_busy_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def look(*, older_than_s: float) -> int:
        looks.append(older_than_s)
        if len(looks) == 1:
            raise httpx.ReadTimeout("database is locked")
        return 0

    def rest(_: float) -> None:
        if len(looks) == 2:
            raise SystemExit

    monkeypatch.setattr(upkeep, "free_slots", look)
    monkeypatch.setattr(time, "sleep", rest)
    with pytest.raises(SystemExit):
        upkeep.keep_slots_free()
    assert looks == [upkeep.LOST_S] * 2
