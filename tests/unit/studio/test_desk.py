"""The working state of the studio: every tool, without a browser, against brute-force sums of the events."""

from pathlib import Path

import numpy as np
import pytest

from flows.studio.choices import DETECTOR_IMAGE
from flows.studio.desk import Desk
from flows.studio.sketch import Mask
from flows.studio.texts import image_text, pattern_text, pixel_text, position_text
from tasks.drawing import Drawing, Scene, VirtualDetector
from tasks.ingest import open_events
from tests.synthetic.random_series import random_series

SCAN, DETECTOR = (12, 15), (32, 40)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("series")
    return Scene(random_series(folder, tilts=3, scan_shape=SCAN, detector_shape=DETECTOR))


@pytest.fixture
def desk(scene: Scene) -> Desk:
    return Desk(scene)


def brute_force(scene: Scene, tilt: int, mask: Mask) -> np.ndarray:
    """Add the electrons of a mask one by one."""
    events = open_events(scene.series.scans[tilt])
    out = np.zeros(DETECTOR, dtype=np.uint32)
    for position in np.flatnonzero(mask):
        for pixel in events.events[int(events.offsets[position]) : int(events.offsets[position + 1])]:
            out[divmod(int(pixel), DETECTOR[1])] += 1
    return out


def box(top: int, left: int, bottom: int, right: int) -> Mask:
    mask = np.zeros(SCAN, dtype=bool)
    mask[top : bottom + 1, left : right + 1] = True
    return mask


def drag(desk: Desk, *points: tuple[float, float], **how: object) -> None:
    desk.begin_stroke(points[0], **how)
    for point in points[1:]:
        desk.extend_stroke(point)
    desk.end_stroke()


def with_crystal(desk: Desk, mask: Mask) -> str:
    masks = np.zeros((3, *SCAN), dtype=bool)
    masks[desk.tilt] = mask
    desk.do("made", desk.drawing.with_new(masks), crystal=desk.drawing.next_id())
    assert desk.crystal is not None
    return desk.crystal


def test_it_opens_at_the_tilt_nearest_to_zero(desk: Desk) -> None:
    assert desk.scene.tilt_deg[desk.tilt] == 0.0


def test_with_no_aperture_the_pattern_is_that_of_all_positions(desk: Desk) -> None:
    assert desk.electrons == desk.scene.series.scans[desk.tilt].counts
    assert "all positions" in pattern_text(desk)


def test_the_pattern_follows_the_pointer_exactly(desk: Desk) -> None:
    desk.choose_tool("freehand")
    desk.begin_stroke((2.0, 2.0))
    for point in [(2.0, 9.0), (6.0, 11.0), (9.0, 8.0), (8.0, 1.0)]:
        desk.extend_stroke(point)
        np.testing.assert_array_equal(desk.pattern, brute_force(desk.scene, desk.tilt, desk.live_mask))
    assert desk.drawing.crystals == ()
    desk.end_stroke()
    assert desk.drawing.ids == ("crystal-01",) == (desk.crystal,)
    assert f"{desk.electrons:,}" in pattern_text(desk)
    assert desk.electrons == brute_force(desk.scene, desk.tilt, desk.drawing.crystals[0].mask(desk.tilt)).sum()


def test_a_pointer_that_only_moves_computes_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.choose_tool("freehand")
    calls: list[object] = []
    monkeypatch.setattr(Scene, "pattern", lambda *_: calls.append(1))
    monkeypatch.setattr(Scene, "pattern_changed", lambda *_: calls.append(1))
    desk.begin_stroke((1.0, 1.0))
    for step in range(50):
        desk.extend_stroke((1.0 + 0.1 * step, 3.0))
    assert calls == []


def test_only_the_difference_is_read_while_drawing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.choose_tool("brush")
    desk.begin_stroke((5.0, 2.0))
    desk.extend_stroke((5.0, 7.0))
    assert desk.pattern.any()
    asked: list[int] = []
    changed = Scene.pattern_changed

    def counted(self: Scene, tilt: int, pattern: np.ndarray, added: Mask, removed: Mask) -> np.ndarray:
        asked.append(int(added.sum() + removed.sum()))
        return changed(self, tilt, pattern, added, removed)

    monkeypatch.setattr(Scene, "pattern_changed", counted)
    desk.extend_stroke((5.0, 8.0))
    np.testing.assert_array_equal(desk.pattern, brute_force(desk.scene, desk.tilt, desk.live_mask))
    assert len(asked) == 1
    assert asked[0] < desk.live_mask.sum() / 3


