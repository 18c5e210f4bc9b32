"""Thumbnails against means computed by hand."""

import numpy as np

from tasks.drawing.thumbnails import TINT, thumbnail


def test_squares_of_positions_are_averaged_and_the_edge_is_the_mean_of_what_there_is() -> None:
    counts = np.array([[0, 4, 8], [4, 8, 8], [8, 8, 8]])
    picture = thumbnail(counts, [], size=2)
    assert picture.shape == (2, 2, 4)
    assert picture[0, 0, 0] < picture[1, 1, 0]
    assert np.array_equal(picture[1, 1], picture[0, 1])  # both are eights only
    assert (picture[..., 3] == 255).all()


def test_a_crystal_is_tinted_by_as_much_of_a_cell_as_it_covers() -> None:
    counts = np.zeros((4, 4), dtype=np.uint32)
    mask = np.zeros((4, 4), dtype=bool)
    mask[:2, :2] = True
    mask[2, 2] = True
    picture = thumbnail(counts, [(mask, (200, 100, 0))], size=2)
    assert picture[0, 0, :3].tolist() == [round(200 * TINT), round(100 * TINT), 0]
    assert picture[1, 1, :3].tolist() == [round(200 * TINT / 4), round(100 * TINT / 4), 0]
    assert picture[0, 1, :3].tolist() == [0, 0, 0]


def test_a_small_scan_keeps_its_positions() -> None:
    assert thumbnail(np.arange(12).reshape(3, 4), [], size=40).shape == (3, 4, 4)
