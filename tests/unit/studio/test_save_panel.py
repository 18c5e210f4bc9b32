"""Save, solve, accept, and unsaved work, with deeds that only keep what they are asked."""

import json
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from bokeh.document import Document

from flows.studio.desk import Desk
from flows.studio.errands import Errands
from flows.studio.keys import Keyboard
from flows.studio.recovery import UnsavedWork
from flows.studio.save_panel import LISTED, SavePanel, Visiting, changes_html
from flows.studio.saving import Saved, SavedByAnotherError
from tasks.drawing import Drawing, Scene
from tasks.model import InputError, SourceError
from tests.synthetic.random_series import random_series

SCAN = (6, 7)
WHEN = "2026-11-30T10:31:00+00:00"


class FakeDeeds:
    def __init__(self, folder: Path, *, unsaved: UnsavedWork | None = None) -> None:
        self.place = SimpleNamespace(aperture_file=folder / "apertures.h5")
        self.folder = folder
        self.kept: list[tuple[Drawing, tuple[str, ...]]] = []
        self.saves: list[tuple[Drawing, tuple[str, ...], str]] = []
        self.copies: list[str] = []
        self.refuse: InputError | None = None
        self.found = unsaved
        self.discarded = 0
        self.last_saved: Saved | None = None
        self.keeping_failed: InputError | None = None

    def save(self, drawing: Drawing, changes: tuple[str, ...], *, who: str) -> Saved:
        if self.refuse is not None:
            raise self.refuse
        self.saves.append((drawing, changes, who))
        self.last_saved = Saved(path=self.place.aperture_file, sha256="0", who=who, when=WHEN)
        return self.last_saved

    def save_copy(self, drawing: Drawing, changes: tuple[str, ...], *, who: str) -> Saved:
        self.copies.append(who)
        return Saved(path=self.folder / f"apertures-{who}-1.h5", sha256="1", who=who, when=WHEN)

    def keep_unsaved(self, drawing: Drawing, changes: tuple[str, ...]) -> None:
        self.kept.append((drawing, changes))

    def unsaved_work(self) -> UnsavedWork | None:
        return self.found

    def discard_unsaved(self) -> None:
        self.discarded += 1

    def solve(self, drawing: Drawing, tell: object, *, who: str, changes: object, stop: threading.Event) -> Path:
        if self.refuse is not None:
            raise self.refuse
        self.save(drawing, changes, who=who)
        run = self.folder / "run-01"
        run.mkdir()
        (run / "results.json").write_text(json.dumps({"crystals": [], "notes": []}))
        return run


class Page(Document):
    def add_next_tick_callback(self, callback: object) -> None:
        self.turns = [*getattr(self, "turns", []), callback]


class Bench:
    def __init__(self, scene: Scene, deeds: FakeDeeds, visitor: Visiting | None = None) -> None:
        self.deeds, self.page = deeds, Page()
        self.desk = Desk(scene, Drawing().with_new(np.ones((3, *SCAN), dtype=bool)))
        self.keyboard, self.errands = Keyboard(self.page), Errands(self.page, self.desk)
        self.panel = SavePanel(
            self.page, self.desk, deeds, self.keyboard, self.errands, visitor=visitor or Visiting(who="Ada")
        )

    def press(self, action: str) -> None:
        self.keyboard.hidden.value = f"{action}#1"

    def draw(self, what: str) -> None:
        tilt = len(self.desk.history.changes) % 3
        mask = self.desk.drawing.crystals[0].mask(tilt).copy()
        mask.flat[len(self.desk.history.changes)] ^= True
        self.desk.do(what, self.desk.drawing.with_mask("crystal-01", tilt, mask))

    def wait(self) -> None:
        self.errands._pool.shutdown(wait=True)
        while self.page.turns:
            self.page.turns.pop(0)()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder: Path = tmp_path_factory.mktemp("series")
    return Scene(random_series(folder, tilts=3, scan_shape=SCAN, detector_shape=(8, 8)))


@pytest.fixture
def bench(scene: Scene, tmp_path: Path) -> Bench:
    return Bench(scene, FakeDeeds(tmp_path))


def test_what_is_drawn_is_unsaved_until_it_is_saved(bench: Bench) -> None:
    assert bench.panel.unsaved.value == ""
    bench.draw("cut the edge")
    assert bench.panel.unsaved.value == "yes"
    assert bench.deeds.kept == [(bench.desk.drawing, ("cut the edge",))]
    assert "1 change not saved" in bench.panel.changes.text
    bench.press("save")
    assert bench.deeds.saves == [(bench.desk.drawing, ("cut the edge",), "Ada")]
    assert bench.panel.unsaved.value == ""
    assert bench.desk.message[0] == "done"
    assert "Ada" in bench.desk.message[1]


def test_only_what_was_changed_since_the_last_save_is_told(bench: Bench) -> None:
    bench.draw("first")
    bench.press("save")
    bench.draw("second")
    bench.press("save")
    assert [changes for _, changes, _ in bench.deeds.saves] == [("first",), ("second",)]


def test_undone_to_what_was_saved_is_not_unsaved(bench: Bench) -> None:
    bench.draw("first")
    bench.press("undo") if "undo" in bench.keyboard.bound else bench.desk.undo()
    assert bench.panel.unsaved.value == ""