@pytest.mark.parametrize(
    ("tool", "points", "wanted"),
    [
        ("rectangle", [(2.2, 3.0), (4.0, 4.0), (6.4, 9.1)], box(3, 3, 6, 9)),
        ("rectangle", [(6.4, 9.1), (2.2, 3.0)], box(3, 3, 6, 9)),
        ("ellipse", [(1.0, 1.0), (5.0, 5.0)], None),
        ("brush", [(4.0, 3.0), (4.0, 8.0)], None),
        ("freehand", [(1.5, 1.5), (1.5, 6.5), (6.5, 6.5), (6.5, 1.5)], box(2, 2, 6, 6)),
    ],
)
def test_each_tool_draws_its_shape(
    desk: Desk, tool: str, points: list[tuple[float, float]], wanted: Mask | None
) -> None:
    desk.choose_tool(tool)
    drag(desk, *points)
    mask = desk.drawing.crystals[0].mask(desk.tilt)
    rows, columns = np.indices(SCAN)
    if tool == "ellipse":
        wanted = (rows - 3) ** 2 + (columns - 3) ** 2 <= 4
    elif tool == "brush":
        wanted = (rows - 4) ** 2 + (columns - np.clip(columns, 3, 8)) ** 2 <= desk.brush_radius**2
    np.testing.assert_array_equal(mask, wanted)


def test_modes_add_take_away_and_replace(desk: Desk) -> None:
    name = with_crystal(desk, box(1, 1, 4, 4))
    desk.choose_tool("rectangle")
    desk.choose_mode("add")
    drag(desk, (3, 3), (7, 7))
    np.testing.assert_array_equal(desk.drawing.crystal(name).mask(desk.tilt), box(1, 1, 4, 4) | box(3, 3, 7, 7))
    desk.cancel()
    desk.choose_mode("remove")
    drag(desk, (0, 0), (3, 9))
    np.testing.assert_array_equal(
        desk.drawing.crystal(name).mask(desk.tilt), (box(1, 1, 4, 4) | box(3, 3, 7, 7)) & ~box(0, 0, 3, 9)
    )
    desk.cancel()
    desk.choose_mode("replace")
    drag(desk, (9, 9), (10, 10))
    np.testing.assert_array_equal(desk.drawing.crystal(name).mask(desk.tilt), box(9, 9, 10, 10))


def test_a_key_held_adds_whatever_the_mode(desk: Desk) -> None:
    name = with_crystal(desk, box(1, 1, 2, 2))
    desk.choose_tool("rectangle")
    drag(desk, (6, 6), (7, 7), mode="add")
    np.testing.assert_array_equal(desk.drawing.crystal(name).mask(desk.tilt), box(1, 1, 2, 2) | box(6, 6, 7, 7))
    assert desk.mode == "replace"


def test_the_eraser_takes_away_along_its_way(desk: Desk) -> None:
    name = with_crystal(desk, box(2, 2, 9, 12))
    desk.choose_tool("eraser")
    desk.choose_brush_radius(1.0)
    drag(desk, (5.0, 0.0), (5.0, 14.0))
    np.testing.assert_array_equal(desk.drawing.crystal(name).mask(desk.tilt), box(2, 2, 9, 12) & ~box(4, 0, 6, 14))


def test_nothing_can_be_taken_from_no_crystal(desk: Desk) -> None:
    desk.choose_tool("eraser")
    drag(desk, (1, 1), (5, 5))
    assert desk.message == ("warning", "Select the crystal first that is to be changed.")
    assert not desk.history.can_undo


def test_a_polygon_is_clicked_corner_by_corner_and_closed_on_its_first(desk: Desk) -> None:
    desk.choose_tool("polygon")
    for corner in [(1.5, 1.5), (1.5, 8.5), (6.5, 8.5)]:
        desk.tap(corner)
    assert desk.drawing.crystals == ()
    assert desk.live_mask.any()
    desk.tap((6.5, 1.5))
    desk.tap((1.6, 1.4))
    np.testing.assert_array_equal(desk.drawing.crystals[0].mask(desk.tilt), box(2, 2, 6, 8))


def test_a_corner_is_dragged_live_and_its_release_is_one_step(desk: Desk) -> None:
    desk.choose_tool("polygon")
    for corner in [(1.5, 1.5), (1.5, 8.5), (6.5, 8.5), (6.5, 1.5)]:
        desk.tap(corner)
    desk.finish()
    desk.begin_stroke((6.4, 8.7))
    desk.extend_stroke((9.5, 8.5))
    np.testing.assert_array_equal(desk.pattern, brute_force(desk.scene, desk.tilt, desk.live_mask))
    live = desk.live_mask.copy()
    desk.extend_stroke((9.5, 12.5))
    assert (desk.live_mask & ~live).any()
    desk.end_stroke()
    assert len(desk.history.changes) == 2
    assert desk.drawing.ids == ("crystal-01",)
    desk.undo()
    np.testing.assert_array_equal(desk.drawing.crystals[0].mask(desk.tilt), box(2, 2, 6, 8))


def test_undo_takes_the_last_corner_of_an_open_polygon_first(desk: Desk) -> None:
    name = with_crystal(desk, box(1, 1, 2, 2))
    desk.choose_tool("polygon")
    for corner in [(1.5, 1.5), (1.5, 8.5), (6.5, 8.5)]:
        desk.tap(corner)
    desk.undo()
    assert desk.sketch is not None
    assert desk.sketch.handles == ((1.5, 1.5), (1.5, 8.5))
    desk.undo()
    desk.undo()
    assert desk.sketch is None
    assert desk.drawing.ids == (name,)
    desk.undo()
    assert desk.drawing.ids == ()
    assert desk.crystal is None


