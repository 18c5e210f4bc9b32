"""The ledger enters every version of a data set once and forgets nothing."""

import sqlite3
from pathlib import Path

import pytest

from flows.ledger import VERSION, Ledger, announced_files
from tasks.model import SettingsError


def test_a_data_set_is_new_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    assert ledger.add("key", tmp_path / "a") is True
    assert ledger.add("key", tmp_path / "a") is False
    assert [entry.key for entry in ledger.waiting()] == ["key"]


def test_an_announced_data_set_waits_no_more_even_after_a_restart(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.db").add("key", tmp_path / "a")
    Ledger(tmp_path / "ledger.db").announced("key", "run-1")
    again = Ledger(tmp_path / "ledger.db")
    assert again.waiting() == []
    entry = again.find("key")
    assert entry is not None
    assert entry.run == "run-1"


def test_a_failed_announcement_stays_ready_with_its_error(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.add("key", tmp_path / "a")
    ledger.failed("key", "ConnectError")
    (entry,) = ledger.waiting()
    assert entry.error == "ConnectError"


def test_a_changed_data_set_is_linked_to_its_earlier_version(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.add("old", tmp_path / "a")
    ledger.add("new", tmp_path / "a")
    entry = ledger.find("new")
    assert entry is not None
    assert entry.previous == "old"


def test_a_deleted_ledger_is_made_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.add("key", tmp_path / "a")
    for path in tmp_path.glob("ledger.db*"):
        path.unlink()
    assert ledger.add("key", tmp_path / "a") is True


OF_VERSION_0 = """
create table datasets (
    key text primary key, path text not null, seen real not null, state text not null default 'ready',
    announced real, tries integer not null default 0, error text, run text, previous text
);
insert into datasets (key, path, seen, state, run) values ('old', '/incoming/a', 1.0, 'announced', 'run-1');
"""


def test_a_ledger_of_an_earlier_version_goes_on_in_both(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(OF_VERSION_0)
    ledger = Ledger(path)
    (entry,) = ledger.everything()
    assert (entry.run, entry.deliveries, entry.note) == ("run-1", 1, None)
    assert ledger.add("new", Path("/incoming/a")) is True
    with sqlite3.connect(path) as connection:  # as the earlier version adds one
        connection.execute("insert or ignore into datasets (key, path, seen, previous) values ('x', '/b', 3.0, null)")
    assert [one.key for one in ledger.waiting()] == ["x", "new"]


def test_a_ledger_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger(path).add("key", tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"pragma user_version = {VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(SettingsError, match="of a newer apertura"):
        Ledger(path)
    assert path.read_bytes() == before


def test_what_is_no_ledger_is_refused_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_text("lunch at noon " * 100)
    with pytest.raises(SettingsError, match=r"ledger\.db: cannot be used: file is not a database"):
        Ledger(path)


def test_the_files_of_an_announcement_are_read_without_any_right_to_write(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger(path).add("key", tmp_path, files={"a.h5": "1f"})
    assert announced_files(path, "key") == {"a.h5": "1f"}
    assert announced_files(path, "other") == {}
    assert announced_files(tmp_path / "none.db", "key") == {}
    assert not (tmp_path / "none.db").exists()