def test_a_refused_save_offers_a_copy_and_loses_nothing(bench: Bench) -> None:
    bench.draw("mine")
    bench.deeds.refuse = SavedByAnotherError("saved by Grace", "save a copy")
    assert not bench.panel.copy.visible
    bench.press("save")
    assert bench.panel.copy.visible
    assert bench.desk.message == ("error", "saved by Grace\nsave a copy")
    assert bench.panel.unsaved.value == "yes"
    bench.panel.who.value = "Ada L."
    bench.press("save copy")
    assert bench.deeds.copies == ["Ada L."]
    assert bench.panel.unsaved.value == ""
    assert "apertures-Ada L.-1.h5" in bench.desk.message[1]


def test_a_full_disk_is_said_with_what_to_do(bench: Bench) -> None:
    bench.draw("mine")
    bench.deeds.refuse = InputError("no space left on the disk", "make room, and save again")
    bench.press("save")
    assert bench.desk.message == ("error", "no space left on the disk\nmake room, and save again")
    assert not bench.panel.copy.visible
    assert bench.panel.unsaved.value == "yes"


def test_that_unsaved_work_cannot_be_kept_is_said_at_once(bench: Bench) -> None:
    bench.deeds.keeping_failed = InputError("no space left on the disk", "make room")
    bench.draw("mine")
    assert bench.desk.message[0] == "warning"
    assert "cannot be kept" in bench.desk.message[1]


def test_solving_saves_and_shows_where_the_report_is(scene: Scene, tmp_path: Path) -> None:
    visitor = Visiting(who="Ada", link_to=lambda path: f"/files/{path.parent.name}/{path.name}")
    bench = Bench(scene, FakeDeeds(tmp_path), visitor)
    bench.draw("mine")
    bench.press("solve")
    assert bench.panel.solve.disabled
    bench.wait()
    assert bench.deeds.saves[0][1] == ("mine",)
    assert 'href="/files/run-01/report.html"' in bench.panel.result.text
    assert str(tmp_path / "run-01") in bench.panel.result.text
    assert bench.panel.unsaved.value == ""
    assert bench.desk.message[1].startswith("Solved:")
    assert not bench.panel.solve.disabled


def test_a_solve_whose_source_is_gone_says_so(bench: Bench) -> None:
    bench.deeds.refuse = SourceError("the source is gone", "put it back")
    bench.press("solve")
    bench.wait()
    assert bench.desk.message == ("error", "the source is gone\nput it back")


def test_a_run_that_waits_can_be_let_go_on(scene: Scene, tmp_path: Path) -> None:
    accepted: list[object] = []

    def accept(drawing: Drawing, changes: object, *, who: str) -> str:
        accepted.append((drawing, changes, who))
        return "The run goes on."

    bench = Bench(scene, FakeDeeds(tmp_path), Visiting(who="Ada", accept=accept))
    assert bench.panel.accept.visible
    bench.press("accept run")
    bench.wait()
    assert accepted == [(bench.desk.drawing, (), "Ada")]
    assert bench.desk.message == ("done", "The run goes on.")


def test_without_a_waiting_run_there_is_nothing_to_accept(bench: Bench) -> None:
    assert not bench.panel.accept.visible
    bench.press("accept run")
    assert bench.errands.running is None


def test_who_may_only_look_cannot_save_or_solve(scene: Scene, tmp_path: Path) -> None:
    bench = Bench(scene, FakeDeeds(tmp_path), Visiting(may_write=False))
    for action in ("save", "solve", "save copy"):
        bench.press(action)
    assert bench.deeds.saves == []
    assert bench.errands.running is None


def left() -> UnsavedWork:
    drawing = Drawing().with_new(np.eye(6, 7, dtype=bool)[None].repeat(3, axis=0), "found again")
    return UnsavedWork(drawing, ("drew around it", "cut it"), WHEN, None)


def test_unsaved_work_is_offered_and_taken_up_with_its_changes(scene: Scene, tmp_path: Path) -> None:
    bench = Bench(scene, FakeDeeds(tmp_path, unsaved=left()))
    assert bench.panel.recovery.visible
    assert "Your unsaved drawing of" in bench.panel.offer.text
    assert "2 changes" in bench.panel.offer.text
    bench.press("take up")
    assert bench.desk.drawing == left().drawing
    assert not bench.panel.recovery.visible
    assert bench.deeds.discarded == 1
    assert bench.panel.unsaved.value == "yes"
    bench.press("save")
    changes = bench.deeds.saves[0][1]
    assert changes[:2] == ("drew around it", "cut it")
    bench.press("take up")
    assert bench.deeds.discarded == 1


def test_unsaved_work_can_be_discarded(scene: Scene, tmp_path: Path) -> None:
    bench = Bench(scene, FakeDeeds(tmp_path, unsaved=left()))
    before = bench.desk.drawing
    bench.press("discard")
    assert bench.desk.drawing is before
    assert bench.deeds.discarded == 1
    assert not bench.panel.recovery.visible


def test_the_latest_changes_are_listed_and_the_others_counted() -> None:
    html = changes_html(tuple(f"change <{number}>" for number in range(LISTED + 3)))
    assert html.count("<li>") == LISTED
    assert f"change &lt;{LISTED + 2}&gt;" in html
    assert "and 3 before" in html
