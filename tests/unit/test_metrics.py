"""What Prometheus is told: every figure the board asks for, and nothing to who has no password."""

import base64
import json
import os
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flows.ledger import Ledger
from flows.metrics import figures, stage_seconds
from flows.server import PASSWORD_VARIABLE, knows_password
from flows.site import Site
from flows.status import Sign

BOARD = Path(__file__).resolve().parents[2] / "deployments" / "grafana" / "apertura.json"


STATES = {"Solved": 2, 'a "name"\n': 1}
SIGNS = (Sign(service="watcher", seconds_ago=3.0), Sign(service="janitor", seconds_ago=None))


def told(site: Site) -> dict[str, dict[tuple[str, ...], float]]:
    families = text_string_to_metric_families(figures(site, STATES, SIGNS).decode())
    return {one.name: {tuple(sample.labels.values()): sample.value for sample in one.samples} for one in families}


def test_the_board_asks_for_figures_that_are_told(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.add("a", tmp_path / "a")
    ledger.refuse(tmp_path / "b", "why")
    found = told(Site(ledger=tmp_path / "ledger.db", runs=tmp_path))
    board = json.loads(BOARD.read_text())
    asked = {target["expr"] for panel in board["panels"] for target in panel["targets"]}
    assert asked == set(found)
    assert found["apertura_data_sets"] == {
        ("incomplete",): 0,
        ("refused",): 1,
        ("waiting",): 1,
        ("held",): 0,
        ("announced",): 0,
    }
    assert found["apertura_runs"] == {("Solved",): 2, ('a "name"\n',): 1}
    assert found["apertura_heard_seconds"] == {("watcher",): 3.0}
    assert found["apertura_disk_bytes"][("total",)] >= found["apertura_disk_bytes"][("free",)] > 0


def test_a_legend_names_labels_that_its_figure_has_and_a_panel_its_unit(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.db").add("a", tmp_path / "a")
    finished = tmp_path / "run"
    finished.mkdir()
    (finished / "results.json").write_text('{"timings_s": {"ingest": 1}}')
    text = figures(Site(ledger=tmp_path / "ledger.db", runs=tmp_path), STATES, SIGNS).decode()
    labels = {
        one.name: {name for sample in one.samples for name in sample.labels}
        for one in text_string_to_metric_families(text)
    }
    units = {"s": "_seconds", "bytes": "_bytes", "short": ("_runs", "_data_sets")}
    for panel in json.loads(BOARD.read_text())["panels"]:
        for target in panel["targets"]:
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) == labels[target["expr"]], panel["title"]
            assert target["expr"].endswith(units[panel["fieldConfig"]["defaults"]["unit"]])


def test_a_site_without_folders_has_no_figures_of_them() -> None:
    assert set(told(Site())) == {"apertura_runs", "apertura_heard_seconds"}


def test_the_time_of_a_stage_is_the_median_of_finished_runs_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    contents = [
        '{"timings_s": {"ingest": 1, "solve crystal-01": 2, "solve crystal-02": 3}}',
        '{"timings_s": {"ingest": 3}}',
        '{"timings_s": [',
        "[]",
    ]
    for number, content in enumerate([*contents, '{"timings_s": {"ingest": 8}}']):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "results.json").write_text(content)
    assert stage_seconds(tmp_path) == {"ingest": 3.0, "solve": 5.0}


@pytest.mark.parametrize(
    ("login", "kind", "known"),
    [("a:right", "Basic", True), ("a:right", "Bearer", False), ("a:wrong", "Basic", False), ("", "Basic", False)],
)
def test_only_the_password_opens_them(monkeypatch: pytest.MonkeyPatch, login: str, kind: str, known: bool) -> None:
    monkeypatch.setitem(os.environ, PASSWORD_VARIABLE, "a:right")
    assert knows_password(f"{kind} {base64.b64encode(login.encode()).decode()}") is known
