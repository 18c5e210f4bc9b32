"""A series followed while it is measured: whatever comes, in whatever order, the page says what lies there."""

import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from adapters.formats.scans.scan_reader import ScanFileReader
from flows.live import Follower, LiveSettings, followed, hand_over, handed_over
from flows.live_look import candidates
from flows.live_run import run_live
from flows.run_folder import read_results
from flows.settings import Settings
from flows.site import FolderRule, Site
from tasks.ingest import read_source
from tasks.model import SettingsError, SourceError
from tasks.report import LiveScan, LiveState
from tests.synthetic.arriving_series import MANIFEST
from tests.synthetic.growing_series import GrowingFolder
from tests.synthetic.small_scans import small_scan, small_series

QUICK = LiveSettings(poll_s=0.01, quiet_s=0.3)


@pytest.fixture(autouse=True)
def reader_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process for the reading of each test would take most of their time."""
    monkeypatch.setattr(ScanFileReader, "storing", lambda self, workers=1: nullcontext(self.store))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_series(tmp_path_factory.mktemp("live") / "whole", tilts=6)


@pytest.fixture
def growing(whole: Path, tmp_path: Path) -> GrowingFolder:
    return GrowingFolder(whole, tmp_path / "grow")


class Watched:
    """Runs a follower, and does something to the folder whenever the page is written anew."""

    def __init__(self, folder: Path, out: Path, *, site: Site | None = None, live: LiveSettings = QUICK) -> None:
        self.folder, self.out, self.site, self.live = folder, out, site or Site(), live
        self.shown: list[LiveState] = []
        self.said: list[str] = []
        self._deeds: list[Callable[[], object]] = []

    def then(self, *deeds: Callable[[], object]) -> "Watched":
        """Do these, each when all scans that lie there are read and looked at."""
        self._deeds += deeds
        return self

    def show(self, state: LiveState) -> None:
        self.shown.append(state)
        settled = all(scan.state != "awaited" or scan.note for scan in state.scans)
        if self._deeds and settled and state.phase == "growing" and state.scans_in_apertures == len(state.read):
            self._deeds.pop(0)()

    def run(self, use: Callable[[Follower], object] = Follower.follow) -> LiveState:
        live = followed(self.folder, self.out, Settings(), self.live, self.site, show=self.show, say=self.said.append)
        with live as follower:
            use(follower)
        return self.shown[-1]


def scan_of(state: LiveState, name: str) -> LiveScan:
    return next(scan for scan in state.scans if scan.file == name)


def test_scans_in_any_order_are_on_the_page_by_their_tilts(growing: GrowingFolder, tmp_path: Path) -> None:
    first, second, third, fourth, *others = growing.names
    growing.add([third])

    def end() -> None:
        growing.add([second, *others])
        growing.finish()

    watched = Watched(growing.folder, tmp_path / "run")
    state = watched.then(lambda: growing.add([first]), lambda: growing.add([fourth]), end).run()
    assert state.phase == "complete"
    seen = [[scan.file for scan in one.read] for one in watched.shown]
    assert [third] in seen
    assert [first, third, fourth] in seen
    assert state.planned == 6
    assert (tmp_path / "run" / "report.html").read_text().count('class="read"') >= 3


def test_of_a_series_that_is_not_finished_the_run_says_what_it_has(growing: GrowingFolder, tmp_path: Path) -> None:
    growing.add(growing.names[:2])
    out = run_live(growing.folder, tmp_path / "run", Settings(), QUICK, say=lambda _: None)
    results = read_results(out)
    assert results["status"] == "unfinished"
    assert "2 of 6 scans seen" in results["headline"]
    page = (out / "report.html").read_text()
    assert "No scan has come for 0.3 s" in page
    assert "refresh" not in page


def test_what_there_is_of_an_unfinished_series_is_solved_if_asked(growing: GrowingFolder, tmp_path: Path) -> None:
    growing.add(growing.names[1:])
    live = QUICK.model_copy(update={"then": "solve"})
    out = run_live(growing.folder, tmp_path / "run", Settings(), live, say=lambda _: None)
    results = read_results(out)
    assert results["status"] == "no-crystals"
    assert results["source"]["files"] == 5
    assert not (growing.folder / "cut-short").exists()
    growing.add(growing.names[:1])
    again = run_live(growing.folder, tmp_path / "run", Settings(), live, say=lambda _: None)  # that run, no other
    assert read_results(again)["source"]["sha256"] == results["source"]["sha256"]


def test_a_half_written_file_is_waited_for(growing: GrowingFolder, tmp_path: Path) -> None:
    late = growing.folder / growing.names[1]
    growing.add(growing.names[:1])
    late.write_bytes((growing.whole / late.name).read_bytes()[:100])
    watched = Watched(growing.folder, tmp_path / "run")
    state = watched.then(lambda: shutil.copyfile(growing.whole / late.name, late)).run()
    assert any("has 100 bytes" in scan_of(one, late.name).note for one in watched.shown)
    assert scan_of(state, late.name).state == "read"


def test_a_damaged_file_is_named_and_read_again_when_it_changes(growing: GrowingFolder, tmp_path: Path) -> None:
    name = growing.names[0]
    size = (growing.whole / name).stat().st_size
    growing.add(growing.names[:2])
    (growing.folder / name).write_bytes(bytes(size))
    watched = Watched(growing.folder, tmp_path / "run")
    state = watched.then(lambda: shutil.copyfile(growing.whole / name, growing.folder / name)).run()
    assert any(scan_of(one, name).state == "damaged" for one in watched.shown)
    assert scan_of(state, name).state == "read"
    assert scan_of(state, growing.names[1]).state == "read"


def test_a_file_that_is_replaced_is_read_again(growing: GrowingFolder, tmp_path: Path) -> None:
    name = growing.names[0]
    growing.add([name])
    other = tmp_path / "other.h5"
    small_scan(other, seed=77)

    def replace() -> None:
        growing.manifest["scans"][0]["bytes"] = other.stat().st_size
        other.replace(growing.folder / name)
        growing.tell()

    watched = Watched(growing.folder, tmp_path / "run").then(replace)
    assert "replaced" in scan_of(watched.run(), name).note


def test_a_manifest_that_is_wrong_for_a_while_leaves_that_of_before(growing: GrowingFolder, tmp_path: Path) -> None:
    growing.add(growing.names[:2])
    path = growing.folder / "tilt_series.json"
    watched = Watched(growing.folder, tmp_path / "run").then(
        lambda: path.write_text('{"format":'), lambda: growing.add(growing.names[2:4])
    )
    state = watched.run()
    assert len(state.read) == 4
    assert any("cannot be used for the moment" in note for note in state.notes)


def test_a_manifest_that_stays_wrong_ends_it_with_the_reason(growing: GrowingFolder, tmp_path: Path) -> None:
    growing.add(growing.names[:1])
    path = growing.folder / "tilt_series.json"
    watched = Watched(growing.folder, tmp_path / "run").then(lambda: path.write_text("{"))
    with pytest.raises(SourceError, match="not valid JSON"):
        watched.run()
    assert "cannot be used for the moment" in (tmp_path / "run" / "report.html").read_text()


def test_a_changed_calibration_is_told_and_the_scans_are_looked_at_anew(growing: GrowingFolder, tmp_path: Path) -> None:
    growing.add(growing.names[:2])
    beam = {"energy_kev": 200.0}
    watched = Watched(growing.folder, tmp_path / "run").then(lambda: growing.tell(beam=beam))
    state = watched.run()
    assert any("has changed (beam)" in note for note in state.notes)
    assert state.scans_in_apertures == 2


def test_a_scan_that_the_manifest_does_not_list_is_named_and_left(growing: GrowingFolder, tmp_path: Path) -> None:
    growing.add(growing.names[:1])
    shutil.copyfile(growing.whole / growing.names[1], growing.folder / "stranger.h5")
    state = Watched(growing.folder, tmp_path / "run").run()
    assert scan_of(state, "stranger.h5").state == "not listed"
    assert len(state.read) == 1


def test_a_scan_that_is_taken_off_the_list_is_forgotten(growing: GrowingFolder, tmp_path: Path) -> None:
    growing.add(growing.names[:3])
    scans = growing.manifest["scans"][1:3]
    state = Watched(growing.folder, tmp_path / "run").then(lambda: growing.tell(scans=scans)).run()
    assert [scan.file for scan in state.read] == growing.names[1:3]


def test_an_interrupted_run_says_so_and_goes_on_without_reading_again(growing: GrowingFolder, tmp_path: Path) -> None:
    growing.add(growing.names[:2])

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Watched(growing.folder, tmp_path / "run").then(interrupt).run()
    assert "The same command goes on" in (tmp_path / "run" / "report.html").read_text()
    stores = {path: path.stat().st_mtime_ns for path in (tmp_path / "run/live/scans").rglob("document.json")}
    assert len(stores) == 2
    growing.add(growing.names[2:3])
    state = Watched(growing.folder, tmp_path / "run").run()
    assert len(state.read) == 3
    assert {path: path.stat().st_mtime_ns for path in stores} == stores


def test_a_second_run_into_the_same_folder_is_refused_and_one_elsewhere_is_not(
    growing: GrowingFolder, tmp_path: Path
) -> None:
    growing.add(growing.names[:1])
    refused: list[str] = []

    def second() -> None:
        with pytest.raises(SettingsError, match="another run is going on") as error:
            Watched(growing.folder, tmp_path / "run").run()
        refused.append(error.value.message)
        assert len(Watched(growing.folder, tmp_path / "other").run().read) == 1

    Watched(growing.folder, tmp_path / "run").then(second).run()
    assert refused


def test_the_folder_of_a_growing_series_is_not_that_of_another_run(growing: GrowingFolder, tmp_path: Path) -> None:
    growing.add(growing.names[:1])
    Watched(growing.folder, tmp_path / "run").run()
    other = small_series(tmp_path / "other", tilts=1)
    with pytest.raises(SettingsError, match="holds a run of another source"):
        Watched(other, tmp_path / "run").run()
    assert handed_over(growing.folder, tmp_path / "run", Site()) is None
    growing.add(growing.names[1:])
    growing.finish()
    hand_over(tmp_path / "run", growing.folder)
    assert handed_over(growing.folder, tmp_path / "run", Site()) == growing.folder
    assert [path.name for path in (tmp_path / "run/live").iterdir()] == ["live.json"]


def test_without_a_manifest_or_with_a_wrong_one_nothing_begins(growing: GrowingFolder, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="neither of"):
        Watched(growing.folder, tmp_path / "run").run()
    growing.tell(beam={})
    with pytest.raises(SourceError, match=r"beam\.energy_kev"):
        Watched(growing.folder, tmp_path / "run").run()
    assert not (tmp_path / "run").exists()


def test_an_instrument_without_manifest_is_followed_by_the_rule_of_the_site(whole: Path, tmp_path: Path) -> None:
    rule = FolderRule(
        file_pattern=r"scan_(?P<tilt>[+-]\d+)deg\.h5",
        manifest=tmp_path / "template.json",
        quiet_s=1.0,
        plan_deg=(0.0, 4.0, 2.0),
    )
    rule.manifest.write_text(json.dumps({name: value for name, value in MANIFEST.items() if name != "sample"}))
    folder = tmp_path / "titan"
    folder.mkdir()
    names = sorted(path.name for path in whole.glob("*.h5"))
    now = time.time()
    for name in (names[0], names[-1]):  # at 0 and 10 degrees; the plan ends at 4
        shutil.copyfile(whole / name, folder / name)
        os.utime(folder / name, (now - 3, now - 3))
    patient = QUICK.model_copy(update={"quiet_s": 600.0})
    watched = Watched(folder, tmp_path / "run", site=Site(instruments={"titan": rule}), live=patient)
    sources: list[Path] = []

    def to_the_end(follower: Follower) -> None:
        follower.follow()
        sources.append(follower.source())

    state = watched.run(to_the_end)
    assert state.phase == "complete"
    assert state.sample == "titan"
    assert state.planned == 4
    assert any("not in the plan" in note for note in watched.shown[-1].notes)
    assert read_source(sources[0]).is_tilt_series
    assert sorted(path.name for path in folder.iterdir()) == [names[0], names[-1]]


def test_tilts_that_are_tried_are_those_to_come_or_else_all_that_a_holder_reaches() -> None:
    assert candidates([0.0, 2.0], [6.0, 4.0]) == (4.0, 6.0)
    tried = candidates([-50.0, -48.0, -46.0], [])
    assert tried[0] == -70.0
    assert tried[-1] == 68.0
    assert not {-50.0, -48.0, -46.0} & set(tried)
