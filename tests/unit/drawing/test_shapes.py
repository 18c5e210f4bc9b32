"""Shapes, against distances computed position by position."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.apertures import read_apertures
from tasks.drawing import (
    connected_part,
    ellipse_mask,
    polygon_mask,
    rectangle_mask,
    sides_of_line,
    stroke_mask,
)

SCAN = (14, 17)
POINT = st.tuples(st.floats(-4, 18), st.floats(-4, 20))


def distance_to_segment(place, start, stop) -> float:
    place, start, stop = (np.array(one, dtype=float) for one in (place, start, stop))
    length_sq = ((stop - start) ** 2).sum()
    part = 0.0 if length_sq == 0 else np.clip((place - start) @ (stop - start) / length_sq, 0, 1)
    return float(np.hypot(*(place - start - part * (stop - start))))


@settings(deadline=None, max_examples=25)
@given(st.lists(POINT, min_size=1, max_size=5), st.floats(0, 5))
def test_a_stroke_takes_what_lies_within_its_radius(points, radius) -> None:
    mask = stroke_mask(SCAN, points, radius)
    for place in np.ndindex(SCAN):
        nearest = min(distance_to_segment(place, a, b) for a, b in zip(points, points[1:] or points, strict=False))
        own = any(tuple(np.rint(point)) == place for point in points)
        if abs(nearest - radius) > 1e-9:
            assert mask[place] == (nearest < radius or own)


def test_the_smallest_brush_draws_the_position_under_the_pointer() -> None:
    assert np.argwhere(stroke_mask(SCAN, [(3.4, 5.6)], 0.0)).tolist() == [[3, 6]]


def test_a_polygon_is_what_the_pipeline_reads_from_a_file(tmp_path) -> None:
    corners = [[2.0, 3.0], [2.5, 12.0], [9.0, 14.2], [11.0, 4.0], [6.0, 7.0]]
    drawn = {"id": "crystal-01", "apertures": [{"tilt_deg": None, "polygon": corners}]}
    file = tmp_path / "drawn.json"
    file.write_text(json.dumps({"format": "apertura apertures", "version": 1, "scan_shape": SCAN, "crystals": [drawn]}))
    read = read_apertures(file, scan_shape=SCAN, tilt_deg=[0.0])["crystal-01"][0]
    np.testing.assert_array_equal(polygon_mask(SCAN, corners), read)
    assert read.sum() > 40


def test_a_rectangle_holds_its_sides_whichever_corners_are_given() -> None:
    mask = rectangle_mask(SCAN, (8, 2), (3, 6.5))
    assert mask.sum() == 6 * 5
    np.testing.assert_array_equal(mask, rectangle_mask(SCAN, (3, 6.5), (8, 2)))


def test_an_ellipse_is_turned_counter_clockwise_as_displayed() -> None:
    mask = ellipse_mask((41, 41), (20, 20), (2, 15), rotation_deg=45.0)
    assert mask[10, 30], "up and to the right"
    assert not mask[30, 30]
    assert mask.sum() == pytest.approx(np.pi * 2 * 15, rel=0.05)


def test_a_connected_part_ends_where_positions_touch_by_a_corner_only() -> None:
    mask = np.zeros(SCAN, dtype=bool)
    mask[2:5, 2:5] = mask[5:8, 5:8] = True
    part = connected_part(mask, (3, 3))
    assert part.sum() == 9
    assert not connected_part(mask, (0, 0)).any()


def test_a_line_has_two_sides() -> None:
    sides = sides_of_line(SCAN, (0, 5), (13, 5))
    assert set(sides[:, :5].ravel()) != set(sides[:, 6:].ravel())
    assert len(set(sides[:, :5].ravel())) == len(set(sides[:, 6:].ravel())) == 1
    with pytest.raises(ValueError, match="different points"):
        sides_of_line(SCAN, (1, 1), (1, 1))


def test_two_corners_are_no_polygon() -> None:
    with pytest.raises(ValueError, match="three corners"):
        polygon_mask(SCAN, [(0, 0), (3, 3)])
