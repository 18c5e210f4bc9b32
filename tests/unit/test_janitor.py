"""Which runs the janitor gives up: those whose process is known to be gone, never one that may live."""

import socket
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound

from flows import janitor
from flows.janitor import GAP_S, SignsOfLife

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HERE = f"{socket.gethostname()}-1"


class Answer:
    def __init__(self, content: Any) -> None:
        self._content = content

    def json(self) -> Any:
        return self._content


class FakeServer:
    """What the janitor asks of a server: the workers of a pool, and its own past passes."""

    def __init__(self, *, workers: list[str], passes_s_ago: list[float]) -> None:
        self._workers = workers
        self._passes = passes_s_ago

    def request(self, method: str, path: str, path_params: dict[str, str]) -> Answer:
        assert (method, path_params) == ("POST", {"work_pool_name": "apertura"})
        return Answer([{"name": name} for name in self._workers])

    def read_flow_runs(self, **_: Any) -> list[FlowRun]:
        return [FlowRun(flow_id=uuid4(), start_time=ago(seconds)) for seconds in self._passes]


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def run(*, since_s: float) -> FlowRun:
    state = State(type=StateType.RUNNING, timestamp=ago(since_s))
    return FlowRun(flow_id=uuid4(), work_pool_name="apertura", state=state)


def given_up(
    monkeypatch: pytest.MonkeyPatch,
    asked: FlowRun,
    *,
    workers: list[str],
    heartbeat_s_ago: float | None = None,
    passes_s_ago: list[float] | None = None,
    processes: tuple[UUID, ...] = (),
) -> bool:
    monkeypatch.setattr(janitor, "with_variable", lambda *_, **__: processes)
    monkeypatch.setattr(janitor, "variable_of", lambda process, _: str(process))
    heard = None if heartbeat_s_ago is None else ago(heartbeat_s_ago)
    monkeypatch.setattr(janitor, "last_heartbeat", lambda *_: heard)
    passes = [60.0 * number for number in range(1, 15)] if passes_s_ago is None else passes_s_ago
    server: Any = FakeServer(workers=workers, passes_s_ago=passes)
    return SignsOfLife(server, NOW).is_dead(asked, here_s=20.0, elsewhere_s=300.0)


def test_a_run_without_a_process_on_the_only_machine_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given_up(monkeypatch, run(since_s=25), workers=[HERE], heartbeat_s_ago=5)
    assert not given_up(monkeypatch, run(since_s=15), workers=[HERE])


@pytest.mark.parametrize("workers", [[HERE], ["other-1"], [HERE, "other-1"], []])
def test_a_run_whose_process_is_seen_is_never_given_up(monkeypatch: pytest.MonkeyPatch, workers: list[str]) -> None:
    asked = run(since_s=90_000)
    assert not given_up(monkeypatch, asked, workers=workers, heartbeat_s_ago=80_000, processes=(asked.id,))


@pytest.mark.parametrize("workers", [["other-1"], [HERE, "other-1"], [], ["ProcessWorker 1b2c"], [f"{HERE}-1"]])
def test_a_run_that_may_be_elsewhere_is_given_up_by_its_silence_alone(
    monkeypatch: pytest.MonkeyPatch, workers: list[str]
) -> None:
    assert not given_up(monkeypatch, run(since_s=5000), workers=workers, heartbeat_s_ago=200)
    assert given_up(monkeypatch, run(since_s=5000), workers=workers, heartbeat_s_ago=400)
    assert given_up(monkeypatch, run(since_s=400), workers=workers)


def test_silence_does_not_count_while_the_server_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    away = GAP_S + 10
    back = [5.0, 65.0, 125.0, 125.0 + away, 185.0 + away]
    assert not given_up(monkeypatch, run(since_s=5000), workers=["other-1"], heartbeat_s_ago=330, passes_s_ago=back)
    assert not given_up(monkeypatch, run(since_s=5000), workers=["other-1"], heartbeat_s_ago=330, passes_s_ago=[])
    long_back = [60.0 * number for number in range(1, 7)]
    assert given_up(monkeypatch, run(since_s=5000), workers=["other-1"], heartbeat_s_ago=5000, passes_s_ago=long_back)


def test_processes_of_deleted_runs_are_ended_and_those_of_another_facility_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept, deleted, cancelled, foreign = (uuid4() for _ in range(4))
    servers = dict.fromkeys((kept, deleted, cancelled), "http://here/api") | {foreign: "http://elsewhere/api"}

    class Server:
        def read_flow_run(self, run_id: UUID) -> FlowRun:
            if run_id in {deleted, foreign}:
                raise ObjectNotFound(KeyError(run_id))
            kind = StateType.CANCELLED if run_id == cancelled else StateType.RUNNING
            return FlowRun(flow_id=uuid4(), state=State(type=kind))

    variables = {"PREFECT__FLOW_RUN_ID": str, "PREFECT_API_URL": servers.get}
    ended: list[UUID] = []
    monkeypatch.setenv("PREFECT_API_URL", "http://here/api")
    monkeypatch.setattr(janitor, "with_variable", lambda *_, **__: tuple(servers))
    monkeypatch.setattr(janitor, "variable_of", lambda process, name: variables[name](process))
    monkeypatch.setattr(janitor, "end", lambda processes: ended.extend(processes) or len(processes))
    server: Any = Server()
    assert janitor.end_orphans(server) == 2
    assert set(ended) == {deleted, cancelled}
