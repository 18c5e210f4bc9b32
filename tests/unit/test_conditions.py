"""What a pass of the janitor tells: only what is so, with figures a person can act on."""

import json
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from flows.catalogue_record import SUMMARY
from flows.conditions import due_approvals, failing_catalogue, late_runs, low_disk, seen, silent_watcher
from flows.ledger import Ledger
from flows.site import Alarms, Site
from flows.site_rules import Catalogue

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def waiting(hours: float) -> FlowRun:
    begun = NOW - timedelta(hours=hours)
    return FlowRun(flow_id=uuid4(), name="natrolite", expected_start_time=begun)


def suspended(hours: float, **approval: Any) -> FlowRun:
    state = State(type=StateType.PAUSED, timestamp=NOW - timedelta(hours=hours))
    return FlowRun(flow_id=uuid4(), name="natrolite", state=state, parameters={"approval": approval})


@pytest.mark.parametrize(("hours", "told"), [(3.9, False), (4.1, True)])
def test_a_run_that_waits_beyond_the_limit_is_told(hours: float, told: bool) -> None:
    found = late_runs(Site(), [waiting(hours)], NOW)
    assert [one.name for one in found] == ["natrolite"] * told


@pytest.mark.parametrize(
    ("hours", "limit", "told"), [(67.0, 72.0, False), (69.0, 72.0, True), (73.0, 72.0, False), (0.4, 1.0, False)]
)
def test_an_approval_is_due_shortly_before_its_default_is_taken(hours: float, limit: float, told: bool) -> None:
    found = due_approvals(Site(), [suspended(hours, ask="apertures", limit_h=limit, default="reject")], NOW)
    assert len(found) == told
    assert all(one.text.endswith("takes the default: reject.") for one in found)


def test_a_run_that_waits_for_something_else_is_no_approval() -> None:
    run = suspended(1000.0).model_copy(update={"parameters": {}})
    assert due_approvals(Site(), [run], NOW) == []


def test_a_disk_is_low_below_the_limit_only(tmp_path: Path) -> None:
    free_gib = shutil.disk_usage(tmp_path).free / 2**30
    assert low_disk(Site(runs=tmp_path, alarms=Alarms(disk_low_gib=free_gib / 2))) is None
    found = low_disk(Site(runs=tmp_path, alarms=Alarms(disk_low_gib=free_gib * 2)))
    assert found is not None
    assert str(tmp_path) in found.text
    assert low_disk(Site(alarms=Alarms(disk_low_gib=1e9))) is None, "a laptop has no folder of runs"


def test_a_watcher_is_missed_after_it_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(ledger=tmp_path / "ledger.db")
    assert silent_watcher(site) is None, "no ledger"
    ledger = Ledger(tmp_path / "ledger.db")
    assert silent_watcher(site) is None, "a site without a watcher"
    ledger.sign("watcher")
    assert silent_watcher(site) is None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1200.0)
    found = silent_watcher(site)
    assert found is not None
    assert "20 min ago" in found.text
    assert [one.about for one in seen(site, [], [], NOW)] == ["apertura.watcher"]


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ({"waiting": 2, "away": "no answer", "away_since": 7200.0}, "2 runs wait: no answer."),
        ({"waiting": 2, "away": "no answer", "away_since": 600.0}, None),
        ({"failures": [{"folder": "a", "reason": "no e-mail", "tries": 3}]}, "a: no e-mail"),
        ({"failures": [{"folder": "a", "reason": "no e-mail", "tries": 2}]}, None),
        ({"registered": 9}, None),
    ],
)
def test_a_catalogue_is_told_of_when_it_fails_for_long(tmp_path: Path, last: dict[str, Any], said: str | None) -> None:
    site = Site(
        runs=tmp_path,
        catalogue=Catalogue(
            url="https://scicat.example.org",
            token_file=tmp_path / "token",
            owner="x",
            contact_email="a@example.org",
            owner_group="all",
        ),
    )
    assert failing_catalogue(site) is None, "no pass yet"
    now = time.time()
    ago = {"away_since": now - last["away_since"]} if "away_since" in last else {}
    (tmp_path / SUMMARY).write_text(json.dumps({"at": now, **last, **ago}))
    found = failing_catalogue(site)
    assert (None if found is None else found.text) == said
