"""The ledger enters every version of a data set once and forgets nothing."""

from pathlib import Path

from flows.ledger import Ledger


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
