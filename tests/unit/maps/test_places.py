"""Positions of tilted bodies brought back to the specimen."""

import numpy as np
import pytest

from tasks.maps.places import axes_in_scan, body_moments, map_places, regression

TILTS = np.arange(-60.0, 61.0, 10.0)


def test_axes_follow_the_rotation_of_the_scan() -> None:
    assert axes_in_scan(np.array([1.0, 0, 0]), 0.0) == pytest.approx(np.array([[0.0, 1.0], [-1.0, 0.0]]))
    assert axes_in_scan(np.array([1.0, 0, 0]), 90.0) == pytest.approx(np.array([[1.0, 0.0], [0.0, 1.0]]), abs=1e-12)


@pytest.mark.parametrize(("depth", "power"), [(0.6, -1), (10.0, 1)])
def test_a_plate_is_foreshortened_and_a_ball_is_looked_through(depth: float, power: int) -> None:
    body = np.diag([100.0, 100.0, depth**2])
    seen = []
    for tilt in np.radians(TILTS):
        turn = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)]])
        seen.append(turn @ body @ turn.T)
    found = body_moments(np.array(seen), TILTS)
    assert found == pytest.approx(body, rel=0.01, abs=0.3)
    assert regression(found, 40.0) == pytest.approx(np.diag([1.0, np.cos(np.radians(40.0)) ** power]), abs=0.01)


def test_a_plate_that_drifts_is_the_same_cells_at_every_tilt() -> None:
    rows, columns = np.indices((40, 40))
    masks = np.zeros((len(TILTS), 40, 40), dtype=bool)
    for number, tilt in enumerate(np.radians(TILTS)):
        off = rows - 18.0 - 0.5 * number, columns - 20.0
        masks[number] = (np.abs(off[0]) <= 9 * np.cos(tilt)) & (np.abs(off[1]) <= 6)
    places = map_places(masks, masks, TILTS, axes_in_scan(np.array([1.0, 0, 0]), 0.0))
    own = np.unique(places.cell[places.reference][masks[places.reference]])
    assert places.reference == 6
    for number, mask in enumerate(masks):
        found = np.unique(places.cell[number][mask])
        assert np.isin(found, own).mean() > 0.95
        assert np.ptp(np.divmod(found, 40)[0]) == pytest.approx(18, abs=2)
        assert np.ptp(np.divmod(found, 40)[1]) == 12
