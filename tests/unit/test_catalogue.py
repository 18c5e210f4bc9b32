"""Finished runs are registered once, without the run knowing of it; what fails is kept, shown and tried again."""

import fcntl
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from PIL import Image

from adapters.catalogue.entry import CatalogueEntry
from adapters.catalogue.scicat import CatalogueAwayError
from flows import catalogue
from flows.catalogue import register_runs
from flows.catalogue_entries import public_url
from flows.catalogue_record import RECORD, CatalogueSummary, last_pass, registration
from flows.pictures import SHEET
from flows.site import Site, read_site
from flows.site_rules import Catalogue, DataRule, ProposalPattern
from tasks.model import ProgramFailedError, SettingsError
from tests.synthetic.arriving_series import drop


class Catalogued:
    """A catalogue that keeps what it is given, and fails as it is told to."""

    def __init__(self) -> None:
        self.entries: dict[str, CatalogueEntry] = {}
        self.fails: Exception | None = None
        self.asked = 0

    def register(self, entry: CatalogueEntry, known: str | None, keep: Callable[[str], None]) -> str:
        self.asked += 1
        pid = known or next((one for one, there in self.entries.items() if there.key == entry.key), None)
        pid = pid or f"pid-{len(self.entries)}"
        if self.fails is not None and entry.kind == "derived":
            raise self.fails
        self.entries[pid] = entry
        keep(pid)
        return pid


@pytest.fixture
def server() -> Catalogued:
    return Catalogued()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "runs").mkdir()
    told = Catalogue(
        url="https://scicat.example.org/api/v3",
        token_file=tmp_path / "token",
        owner="A Facility",
        contact_email="data@example.org",
        owner_group="everybody",
    )
    return Site(
        runs=tmp_path / "runs",
        plots_url="https://apertura.example.org/runs",
        proposals=ProposalPattern(pattern=r"/(?P<proposal>MX-\d+)/"),
        rules=(DataRule(proposal=".+", owner_group="{proposal}", access_groups=("{proposal}", "staff")),),
        catalogue=told,
    )


def run_of(source: Path, folder: Path, *, status: str = "solved") -> Path:
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"source": str(source)}))
    (folder / "report.html").write_text("<p>")
    (folder / "pictures").mkdir()
    Image.new("RGB", (900, 600), "white").save(folder / SHEET)
    content = {
        "status": status,
        "headline": "UiO-66 is solved",
        "source": {"kind": "tilt series", "path": str(source), "sample": "UiO-66", "sha256": source.name, "files": 7},
        "provenance": {"versions": {"apertura": "0.2.0"}, "settings_changed": {}},
        "crystals": [{"id": "crystal-01", "status": status, "reason": None, "refinement": {"r1": 0.05}}],
    }
    (folder / "results.json").write_text(json.dumps(content))
    return folder


def passed(site: Site, server: Catalogued) -> CatalogueSummary:
    summary = register_runs(site, lambda: server)
    assert summary is not None
    assert last_pass(site) == summary
    return summary


def test_a_run_is_registered_as_a_data_set_and_its_result_in_the_groups_of_its_proposal(
    tmp_path: Path, site: Site, server: Catalogued
) -> None:
    source = drop(tmp_path / "MX-1" / "a")
    folder = run_of(source, tmp_path / "runs" / "a")
    folder.chmod(0o750)
    assert passed(site, server).registered == 1
    assert (folder / RECORD).stat().st_mode & 0o777 == 0o640, "as open as the folder"
    state = registration(folder)
    assert state.data is not None
    assert state.result is not None
    data, result = server.entries[state.data], server.entries[state.result]
    assert (data.kind, data.folder, data.location) == ("raw", str(source), "4D Camera")
    assert {one.path for one in data.files} == {"tilt_series.json", *(f"{tilt}.h5" for tilt in range(6))}
    assert (result.kind, result.inputs, result.description) == ("derived", (state.data,), "UiO-66 is solved")
    assert result.metadata["report"] == "https://apertura.example.org/runs/a/report.html"
    assert result.metadata["crystal-01"] == {"status": "solved", "R1": 0.05}
    (picture,) = result.thumbnails
    assert picture.png.startswith(b"\x89PNG")
    assert len(picture.png) < 100_000
    for entry in (data, result):
        assert (entry.owner_group, entry.access_groups, entry.proposal) == ("MX-1", ("MX-1", "staff"), "MX-1")


def test_nothing_is_registered_twice_and_two_runs_of_one_data_set_share_it(
    tmp_path: Path, site: Site, server: Catalogued
) -> None:
    source = drop(tmp_path / "a")
    folders = [run_of(source, tmp_path / "runs" / name) for name in ("a-1", "a-2")]
    passed(site, server)
    assert passed(site, server).registered == 2
    assert server.asked == 4
    assert [entry.kind for entry in server.entries.values()].count("raw") == 1
    (folders[0] / RECORD).unlink()
    assert passed(site, server).registered == 2
    assert len(server.entries) == 3
    assert server.entries[registration(folders[0]).data or ""].owner_group == "everybody"


