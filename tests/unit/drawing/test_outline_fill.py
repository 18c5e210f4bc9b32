"""Filling an outline while it is drawn: as a polygon is filled, at every point."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from tasks.drawing import OutlineFill, polygon_mask


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(3, 12))
def test_it_is_the_polygon_of_its_points_each_time(seed: int, count: int) -> None:
    """Of outlines that cross themselves too; none of these goes through the centre of a position."""
    shape = (14, 17)
    points = np.random.default_rng(seed).uniform(-4.0, 20.0, (count, 2))
    fill = OutlineFill(shape)
    for number, (row, column) in enumerate(points, 1):
        fill.add((float(row), float(column)))
        if number >= 3:
            np.testing.assert_array_equal(fill.mask(), polygon_mask(shape, [tuple(one) for one in points[:number]]))


def test_a_hole_drawn_within_one_stroke_stays_a_hole() -> None:
    fill = OutlineFill((20, 20))
    ring = [(1.5, 1.5), (1.5, 17.5), (17.5, 17.5), (17.5, 1.5), (1.5, 1.5)]
    hole = [(6.5, 6.5), (6.5, 11.5), (11.5, 11.5), (11.5, 6.5), (6.5, 6.5)]
    for point in ring + hole:
        fill.add(point)
    assert fill.mask().sum() == 16 * 16 - 5 * 5


def test_neighbours_share_no_position_on_their_common_side() -> None:
    masks = []
    for left in (2.0, 6.0):
        fill = OutlineFill((10, 12))
        for point in [(2.0, left), (2.0, left + 4.0), (7.0, left + 4.0), (7.0, left)]:
            fill.add(point)
        masks.append(fill.mask())
    assert not (masks[0] & masks[1]).any()
    assert masks[0].sum() == masks[1].sum() == 20


def test_it_is_right_for_a_circle_of_many_points() -> None:
    angle = np.linspace(0.0, 2.0 * np.pi, 400, endpoint=False)
    points = np.stack([32.3 + 20.1 * np.sin(angle), 31.7 + 20.1 * np.cos(angle)], axis=1)
    fill = OutlineFill((64, 64))
    for row, column in points:
        fill.add((float(row), float(column)))
    rows, columns = np.indices((64, 64))
    inside = Outline(points).contains_points(np.stack([rows.ravel(), columns.ravel()], axis=1)).reshape(64, 64)
    np.testing.assert_array_equal(fill.mask(), inside)


def test_nothing_is_inside_no_points() -> None:
    fill = OutlineFill((5, 5))
    assert not fill.mask().any()
    fill.add((2.0, 2.0))
    assert not fill.mask().any()
