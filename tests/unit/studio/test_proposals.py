"""The list of crystals: each control does to the drawing what it says, and says so."""

from pathlib import Path

import numpy as np
import pytest
from bokeh.document import Document
from bokeh.events import ButtonClick
from bokeh.models import Button

from flows.studio.desk import Desk
from flows.studio.keys import Keyboard
from flows.studio.proposals import Proposals, line_html
from tasks.drawing import Drawing, Scene
from tests.synthetic.random_series import random_series

SCAN = (12, 15)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder: Path = tmp_path_factory.mktemp("series")
    return Scene(random_series(folder, tilts=3, scan_shape=SCAN, detector_shape=(16, 16)))


def two_crystals() -> Drawing:
    masks = np.zeros((2, 3, *SCAN), dtype=bool)
    masks[0, :, 2:5, 2:6] = True
    masks[1, 1, 8:11, 9:12] = True
    return Drawing().with_new(masks[0]).with_new(masks[1], "the small one")


class Panel(Proposals):
    """The panel with its desk, and clicks as the browser sends them."""

    def __init__(self, scene: Scene, drawing: Drawing) -> None:
        self.desk = Desk(scene, drawing)
        self.dressed: list[object] = []
        self.keyboard = Keyboard(Document())
        super().__init__(self.desk, self.keyboard, self.dressed.append)

    def press(self, action: str) -> None:
        self.keyboard.hidden.value = f"{action}#1"

    @property
    def lines(self) -> list[Button]:
        return list(self.list.children)

    @property
    def first(self) -> object:
        return self.desk.drawing.crystals[0]


@pytest.fixture
def panel(scene: Scene) -> Panel:
    return Panel(scene, two_crystals())


def test_every_crystal_has_a_line_with_number_name_tilts_and_positions(panel: Panel) -> None:
    first, second = (line.label.html[0] for line in panel.lines)
    assert "<b>1</b>" in first
    assert "3 of 3 tilts · 12 positions here, 36 in all" in first
    assert "<b>2 the small one</b>" in second
    assert "1 of 3 tilts · 9 positions here, 9 in all" in second
    assert panel.dressed == [panel.empty, *panel.lines]
    assert panel.lines[0].styles["--region"] != panel.lines[1].styles["--region"]


def test_a_click_on_a_line_chooses_the_crystal(panel: Panel) -> None:
    panel.lines[1]._trigger_event(ButtonClick(panel.lines[1]))
    assert panel.desk.crystal == "crystal-02"
    assert "chosen" in panel.lines[1].css_classes
    assert panel.lines[1].html_attributes["aria-current"] == "true"
    assert panel.name.value == "the small one"


def test_the_arrow_keys_go_round_the_list(panel: Panel) -> None:
    for expected in ("crystal-01", "crystal-02", "crystal-01"):
        panel.press("next crystal")
        assert panel.desk.crystal == expected
    panel.press("previous crystal")
    assert panel.desk.crystal == "crystal-02"


def test_a_crystal_is_taken_and_a_second_press_opens_it_again(panel: Panel) -> None:
    panel.press("next crystal")
    panel.press("accept")
    assert panel.first.state == "accepted"
    assert "taken" in panel.lines[0].label.html[0]
    panel.press("accept")
    assert panel.first.state == "open"


def test_a_rejected_crystal_stays_in_the_list_and_is_not_saved(panel: Panel) -> None:
    panel.press("next crystal")
    panel.press("reject")
    assert len(panel.lines) == 2
    assert "rejected" in panel.lines[0].css_classes
    assert set(panel.desk.drawing.masks()) == {"crystal-02"}
    assert panel.desk.message == ("done", "crystal-01: left out.")


