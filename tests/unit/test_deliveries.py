"""What became of the run of a data set that comes again decides whether it gets another."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound

from flows import deliveries, dispatch
from flows.deliveries import ATTEMPTS_MAX, NO_RETRY_TAG, Fate, fate_of, judged
from flows.ledger import Ledger, run_key
from flows.site import Site
from tests.synthetic.arriving_series import drop


@pytest.mark.parametrize(
    ("kind", "count", "tags", "fate"),
    [
        (StateType.COMPLETED, 1, [], Fate.ended),
        (StateType.FAILED, 1, [], Fate.failed),
        (StateType.CANCELLED, 1, [], Fate.failed),
        (StateType.RUNNING, 1, [], Fate.under_way),
        (StateType.PAUSED, 1, [], Fate.under_way),
        (StateType.CRASHED, 1, [], Fate.under_way),
        (StateType.CRASHED, ATTEMPTS_MAX, [], Fate.failed),
        (StateType.CRASHED, 1, [NO_RETRY_TAG], Fate.failed),
    ],
)
def test_a_run_that_the_janitor_will_try_again_is_under_way(
    kind: StateType, count: int, tags: list[str], fate: Fate
) -> None:
    run = FlowRun(flow_id=uuid4(), state=State(type=kind), state_type=kind, run_count=count, tags=tags)
    assert judged(run) is fate


def test_a_deleted_run_counts_as_failed() -> None:
    class Server:
        def read_flow_run(self, run_id: object) -> FlowRun:
            raise ObjectNotFound(KeyError(run_id))

    server: Any = Server()
    assert fate_of(server, str(uuid4())) is Fate.failed
    assert fate_of(server, None) is Fate.failed


def test_an_event_posted_again_finds_the_run_and_makes_another_if_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: dict[str, FlowRun] = {}

    class Server:
        def read_flow_runs(self, *, flow_run_filter: Any, limit: int) -> list[FlowRun]:
            return [runs[key] for key in flow_run_filter.idempotency_key.any_ if key in runs][:limit]

    @contextmanager
    def client(**_: object) -> Iterator[Server]:
        yield Server()

    def announce(source: Path, key: str, *, previous: str | None = None, delivery: int = 1) -> str:
        made = runs.setdefault(run_key(key, delivery), FlowRun(flow_id=uuid4(), state_type=StateType.RUNNING))
        return str(made.id)

    site = Site(incoming=(tmp_path / "incoming",), runs=tmp_path / "runs", ledger=tmp_path / "ledger.db")
    source = str(drop(tmp_path / "incoming" / "a"))
    monkeypatch.setattr(deliveries, "get_client", client)
    monkeypatch.setattr(dispatch, "announce_run", announce)
    monkeypatch.setattr(dispatch, "load_site", lambda: site)
    first = dispatch.dispatch.fn(source)
    assert [dispatch.dispatch.fn(source) for _ in range(2)] == [first, first]
    (failed,) = runs.values()
    failed.state_type = StateType.FAILED
    second = dispatch.dispatch.fn(source)
    assert second != first
    assert dispatch.dispatch.fn(source) == second
    (entry,) = Ledger(tmp_path / "ledger.db").everything()
    assert (entry.state, entry.run, entry.deliveries) == ("announced", second, 2)
    assert entry.note == "posted again: run 2 of it, for the one before failed"
