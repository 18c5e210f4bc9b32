"""The page of arrivals: every folder that was seen has its row, and text from outside is text."""

import re
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest

from flows import arrivals
from flows.arrivals import Watcher
from flows.arrivals_page import SHOWN, page
from flows.ledger import Ledger
from flows.site import Site
from tests.synthetic.arriving_series import drop

RUN = "01a22d3b-32b4-776e-80ff-eac8ce27123c"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.db")


@pytest.fixture
def watch(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Watcher:
    (tmp_path / "incoming").mkdir()
    monkeypatch.setattr(arrivals, "announce_run", lambda source, key, **_: RUN)
    monkeypatch.setattr(arrivals, "tell_refusal", lambda refusal: None)
    monkeypatch.setattr(arrivals, "one_client", nullcontext)
    return Watcher(Site(incoming=(tmp_path / "incoming",)), ledger)


def rows(ledger: Ledger, states: dict[str, str] | None = None) -> dict[str, tuple[str, str]]:
    return {row.folder.rsplit("/", 1)[-1]: (row.state, row.what) for row in page(ledger, states or {})}


def test_a_folder_is_incomplete_until_its_files_are_there_and_then_has_its_run(
    tmp_path: Path, watch: Watcher, ledger: Ledger
) -> None:
    folder = drop(tmp_path / "incoming" / "a", listed=11)
    watch.look()
    state, what = rows(ledger)["a"]
    assert state == "incomplete"
    assert "0" in what
    assert "and 3 more" in what
    since = ledger.incomplete()[0].since
    for name in ("0.h5", "1.h5", "2.h5"):
        (folder / name).write_bytes(b"0123456789a")
    watch.look()
    assert "more" not in rows(ledger)["a"][1]
    assert ledger.incomplete()[0].since == since
    for path in folder.glob("*.h5"):
        path.write_bytes(b"0123456789a")
    watch.look()
    assert rows(ledger)["a"][0] == "waits for the server"
    watch.announce()
    assert rows(ledger, {RUN: "Solved"})["a"][0] == "Solved"
    assert rows(ledger)["a"][0] == "its run was deleted"
    assert f"[run](/runs/flow-run/{RUN})" in page(ledger, {})[0].markdown()


def test_a_copy_and_a_new_version_are_said_beside_their_run(tmp_path: Path, watch: Watcher, ledger: Ledger) -> None:
    drop(tmp_path / "incoming" / "a")
    watch.look()
    drop(tmp_path / "incoming" / "b")
    watch.look()
    assert "the same is at" in rows(ledger)["a"][1]
    assert "b" not in rows(ledger)
    drop(tmp_path / "incoming" / "a", b"another version")
    watch.look()
    assert any("version 2" in row.what for row in page(ledger, {}))


def test_a_watcher_that_begins_anew_forgets_what_is_no_longer_incomplete(
    tmp_path: Path, watch: Watcher, ledger: Ledger
) -> None:
    ledger.set_incomplete({tmp_path / "gone": "0.h5"})
    watch.look()
    assert ledger.incomplete() == []


def test_a_refused_folder_comes_first_and_its_name_is_no_markdown(
    tmp_path: Path, watch: Watcher, ledger: Ledger
) -> None:
    drop(tmp_path / "incoming" / "a")
    bad = tmp_path / "incoming" / "[x](http:example.org) | <img>"
    bad.mkdir()
    ledger.refuse(bad, "because of `that` | and this")
    watch.look()
    first = page(ledger, {})[0]
    assert first.state == "refused"
    row = first.markdown()
    assert "<img>" not in row
    assert "](" not in row
    assert len(re.findall(r"(?<!\\)\|", row)) == 6, "five cells"


def test_what_a_page_shows_is_remembered(ledger: Ledger) -> None:
    assert ledger.shown("arrivals") is None
    for digest in ("one", "two"):
        ledger.page_shown("arrivals", digest)
        assert ledger.shown("arrivals") == digest


def test_many_refusals_leave_room_for_all_others(tmp_path: Path, watch: Watcher, ledger: Ledger) -> None:
    drop(tmp_path / "incoming" / "a")
    watch.look()
    ledger.set_incomplete({tmp_path / "half": "0.h5"})
    for number in range(SHOWN + 1):
        ledger.refuse(tmp_path / str(number), "why")
    shown = page(ledger, {})
    assert Counter(row.state for row in shown)["refused"] == SHOWN
    assert [Path(row.folder).name for row in shown[SHOWN:]] == ["half", "a"]