def test_a_name_typed_into_the_field_is_the_crystals_and_html_in_it_is_text(panel: Panel) -> None:
    panel.press("next crystal")
    panel.name.value = "<b>MOF</b>"
    assert panel.first.name == "<b>MOF</b>"
    assert "&lt;b&gt;MOF&lt;/b&gt;" in panel.lines[0].label.html[0]
    assert panel.desk.history.changes == ("crystal-01: named <b>MOF</b>",)


def test_choosing_another_crystal_renames_none(panel: Panel) -> None:
    panel.press("next crystal")
    panel.press("next crystal")
    assert panel.desk.history.changes == ()


def test_the_key_for_the_name_tells_the_browser_every_time(panel: Panel) -> None:
    panel.press("next crystal")
    told: list[object] = []
    panel.name.on_change("tags", lambda _attr, _old, new: told.append(new))
    for _ in range(3):
        panel.press("rename")
    assert len(told) == 3


def test_two_crystals_are_merged_and_it_can_be_undone_and_done_again(panel: Panel) -> None:
    panel.press("next crystal")
    assert panel.other.value == "crystal-02"
    before = [one.masks for one in panel.desk.drawing.crystals]
    panel.press("merge")
    assert np.array_equal(panel.first.masks, before[0] | before[1])
    assert len(panel.lines) == 1
    assert panel.merge.disabled
    panel.press("undo")
    assert [one.id for one in panel.desk.drawing.crystals] == ["crystal-01", "crystal-02"]
    assert len(panel.lines) == 2
    panel.press("redo")
    assert len(panel.lines) == 1
    assert panel.redo.disabled


def test_pieces_that_do_not_touch_become_crystals(scene: Scene) -> None:
    masks = np.zeros((3, *SCAN), dtype=bool)
    masks[:, 1:4, 1:4] = True
    masks[:, 8:10, 8:10] = True
    panel = Panel(scene, Drawing().with_new(masks))
    panel.press("next crystal")
    panel.press("split")
    tilt = panel.desk.tilt
    assert [int(one.mask(tilt).sum()) for one in panel.desk.drawing.crystals] == [9, 4]
    panel.press("split")
    assert panel.desk.message[0] == "warning"


def test_a_tilt_is_cleared_and_no_other(panel: Panel) -> None:
    panel.press("next crystal")
    panel.press("clear")
    counts = list(panel.first.positions_per_tilt)
    assert counts.pop(panel.desk.tilt) == 0
    assert counts == [12, 12]


def test_a_deleted_crystal_is_gone_from_list_and_choice(panel: Panel) -> None:
    panel.press("next crystal")
    panel.press("delete")
    assert [one.id for one in panel.desk.drawing.crystals] == ["crystal-02"]
    assert panel.desk.crystal is None
    assert all(button.disabled for button in panel.of_chosen.values())


def test_what_is_drawn_after_new_is_a_crystal_of_its_own(panel: Panel) -> None:
    panel.press("next crystal")
    panel.press("new")
    assert panel.desk.crystal is None
    panel.desk.choose_tool("rectangle")
    panel.desk.begin_stroke((0.0, 10.0))
    panel.desk.extend_stroke((1.0, 12.0))
    panel.desk.end_stroke()
    assert [one.id for one in panel.desk.drawing.crystals] == ["crystal-01", "crystal-02", "crystal-03"]
    assert len(panel.lines) == 3
    assert "chosen" in panel.lines[2].css_classes


def test_with_no_crystal_it_says_what_to_do_and_nothing_can_be_pressed(scene: Scene) -> None:
    panel = Panel(scene, Drawing())
    assert panel.lines == [panel.empty]
    assert all(button.disabled for button in (*panel.of_chosen.values(), panel.merge, panel.undo))
    for action in ("accept", "merge", "delete", "rename", "clear", "next crystal"):
        panel.press(action)
    assert panel.desk.history.changes == ()


def test_thousands_are_grouped() -> None:
    masks = np.ones((3, 60, 60), dtype=bool)
    assert "3,600 positions here, 10,800 in all" in line_html(Drawing().with_new(masks).crystals[0], 0)