def test_what_was_undone_is_done_again(desk: Desk) -> None:
    desk.choose_tool("rectangle")
    drag(desk, (2, 2), (5, 5))
    before = desk.drawing
    desk.undo()
    assert desk.drawing.crystals == ()
    desk.redo()
    assert desk.drawing == before
    desk.redo()
    assert "nothing" in desk.message[1]


def test_another_tilt_finishes_the_polygon_and_shows_its_own_mask(desk: Desk) -> None:
    desk.choose_tool("polygon")
    for corner in [(1.5, 1.5), (1.5, 8.5), (6.5, 8.5)]:
        desk.tap(corner)
    first = desk.tilt
    desk.choose_tilt(first + 1)
    assert desk.drawing.crystals[0].mask(first).any()
    assert not desk.live_mask.any()
    desk.choose_tilt(99)
    assert desk.tilt == 2


def test_a_click_selects_the_smallest_crystal_there(desk: Desk) -> None:
    large = with_crystal(desk, box(1, 1, 9, 9))
    small = with_crystal(desk, box(3, 3, 4, 4))
    desk.choose_tool("select")
    desk.tap((8.0, 8.2))
    assert desk.crystal == large
    desk.tap((3.4, 3.6))
    assert desk.crystal == small
    desk.tap((11.0, 14.0))
    assert desk.crystal is None
    assert desk.crystal_at((-5.0, 3.0)) is None


def test_a_cut_divides_a_crystal_along_its_line(desk: Desk) -> None:
    name = with_crystal(desk, box(2, 2, 8, 5))
    desk.choose_tool("cut")
    drag(desk, (5.5, 0.0), (5.5, 10.0))
    assert desk.drawing.ids == (name, "crystal-02")
    parts = [one.mask(desk.tilt) for one in desk.drawing.crystals]
    np.testing.assert_array_equal(parts[0] | parts[1], box(2, 2, 8, 5))
    np.testing.assert_array_equal(parts[0], box(2, 2, 5, 5))
    desk.undo()
    desk.choose_crystal(name)
    drag(desk, (11.0, 0.0), (11.0, 10.0))
    assert desk.message[1].startswith("Not split:")


def test_a_virtual_detector_makes_the_image(desk: Desk) -> None:
    desk.place_detector(VirtualDetector(shape="disc", centre_px=(10.0, 20.0), outer_px=6.0))
    assert desk.image == DETECTOR_IMAGE in desk.image_names
    slow, fast = np.indices(DETECTOR)
    region = (slow - 10) ** 2 + (fast - 20) ** 2 <= 36
    for position in ((0, 0), (5, 7)):
        mask = np.zeros(SCAN, dtype=bool)
        mask[position] = True
        assert desk.shown_image[position] == brute_force(desk.scene, desk.tilt, mask)[region].sum()
    assert "disc" in image_text(desk)
    desk.place_detector(None)
    assert desk.image in desk.scene.image_names


def test_who_watches_is_told_and_nobody_else(desk: Desk) -> None:
    told: list[str] = []
    for topic in ("tilt", "drawing", "pattern", "image", "crystal", "message", "tool", "detector", "view"):
        desk.watch(topic, lambda topic=topic: told.append(topic))
    desk.choose_stretch("sqrt")
    assert told == ["view"]
    told.clear()
    desk.choose_tool("rectangle")
    assert told == ["tool"]
    told.clear()
    drag(desk, (1, 1), (3, 3))
    assert set(told) == {"pattern", "drawing", "crystal"}


def test_texts_say_what_is_under_the_pointer(desk: Desk) -> None:
    name = with_crystal(desk, box(2, 2, 4, 4))
    counts = int(desk.scene.counts(desk.tilt)[3, 3])
    assert position_text(desk, (3.2, 2.9)) == f"row 3, column 3 · {counts:,} electrons · {name}"
    assert position_text(desk, (40.0, 3.0)) == "outside the scan"
    assert "10 nm" in position_text(desk, None)
    assert pixel_text(desk, (4.0, 6.0), None) == f"slow 4, fast 6 · {int(desk.pattern[4, 6]):,} electrons"
    assert pixel_text(desk, (4.0, 6.0), (4.0, 6.0)).endswith("direct beam")
    d_angstrom = 0.0196875 * 110.0 / (0.01 * 10)
    assert pixel_text(desk, (4.0, 16.0), (4.0, 6.0)).endswith(f"d = {d_angstrom:.3g} Å")
    assert pixel_text(desk, (-4.0, 6.0), None) == "outside the detector"


def test_a_drawing_of_a_run_is_taken_up(scene: Scene) -> None:
    masks = np.zeros((3, *SCAN), dtype=bool)
    masks[:, 2:5, 2:5] = True
    assert Desk(scene, Drawing().with_new(masks)).drawing.ids == ("crystal-01",)


def test_the_same_shape_again_is_no_change(desk: Desk, tmp_path: Path) -> None:
    desk.choose_tool("rectangle")
    drag(desk, (2, 2), (5, 5))
    desk.cancel()
    drag(desk, (2, 2), (5, 5))
    assert len(desk.history.changes) == 1
