"""A run that waits is answered from the studio: with a file that is there, unchanged, and only while it waits."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import httpx
import prefect.client.orchestration
import pytest
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import SetStateStatus

from flows.approval_files import WaitingApproval, accepted_file
from flows.studio.waiting import accept, waits
from tasks.model import InputError, ProgramFailedError, ProgramNotFoundError

RUN_ID = "7f0f5c0e-0000-4000-8000-000000000001"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "a-run"
    (folder / "studio").mkdir(parents=True)
    (folder / "studio" / "apertures.h5").write_bytes(b"as drawn")
    return folder


def ask(run: Path, what: str = "apertures") -> None:
    (run / "approval.json").write_text(WaitingApproval(flow_run=RUN_ID, asked=what).model_dump_json())


class Server:
    """A Prefect server that answers as it is told, and keeps what it was sent."""

    def __init__(self, state: StateType, status: SetStateStatus, fails: Exception | None = None) -> None:
        self.state, self.status, self.fails = state, status, fails
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def read_flow_run(self, flow_run: object) -> SimpleNamespace:
        if self.fails is not None:
            raise self.fails
        return SimpleNamespace(state_type=self.state)

    def resume_flow_run(self, flow_run: object, run_input: dict[str, Any]) -> SimpleNamespace:
        self.sent.append((str(flow_run), run_input))
        return SimpleNamespace(status=self.status, details="as told")


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Server]:
    def made(
        state: StateType = StateType.PAUSED,
        status: SetStateStatus = SetStateStatus.ACCEPT,
        fails: Exception | None = None,
    ) -> Server:
        server = Server(state, status, fails)
        monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
        monkeypatch.setattr(prefect.client.orchestration, "get_client", lambda **_: server)
        return server

    return made


def test_the_answer_names_a_copy_of_the_file_that_later_saves_do_not_change(
    run: Path, serve: Callable[..., Server]
) -> None:
    ask(run)
    server = serve()
    kept = accept(run, run / "studio" / "apertures.h5", who="ada")
    (run / "studio" / "apertures.h5").write_bytes(b"drawn on")
    assert kept.path.read_bytes() == b"as drawn"
    ((flow_run, answer),) = server.sent
    assert flow_run == RUN_ID
    assert answer["approve"] is True
    assert "ada" in answer["comment"]
    assert accepted_file(run, answer["corrected"]) == kept


def test_a_run_that_does_not_wait_is_not_answered(run: Path, serve: Callable[..., Server]) -> None:
    server = serve()
    drawn = run / "studio" / "apertures.h5"
    with pytest.raises(InputError, match="waits for no answer"):
        accept(run, drawn, who="ada")
    ask(run, "space-group-crystal-01")
    assert waits(run) is None
    (run / "approval.json").write_text("damaged")
    assert waits(run) is None
    ask(run)
    serve(state=StateType.RUNNING)
    with pytest.raises(InputError, match="no longer waits"):
        accept(run, drawn, who="ada")
    assert server.sent == []


def test_a_server_that_refuses_or_is_away_is_said(
    run: Path, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(run)
    drawn = run / "studio" / "apertures.h5"
    serve(status=SetStateStatus.REJECT)
    with pytest.raises(ProgramFailedError, match="refused the answer"):
        accept(run, drawn, who="ada")
    serve(fails=httpx.ConnectError("away"))
    with pytest.raises(ProgramNotFoundError, match="does not answer"):
        accept(run, drawn, who="ada")
    monkeypatch.delenv("PREFECT_API_URL")
    with pytest.raises(ProgramNotFoundError, match="PREFECT_API_URL"):
        accept(run, drawn, who="ada")


@pytest.mark.parametrize(
    "name", ["", "../secret.h5", "/etc/passwd", "studio/apertures.h5", "studio/../accepted-0123456789abcdef.h5"]
)
def test_an_answer_reaches_no_file_but_an_accepted_one(run: Path, name: str) -> None:
    with pytest.raises(InputError, match="not an aperture file of this run"):
        accepted_file(run, name)


def test_an_accepted_file_must_be_there_unchanged_and_no_link(run: Path) -> None:
    name = "studio/accepted-0123456789abcdef.h5"
    with pytest.raises(InputError, match="no such file"):
        accepted_file(run, name)
    (run / name).symlink_to(run / "studio" / "apertures.h5")
    with pytest.raises(InputError, match="no such file"):
        accepted_file(run, name)
    (run / name).unlink()
    (run / name).write_bytes(b"other bytes")
    with pytest.raises(InputError, match="changed since it was accepted"):
        accepted_file(run, name)
