"""A backup is whole or none, is made while others write, and overwrites nothing when it is restored."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL, temporary_settings

from flows import backup
from flows.ledger import Ledger
from flows.site import Site
from tasks.model import SettingsError


@pytest.fixture
def facility(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder with a database of one run and a ledger that knows it, and more."""
    with closing(sqlite3.connect(tmp_path / "prefect.db")) as connection:
        connection.executescript(
            "create table alembic_version (version_num text); insert into alembic_version values ('9725c1cbee35');"
            "create table flow_run (id text); insert into flow_run values ('run-1');"
        )
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.add("key", tmp_path / "a")
    ledger.announced("key", "run-1")
    site = Site(ledger=tmp_path / "ledger.db")
    monkeypatch.setattr(backup, "load_site", lambda: site)
    with temporary_settings({PREFECT_SERVER_DATABASE_CONNECTION_URL: f"sqlite+aiosqlite:///{tmp_path / 'prefect.db'}"}):
        yield tmp_path


def runs(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("select id from flow_run")]


def test_what_was_saved_comes_back_and_what_the_ledger_saw_since_is_seen_again(facility: Path) -> None:
    with closing(sqlite3.connect(facility / "ledger.db")) as writer:  # what is not yet written is no part of it
        writer.execute("begin immediate")
        assert backup.save(facility / "kept") == ["ledger.db", "prefect.db"]
    Ledger(facility / "ledger.db").add("later", facility / "b")
    (facility / "prefect.db").unlink()
    assert backup.restore(facility / "kept") == ["ledger.db", "prefect.db"]
    assert runs(facility / "prefect.db") == ["run-1"]
    assert [entry.key for entry in Ledger(facility / "ledger.db").everything()] == ["key"]
    assert Ledger(facility / "ledger.db").add("later", facility / "b") is True
    assert len(list(facility.glob("ledger.db.2*"))) >= 1, "the ledger that was there is kept"


def test_nothing_is_overwritten(facility: Path) -> None:
    backup.save(facility / "kept")
    with pytest.raises(SettingsError, match="is not empty"):
        backup.save(facility / "kept")
    before = (facility / "prefect.db").read_bytes()
    with pytest.raises(SettingsError, match="database holds something"):
        backup.restore(facility / "kept")
    assert (facility / "prefect.db").read_bytes() == before


def test_a_backup_that_was_broken_off_or_is_of_another_database_is_refused(facility: Path) -> None:
    backup.save(facility / "kept")
    with (
        temporary_settings(
            {PREFECT_SERVER_DATABASE_CONNECTION_URL: "postgresql+asyncpg://prefect@127.0.0.1:1/prefect"}
        ),
        pytest.raises(SettingsError, match="another kind of database"),
    ):
        backup.restore(facility / "kept")
    (facility / "kept" / "backup.json").unlink()
    with pytest.raises(SettingsError, match="not a whole backup"):
        backup.restore(facility / "kept")
