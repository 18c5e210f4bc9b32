"""What is wrong is one line before anything starts: disk, port, database, password."""

import http.server
import shutil
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_SERVER_DATABASE_CONNECTION_URL,
    temporary_settings,
)

from flows.preflight import WRONG, check_database, check_password, check_port, check_room, stop_with
from tasks.model import ProgramNotFoundError, SettingsError


def test_a_full_disk_is_refused_with_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_room(tmp_path / "not" / "there" / "yet")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3 * 2**20))
    with pytest.raises(SettingsError, match="3 MiB are free on its disk"):
        check_room(tmp_path)


def test_a_port_that_is_taken_is_refused_and_one_that_is_free_is_left_free() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port} of 127.0.0.1: Address already in use"):
            check_port("127.0.0.1", port)
    for _ in range(2):
        check_port("127.0.0.1", port)


def database(path: Path, revision: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table alembic_version (version_num text)")
        connection.execute("insert into alembic_version values (?)", (revision,))
        connection.commit()


def looked_at(url: str) -> None:
    with temporary_settings({PREFECT_SERVER_DATABASE_CONNECTION_URL: url}):
        check_database()


def test_a_database_of_a_newer_prefect_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "prefect.db"
    looked_at(f"sqlite+aiosqlite:///{path}")
    assert not path.exists(), "a new one is made by Prefect"
    database(path, "0123456789ab")
    before = path.read_bytes()
    with pytest.raises(SettingsError, match="of a newer Prefect"):
        looked_at(f"sqlite+aiosqlite:///{path}")
    assert path.read_bytes() == before


def test_a_database_of_this_or_an_earlier_prefect_is_taken(tmp_path: Path) -> None:
    database(tmp_path / "earlier.db", "9725c1cbee35")
    looked_at(f"sqlite+aiosqlite:///{tmp_path / 'earlier.db'}")
    (tmp_path / "empty.db").touch()
    looked_at(f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}")


def test_a_database_that_does_not_answer_is_named_without_its_password() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(SettingsError, match=rf"127.0.0.1:{port}/prefect: does not answer") as refused:
        looked_at(f"postgresql+asyncpg://prefect:hidden@127.0.0.1:{port}/prefect")
    assert "hidden" not in refused.value.message


@contextmanager
def server_that_answers(status: int) -> Iterator[str]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the name that its class has
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}/api"
        made.shutdown()


def test_a_password_that_is_missing_or_wrong_is_said_at_start_and_a_server_that_is_away_is_not_waited_for() -> None:
    for status, password in ((401, None), (401, "apertura:of-another-server")):
        with (
            server_that_answers(status) as url,
            temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: password}),
            pytest.raises(ProgramNotFoundError, match="wants a password"),
        ):
            check_password()
    with server_that_answers(200) as url, temporary_settings({PREFECT_API_URL: url}):
        check_password()
    with temporary_settings({PREFECT_API_URL: url}):  # it is gone
        check_password()


def test_a_service_ends_in_a_line_that_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        stop_with(SettingsError("the port is taken", "take another"))
    assert ended.value.code == WRONG
    assert capsys.readouterr().err == "apertura: the port is taken\n  take another\n"
