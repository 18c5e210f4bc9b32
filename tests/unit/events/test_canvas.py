"""Where shifted detectors measure: not where any of the shifts lays a pixel that does not count."""

import numpy as np

from tasks.events.canvas import canvas_for, covered, measured


def test_a_pixel_is_measured_if_no_shift_brings_a_masked_one_there() -> None:
    rng = np.random.default_rng(4)
    valid = rng.random((12, 15)) > 0.05
    shifts = rng.integers(-3, 4, (40, 2))
    canvas = canvas_for(shifts, valid.shape)
    expected = np.ones(canvas.shape, dtype=bool)
    for row, column in np.argwhere(~valid):
        for shift in shifts:
            expected[row + shift[0] + canvas.top, column + shift[1] + canvas.left] = False
    np.testing.assert_array_equal(measured(shifts, valid, canvas), expected)
    assert measured(shifts, np.ones_like(valid), canvas).all()


def test_a_dead_row_is_smeared_over_the_rows_that_the_shifts_span() -> None:
    valid = np.ones((20, 8), dtype=bool)
    valid[10] = False
    shifts = np.array([[0, 0], [1, 0], [2, 0]])
    canvas = canvas_for(shifts, (20, 8))
    mask = measured(shifts, valid, canvas)
    assert np.flatnonzero(~mask.any(axis=1)).tolist() == [10, 11, 12]
    assert np.flatnonzero(covered(shifts, (20, 8), canvas).any(axis=1)).tolist() == list(range(2, 20))
