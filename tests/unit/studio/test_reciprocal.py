"""What lies upon the pattern."""

import numpy as np

from flows.studio.reciprocal import apart


def test_of_spots_close_together_the_first_is_named_and_those_apart_in_either_direction_are() -> None:
    points = [(10.0, 10.0), (12.0, 20.0), (16.0, 10.0), (10.0, 45.0), (15.0, 44.0)]
    assert apart(points, np.array([5.0, 30.0])) == [True, False, True, True, True]


def test_a_name_that_was_left_out_takes_no_room() -> None:
    points = [(10.0, 10.0), (13.0, 10.0), (16.0, 10.0)]
    assert apart(points, np.array([5.0, 30.0])) == [True, False, True]
