"""A drained pool stays closed, and a run that its worker had already been given is waited for."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from prefect.exceptions import ObjectNotFound

from tasks.model import ProgramTimeoutError, SettingsError

module = importlib.import_module("flows.drain")


class Server:
    """Counts active runs as it is told, the last for ever; remembers how the pool was left."""

    def __init__(self, counts: list[int]) -> None:
        self._counts = counts
        self.closed: list[bool] = []

    def update_work_pool(self, _: str, update: Any) -> None:
        self.closed.append(update.is_paused)

    def count_flow_runs(self, **_: object) -> int:
        return self._counts.pop(0) if len(self._counts) > 1 else self._counts[0]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Any:
    def serve(*counts: int) -> Server:
        server = Server(list(counts))

        @contextmanager
        def client(**_: object) -> Iterator[Server]:
            yield server

        monkeypatch.setattr(module, "get_client", client)
        monkeypatch.setattr(module, "LOOK_S", 0.001)
        return server

    return serve


def test_a_run_taken_just_before_the_pool_was_closed_is_waited_for(served: Any) -> None:
    server = served(0, 0, 1, 1, 0)
    assert module.drain("apertura", limit_s=60.0) == 1
    assert server.closed == [True]


def test_a_pool_whose_runs_do_not_end_stays_closed(served: Any) -> None:
    server = served(2)
    with pytest.raises(ProgramTimeoutError, match="2 runs of pool apertura are still active"):
        module.drain("apertura", limit_s=0.01)
    assert server.closed == [True]


def test_it_is_opened_when_that_is_asked(served: Any) -> None:
    server = served(0)
    module.open_again("apertura")
    assert server.closed == [False]


def test_a_pool_that_is_not_there_is_named(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise ObjectNotFound(RuntimeError("404"))

    monkeypatch.setattr(served(0), "update_work_pool", none)
    with pytest.raises(SettingsError, match="--pool aperture: the server has none"):
        module.open_again("aperture")
