"""Drawings, and what can be undone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.drawing import Drawing, DrawingCrystal, History

FORM = (4, 6, 7)


def masks_of(seed=0, share=0.3):
    return np.random.default_rng(seed).random(FORM) < share


@pytest.fixture
def drawing():
    proposed = DrawingCrystal.of("crystal-01", masks_of(1), origin="proposed")
    return Drawing((proposed, DrawingCrystal.of("crystal-03", masks_of(2), name="needle")))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 9999), st.floats(0, 1))
def test_a_crystal_gives_back_the_masks_it_was_made_of(seed, share) -> None:
    masks = masks_of(seed, share)
    one = DrawingCrystal.of("crystal-07", masks)
    np.testing.assert_array_equal(one.masks, masks)
    assert one.positions_per_tilt == tuple(masks.sum(axis=(1, 2)).tolist())
    with pytest.raises(ValueError, match="read-only"):
        one.masks[0] = True


def test_a_new_mask_marks_a_proposal_as_edited_and_leaves_the_old_drawing(drawing) -> None:
    mask = np.zeros(FORM[1:], dtype=bool)
    mask[2, 2] = True
    changed = drawing.with_mask("crystal-01", 2, mask)
    np.testing.assert_array_equal(changed.crystal("crystal-01").mask(2), mask)
    np.testing.assert_array_equal(changed.crystal("crystal-01").mask(1), masks_of(1)[1])
    assert changed.crystal("crystal-01").origin == "edited"
    assert drawing.crystal("crystal-01").origin == "proposed"
    np.testing.assert_array_equal(drawing.crystal("crystal-01").masks, masks_of(1))
    assert changed.crystal("crystal-01").planes[0] is drawing.crystal("crystal-01").planes[0], "planes are shared"


def test_the_same_mask_again_is_no_edit(drawing) -> None:
    assert drawing.with_mask("crystal-01", 0, masks_of(1)[0]) == drawing


def test_a_new_crystal_gets_the_next_id(drawing) -> None:
    more = drawing.with_new(masks_of(5), "plate")
    assert more.ids == ("crystal-01", "crystal-03", "crystal-04")
    assert more.crystal("crystal-04").label == "plate"
    assert more.crystal("crystal-01").label == "crystal-01"
    assert Drawing().with_new(masks_of(5)).ids == ("crystal-01",)


def test_what_is_rejected_or_empty_is_not_in_the_file(drawing) -> None:
    more = drawing.with_new(np.zeros(FORM, dtype=bool)).with_state("crystal-01", "rejected")
    assert list(more.masks()) == ["crystal-03"]
    assert list(more.with_state("crystal-01", "accepted").masks()) == ["crystal-01", "crystal-03"]


def test_merged_crystals_have_the_positions_of_both(drawing) -> None:
    merged = drawing.merged(["crystal-03", "crystal-01"])
    assert merged.ids == ("crystal-03",)
    assert merged.crystal("crystal-03").name == "needle"
    np.testing.assert_array_equal(merged.crystal("crystal-03").masks, masks_of(1) | masks_of(2))


def test_a_line_splits_a_crystal_at_one_tilt_and_loses_no_position(drawing) -> None:
    split = drawing.split("crystal-03", 1, line=((-1, 2.5), (9, 2.5)))
    kept, new = split.crystal("crystal-03").masks, split.crystal("crystal-04").masks
    np.testing.assert_array_equal(kept | new, masks_of(2))
    assert not (kept & new).any()
    assert not new[[0, 2, 3]].any()
    assert not new[1][:, 3:].any()
    assert kept[1].sum() > new[1].sum() > 0
    assert split.crystal("crystal-04").name == "needle part"


def test_with_offsets_a_split_follows_the_content_to_all_tilts() -> None:
    masks = np.zeros((3, 9, 12), dtype=bool)
    for tilt, left in enumerate((1, 3, 5)):
        masks[tilt, 2:6, left : left + 6] = True
    offsets = np.array([[0, 0], [0, 2], [0, 4]], dtype=float)
    split = Drawing().with_new(masks).split("crystal-01", 0, line=((0, 4.5), (9, 4.5)), offsets=offsets)
    new = split.crystal("crystal-02").masks
    for tilt, left in enumerate((1, 3, 5)):
        assert sorted(set(np.nonzero(new[tilt])[1])) in ([left, left + 1, left + 2], [left + 4, left + 5])
    np.testing.assert_array_equal(new | split.crystal("crystal-01").masks, masks)
    assert new.sum(axis=(1, 2)).min() == new.sum(axis=(1, 2)).max() > 0


def test_a_split_that_divides_nothing_is_refused(drawing) -> None:
    with pytest.raises(ValueError, match="nothing is divided"):
        drawing.split("crystal-01", 0, labels=np.ones(FORM[1:], dtype=int))


def test_names_and_shapes_that_do_not_fit_are_refused(drawing) -> None:
    with pytest.raises(KeyError, match="crystal-09"):
        drawing.without("crystal-09")
    with pytest.raises(ValueError, match="mask is"):
        drawing.with_mask("crystal-01", 0, np.zeros((3, 3), dtype=bool))
    with pytest.raises(ValueError, match="masks of the drawing"):
        drawing.with_new(np.zeros((2, 6, 7), dtype=bool))
    with pytest.raises(ValueError, match="id like"):
        DrawingCrystal.of("needle", masks_of())


def painted(history, number) -> Drawing:
    mask = np.zeros(FORM[1:], dtype=bool)
    mask.flat[number % mask.size] = True
    return history.now.with_mask("crystal-01", number % FORM[0], mask)


def test_what_was_undone_can_be_done_again_until_something_else_is_done(drawing) -> None:
    history = History(drawing)
    for number in range(3):
        assert history.do(f"stroke {number}", painted(history, number))
    last = history.now
    assert history.changes == ("stroke 0", "stroke 1", "stroke 2")
    assert (history.undo(), history.undo()) == ("stroke 2", "stroke 1")
    assert history.redo() == "stroke 1"
    assert history.redo() == "stroke 2"
    assert history.now == last
    for _ in range(3):
        history.undo()
    assert history.now == drawing
    assert not history.can_undo
    assert history.undo() is None
    history.do("other", drawing.renamed("crystal-01", "plate"))
    assert not history.can_redo
    assert history.redo() is None
    assert history.changes == ("other",)


def test_doing_nothing_is_no_step(drawing) -> None:
    history = History(drawing)
    assert not history.do("nothing", drawing.with_state("crystal-01", "open"))
    assert not history.can_undo


def test_only_so_many_steps_can_be_undone_but_all_are_told(drawing) -> None:
    history = History(drawing, steps=5)
    for number in range(12):
        history.do(f"stroke {number}", painted(history, number))
    assert len(history.changes) == 12
    undone = 0
    while history.undo():
        undone += 1
    assert undone == 5


def test_the_masks_that_are_remembered_are_bounded(drawing) -> None:
    plane = 6
    history = History(drawing, most_bytes=10 * plane)
    for number in range(40):
        history.do(f"stroke {number}", painted(history, number))
        assert history.replaced_bytes <= 10 * plane
    undone = 0
    while history.undo():
        undone += 1
    assert 5 <= undone <= 10
