"""Polygons whose sides cross."""

import numpy as np
import pytest

from tasks.apertures.polygons import crossing_sides

CIRCLE = np.stack([np.cos(np.arange(7)), np.sin(np.arange(7))], axis=1)
"""Seven corners in order around a circle, nearly once."""


@pytest.mark.parametrize(
    "corners",
    [
        CIRCLE,
        CIRCLE[::-1],
        [[0, 0], [0, 4], [4, 4], [1, 2], [4, 0]],  # hollow
        [[0, 0], [0, 2], [0, 4], [4, 4], [4, 4], [4, 0]],  # corners on a side, and one twice
        [[0, 0], [2, 2], [0, 4], [4, 4], [2, 2], [4, 0]],  # two triangles that touch
    ],
)
def test_a_polygon_drawn_around_its_region_crosses_nowhere(corners) -> None:
    assert crossing_sides(np.asarray(corners, dtype=np.float64)) is None


@pytest.mark.parametrize("swapped", [(first, second) for first in range(7) for second in range(first)])
def test_two_corners_of_a_circle_in_each_others_place_make_sides_cross(swapped: tuple[int, int]) -> None:
    corners = CIRCLE.copy()
    corners[list(swapped)] = corners[list(swapped)[::-1]]
    sides = crossing_sides(corners)
    assert sides is not None
    first, second = ((corners[side], corners[(side + 1) % 7]) for side in sides)
    along = np.stack([first[1] - first[0], second[0] - second[1]], axis=1)
    share = np.linalg.solve(along, second[0] - first[0])
    assert (share > 0).all()
    assert (share < 1).all()
