"""Whose a data set is, what holds for it, and that what exceeds a quota waits with its reason and is never lost."""

import grp
import json
import os
import threading
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from flows import arrivals, proposals
from flows.arrivals import Watcher
from flows.arrivals_page import page
from flows.dispatch import dispatch
from flows.ledger import Ledger
from flows.proposals import Belonging, Quotas, belonging, check_groups, conditions, owner_of
from flows.prune import days_of, removable
from flows.site import FolderRule, Site
from flows.site_rules import DataRule, ProposalPattern
from flows.staging import staged
from flows.status import held_back
from tasks.model import SettingsError
from tests.synthetic.arriving_series import MANIFEST, drop

PATTERN = r"/(?P<proposal>[A-Z]{2}-\d+)/"


def site_in(folder: Path, *rules: DataRule) -> Site:
    for name in ("incoming", "runs"):
        (folder / name).mkdir(exist_ok=True)
    return Site(
        incoming=(folder / "incoming",),
        runs=folder / "runs",
        ledger=folder / "ledger.db",
        proposals=ProposalPattern(pattern=PATTERN),
        rules=rules,
    )


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the server knows: the tag of the proposal of each run that has not ended."""
    runs: list[str] = []

    def announce(source: Path, key: str, **_: object) -> str:
        runs.append(f"proposal:{source.parent.name}")
        return f"run-{len(runs)}"

    monkeypatch.setattr(arrivals, "announce_run", announce)
    monkeypatch.setattr(proposals, "runs_under_way", runs.count)
    monkeypatch.setattr(proposals, "COUNT_AGAIN_S", -1.0)
    return runs


def test_a_data_set_is_of_the_proposal_in_its_path_and_of_the_instrument_of_its_manifest(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    who = belonging(site, drop(tmp_path / "incoming" / "MX-12" / "a"))
    assert who == Belonging(proposal="MX-12", instrument="4D Camera", sample="s")
    assert who.tags == ("proposal:MX-12", "instrument:4D Camera", "sample:s")
    assert belonging(site, drop(tmp_path / "incoming" / "a")).proposal is None
    titan = site.model_copy(update={"proposals": ProposalPattern(pattern=r"(?P<instrument>titan)/(?P<proposal>\w+)")})
    assert belonging(titan, drop(tmp_path / "incoming/titan/x")).counted == "proposal:x"
    assert belonging(titan, tmp_path / "incoming/titan/x").instrument == "titan"


def test_scans_that_were_copied_are_of_the_folder_that_the_instrument_wrote_and_no_other_note_is_believed(
    tmp_path: Path,
) -> None:
    site = site_in(tmp_path)
    folder = drop(tmp_path / "incoming" / "MX-7" / "a")
    (folder / "tilt_series.json").unlink()
    (tmp_path / "t.json").write_text(json.dumps(MANIFEST))
    copy = staged(
        folder, FolderRule(file_pattern=r"(?P<tilt>\d+)\.h5", manifest=tmp_path / "t.json"), site.runs or folder
    )
    assert copy is not None
    assert belonging(site, copy).proposal == "MX-7"
    stranger = drop(tmp_path / "incoming" / "MX-8" / "b")
    (stranger / ".origin").write_text(str(folder))
    assert belonging(site, stranger).proposal == "MX-8"


def test_of_each_condition_the_first_rule_that_fits_and_states_it_holds(tmp_path: Path) -> None:
    site = site_in(
        tmp_path,
        DataRule(proposal="MX-.*", queue="urgent", owner_group="{proposal}"),
        DataRule(instrument="4D .*", queue="reprocess", runs_at_once=2, owner_group="p-{proposal}"),
        DataRule(solved_days=5, access_groups=("{proposal}", "staff")),
    )
    mine = conditions(site, Belonging(proposal="MX-1", instrument="4D Camera"))
    assert (mine.queue, mine.runs_at_once, mine.solved_days, mine.owner_group) == ("urgent", 2, 5.0, "MX-1")
    assert mine.access_groups == ("MX-1", "staff")
    nobody_s = conditions(site, Belonging(instrument="4D Camera"))
    assert (nobody_s.queue, nobody_s.owner_group, nobody_s.access_groups) == ("reprocess", None, None)
    assert conditions(site, Belonging(proposal="XMX-1")).queue is None, "a pattern is of the whole name"


@pytest.mark.parametrize(
    "rule",
    [
        {"proposal": "("},
        {"queue": "at-once"},
        {"mode": "666"},
        {"mode": "757"},
        {"mode": 750},
        {"group": "a:b"},
        {"runs_at_once": 0},
        {"quota": 1},
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(rule: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DataRule.model_validate(rule)


def test_a_pattern_without_a_proposal_and_a_quota_without_a_ledger_are_refused() -> None:
    with pytest.raises(ValidationError, match="no group"):
        ProposalPattern(pattern="/data/(.*)/")
    with pytest.raises(ValidationError, match="ledger"):
        Site(rules=(DataRule(runs_at_once=1),))


def test_what_exceeds_a_quota_waits_with_its_reason_others_pass_it_and_all_have_their_run_in_the_end(
    tmp_path: Path, server: list[str]
) -> None:
    site = site_in(tmp_path, DataRule(proposal=".+", runs_at_once=1))
    ledger = Ledger(tmp_path / "ledger.db")
    watch = Watcher(site, ledger)
    for number, name in enumerate(("MX-1/a", "MX-1/b", "MX-1/c", "MX-2/a", "calibration")):
        drop(tmp_path / "incoming" / name, f"content {number}".encode())
    watch.look()
    assert watch.announce() == 3
    assert sorted(server) == ["proposal:MX-1", "proposal:MX-2", "proposal:incoming"]
    waiting = {Path(one.path).name: one.reason for one in held_back(site)}
    assert waiting == dict.fromkeys("bc", "proposal MX-1: 1 of 1 runs at once are under way")
    rows = {row.folder: row for row in page(ledger, {})}
    assert rows[str(tmp_path / "incoming/MX-1/b")].state == "waits for room"
    assert "1 of 1 runs" in rows[str(tmp_path / "incoming/MX-1/b")].what
    for _ in range(2):
        assert watch.announce() == 0, "nothing has ended"
        server.remove("proposal:MX-1")
        assert Watcher(site, ledger).announce() == 1, "also after a restart"
    assert held_back(site) == ()
    assert server.count("proposal:MX-1") == 1


def test_a_proposal_whose_run_folders_fill_its_quota_waits_until_some_are_removed(
    tmp_path: Path, server: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposals, "MEASURE_AGAIN_S", -1.0)
    site = site_in(tmp_path, DataRule(quota_gib=1e-3))
    big = tmp_path / "runs" / "big" / "ingest" / "events.npy"
    big.parent.mkdir(parents=True)
    big.write_bytes(b"0" * 2**21)
    (tmp_path / "runs" / "big" / "run.json").write_text(json.dumps({"source": "/gone/MX-1/a"}))
    watch = Watcher(site, Ledger(tmp_path / "ledger.db"))
    for number, name in enumerate(("MX-1", "MX-2")):
        drop(tmp_path / "incoming" / name / "a", f"content {number}".encode())
    watch.look()
    assert watch.announce() == 1
    (waits,) = held_back(site)
    assert waits.path.endswith("MX-1/a")
    assert "GiB" in waits.reason
    big.unlink()
    assert watch.announce() == 1


def test_room_is_asked_for_before_each_run_and_seldom_where_there_was_none(tmp_path: Path) -> None:
    runs: list[str] = []
    asked: list[str] = []

    def count(tag: str) -> int:
        asked.append(tag)
        return runs.count(tag)

    quotas = Quotas(site_in(tmp_path, DataRule(runs_at_once=2)), count)
    source = drop(tmp_path / "incoming" / "MX-1" / "a")
    held = []
    for key in "abcd":
        with quotas.room(source, key) as reason:
            held.append(reason is not None)
            runs += [] if reason else ["proposal:MX-1"]
    assert held == [False, False, True, True]
    assert len(asked) == 3


def test_two_who_announce_do_not_both_take_the_last_room(tmp_path: Path) -> None:
    site = site_in(tmp_path, DataRule(runs_at_once=1))
    source = drop(tmp_path / "incoming" / "MX-1" / "a")
    runs: list[str] = []
    reasons: list[str | None] = []

    def announce(key: str) -> None:
        with Quotas(site, runs.count).room(source, key) as reason:
            if reason is None:
                time.sleep(0.05)
                runs.append("proposal:MX-1")
            reasons.append(reason)

    threads = [threading.Thread(target=announce, args=(key,)) for key in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runs == ["proposal:MX-1"]
    assert [reason is None for reason in reasons] == [True, False]


def test_a_site_without_quotas_asks_nobody(tmp_path: Path) -> None:
    def count(tag: str) -> int:
        raise AssertionError(tag)

    quotas = Quotas(site_in(tmp_path, DataRule(queue="urgent")), count)
    with quotas.room(tmp_path / "incoming" / "MX-1" / "a", "key") as reason:
        assert reason is None


def test_an_event_s_data_set_that_exceeds_its_quota_is_kept_for_the_janitor(
    tmp_path: Path, server: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_in(tmp_path, DataRule(runs_at_once=1))
    monkeypatch.setattr("flows.dispatch.load_site", lambda: site)
    monkeypatch.setattr("flows.dispatch.due", lambda _: (1, None))
    server.append("proposal:MX-1")
    assert "waits" in dispatch.fn(str(drop(tmp_path / "incoming" / "MX-1" / "a")))
    server.clear()
    assert Watcher(site, Ledger(tmp_path / "ledger.db")).announce() == 1


def test_a_rule_s_days_hold_for_the_runs_of_its_proposal(tmp_path: Path) -> None:
    site = site_in(tmp_path, DataRule(proposal="MX-1", solved_days=5), DataRule(proposal="MX-2", solved_days=500))
    for name in ("MX-1", "MX-2", "none"):
        folder = tmp_path / "runs" / name
        (folder / "ingest").mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"source": f"/data/{name}/a"}))
        (folder / "results.json").write_text('{"status": "solved"}')
        then = time.time() - 95 * 86400.0
        os.utime(folder / "results.json", (then, then))
    assert owner_of(site, tmp_path / "runs" / "MX-2").proposal == "MX-2"
    days = days_of(site, None)
    assert [days(tmp_path / "runs" / name) for name in ("MX-1", "MX-2", "none")] == [5.0, 500.0, 90.0]
    assert [Path(one.path).parent.name for one in removable(tmp_path / "runs", days)] == ["MX-1", "none"]
    assert removable(tmp_path / "runs", days_of(site, 1000.0)) == []


def test_a_group_that_is_not_there_or_not_one_s_own_is_one_line_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="no-such-group: there is no such group"):
        check_groups(site_in(tmp_path, DataRule(group="no-such-group")))
    group = grp.getgrall()[-1]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getgroups", list)
    monkeypatch.setattr(os, "getegid", lambda: group.gr_gid + 1)
    with pytest.raises(SettingsError, match="not a member"):
        check_groups(site_in(tmp_path, DataRule(group=group.gr_name)))
    monkeypatch.setattr(os, "getgroups", lambda: [group.gr_gid])
    check_groups(site_in(tmp_path, DataRule(group=group.gr_name)))