def test_what_is_refused_is_kept_with_its_reason_tried_later_and_keeps_no_other_waiting(
    tmp_path: Path, site: Site, server: Catalogued
) -> None:
    folder = run_of(drop(tmp_path / "a"), tmp_path / "runs" / "a")
    server.fails = ProgramFailedError("contactEmail is wrong")
    summary = passed(site, server)
    assert (summary.registered, summary.waiting, summary.away) == (0, 1, None)
    (failure,) = summary.failures
    assert (failure.folder, failure.reason) == ("a", "contactEmail is wrong")
    state = registration(folder)
    assert state.data == "pid-0"
    assert 0 < state.again_at - time.time() <= 300
    server.fails = None
    run_of(drop(tmp_path / "b", b"another"), tmp_path / "runs" / "b")
    assert passed(site, server).registered == 1
    (folder / RECORD).write_text(state.model_copy(update={"again_at": 0.0}).model_dump_json())
    assert passed(site, server).registered == 2
    assert len(server.entries) == 4


def test_a_damaged_result_is_its_own_failure(tmp_path: Path, site: Site, server: Catalogued) -> None:
    folder = run_of(drop(tmp_path / "a"), tmp_path / "runs" / "a")
    (folder / "results.json").write_text('{"status": "solved", "source": []}')
    odd = run_of(drop(tmp_path / "b", b"another"), tmp_path / "runs" / "b") / "results.json"
    odd.write_text(odd.read_text().replace('{"r1": 0.05}', "7"))
    run_of(drop(tmp_path / "c", b"a third"), tmp_path / "runs" / "c")
    summary = passed(site, server)
    assert (summary.registered, summary.waiting, len(summary.failures)) == (1, 2, 2)


def test_a_catalogue_that_is_away_ends_the_pass_is_shown_and_loses_nothing(
    tmp_path: Path, site: Site, server: Catalogued
) -> None:
    for name in "ab":
        run_of(drop(tmp_path / name, name.encode()), tmp_path / "runs" / name)
    server.fails = CatalogueAwayError("does not answer")
    first = passed(site, server)
    assert (first.registered, first.waiting, first.away) == (0, 2, "does not answer")
    assert server.asked == 2, "the second run is not tried"
    assert passed(site, server).away_since == first.away_since, "since when it is away"
    server.fails = None
    last = passed(site, server)
    assert (last.registered, last.away, last.away_since) == (2, None, None)


def test_a_missing_token_is_said_and_asked_for_again(tmp_path: Path, site: Site, server: Catalogued) -> None:
    run_of(drop(tmp_path / "a"), tmp_path / "runs" / "a")
    told = site.catalogue
    assert told is not None

    def connect() -> Catalogued:
        told.token()
        return server

    summary = register_runs(site, connect)
    assert summary is not None
    assert "token: cannot be read" in (summary.away or "")
    (tmp_path / "token").write_text("secret\n")
    assert told.token().get_secret_value() == "secret"
    assert register_runs(site, connect) is not None
    assert len(server.entries) == 2


def test_a_run_that_goes_on_or_ended_too_early_or_is_no_run_is_passed_over(
    tmp_path: Path, site: Site, server: Catalogued
) -> None:
    names = ("running", "old", "stranger")
    folders = {name: run_of(drop(tmp_path / name, name.encode()), tmp_path / "runs" / name) for name in names}
    then = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    os.utime(folders["old"] / "results.json", (then - 1, then - 1))
    (folders["stranger"] / "run.json").unlink()
    told = site.catalogue
    assert told is not None
    site = site.model_copy(update={"catalogue": told.model_copy(update={"since": date(2026, 1, 1)})})
    with (folders["running"] / ".lock").open("wb") as lock:
        fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
        assert passed(site, server).waiting == 0
    assert passed(site, server).registered == 1


def test_two_passes_do_not_meet(tmp_path: Path, site: Site, server: Catalogued) -> None:
    run_of(drop(tmp_path / "a"), tmp_path / "runs" / "a")
    with (tmp_path / "runs" / catalogue.LOCK).open("wb") as lock:
        fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
        assert register_runs(site, lambda: server) is None
    assert server.entries == {}


def test_a_pass_that_is_over_its_time_begins_nothing_more(tmp_path: Path, site: Site, server: Catalogued) -> None:
    run_of(drop(tmp_path / "a"), tmp_path / "runs" / "a")
    summary = register_runs(site, lambda: server, limit_s=-1.0)
    assert summary is not None
    assert summary.waiting == 1
    assert server.asked == 0


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://example.org/runs/a/report.html", True),
        ("http://127.0.0.1:4200/runs/TOKEN/a/report.html", False),
        ("http://localhost:4201/?run=a", False),
        ("https://example.org/studio/?token=secret&run=a", False),
        ("file:///data/runs/a/report.html", False),
        (None, False),
    ],
)
def test_no_secret_and_no_address_of_this_machine_is_told(url: str | None, told: bool) -> None:
    assert public_url(url) == (url if told else None)


@pytest.mark.parametrize(
    "wrong", ["url: http://scicat.example.org", "contact_email: nobody", "token: abc", "token_file: relative"]
)
def test_a_catalogue_that_cannot_be_meant_is_refused_with_its_field(tmp_path: Path, wrong: str) -> None:
    right = {
        "url": "https://scicat.example.org/api/v3",
        "token_file": "/etc/token",
        "owner": "x",
        "contact_email": "a@example.org",
        "owner_group": "all",
    }
    path = tmp_path / "site.yaml"
    path.write_text(json.dumps({"catalogue": right}))
    assert read_site(path).catalogue is not None
    name, _, value = wrong.partition(": ")
    path.write_text(json.dumps({"catalogue": right | {name: value}}))
    with pytest.raises(SettingsError, match=f"catalogue.{name}"):
        read_site(path)
