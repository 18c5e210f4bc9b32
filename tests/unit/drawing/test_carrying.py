"""Masks carried over the tilts, against the truth of a simulated cluster that drifts, and against closed forms."""

import numpy as np
import pytest
from scipy import ndimage

from tasks.drawing import Scene, carry, drift_of_images, find_drift
from tasks.drawing.carrying import across_the_axis, moved_mask
from tests.synthetic.random_series import random_series

MIDDLE = 8


@pytest.fixture(scope="module")
def scene(drifting):
    return Scene(drifting[0])


@pytest.fixture(scope="module")
def drift(scene):
    return find_drift(scene)


def share_in_common(one, other) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))


def test_the_drift_is_that_of_the_stage(drifting, drift) -> None:
    """The field moves with the stage; what differs is how crystals at different heights move on the average."""
    angle = np.radians(drifting[0].scan.rotation_deg)
    fast, slow = np.array([np.cos(angle), np.sin(angle)]), np.array([np.sin(angle), -np.cos(angle)])
    stage = drifting[1].drift[:, :2] @ np.stack([slow, fast]).T
    along = np.array([-1, 1]) * across_the_axis(drifting[0])[::-1]
    difference = drift.offsets - stage
    assert np.std(stage @ along) > 1.0
    assert np.std(difference @ along) < 0.5
    assert np.std(difference @ across_the_axis(drifting[0])) < 0.5
    assert drift.sureness.min() > 0.4


def test_crystals_are_carried_to_where_they_are_at_other_tilts(scene, drifting, drift) -> None:
    truth = drifting[1].thickness > 0
    carried, stayed, sure = [], [], []
    for number in range(truth.shape[1]):
        found = carry(scene, truth[MIDDLE, number], tilt=MIDDLE, to=range(len(truth)), drift=drift)
        for tilt in range(len(truth)):
            if tilt != MIDDLE:
                carried.append(share_in_common(found.masks[tilt], truth[tilt, number]))
                stayed.append(share_in_common(truth[MIDDLE, number], truth[tilt, number]))
                sure.append(found.sureness[tilt])
        np.testing.assert_array_equal(found.masks[MIDDLE], truth[MIDDLE, number])
        assert found.sureness[MIDDLE] == 1.0
    assert np.mean(carried) > 0.78
    assert np.mean(carried) > np.mean(stayed) + 0.15
    assert 0.3 < np.median(sure) < 1.0


def test_a_mask_comes_only_to_the_tilts_that_are_named(scene, drifting, drift) -> None:
    found = carry(scene, drifting[1].thickness[MIDDLE, 0] > 0, tilt=MIDDLE, to=[7, 10], drift=drift)
    assert np.flatnonzero(found.masks.any(axis=(1, 2))).tolist() == [7, MIDDLE, 10]
    assert np.flatnonzero(found.sureness).tolist() == [7, MIDDLE, 10]


@pytest.mark.parametrize(
    ("rotation", "axis", "expected"),
    [(0.0, (1, 0, 0), (-1, 0)), (0.0, (0, 1, 0), (0, -1)), (90.0, (1, 0, 0), (0, 1)), (30.0, (0, 0, 1), (0, 0))],
)
def test_across_the_axis_follows_the_rotation_of_the_scan(tmp_path, rotation, axis, expected) -> None:
    series = random_series(tmp_path, tilts=1, mean=1)
    scan = series.scan.model_copy(update={"rotation_deg": rotation})
    found = across_the_axis(series.model_copy(update={"scan": scan, "tilt_axis": axis}))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_moved_mask_keeps_its_form_and_is_cut_at_the_edge() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[5:10, 6:12] = True
    moved = moved_mask(mask, np.array([3.0, -4.0]), across=np.array([1.0, 0.0]))
    np.testing.assert_array_equal(moved[8:13, 2:8], True)
    assert moved.sum() == mask.sum()
    assert moved_mask(mask, np.array([0.0, -9.0]), across=np.array([1.0, 0.0])).sum() == 5 * 3
    assert not moved_mask(mask, np.array([30.0, 0.0]), across=np.array([1.0, 0.0])).any()


def test_a_plate_narrows_across_the_axis_alone() -> None:
    mask = np.zeros((41, 41), dtype=bool)
    mask[10:31, 12:29] = True
    narrow = moved_mask(mask, np.zeros(2), across=np.array([1.0, 0.0]), narrowed=0.5)
    assert narrow.any(axis=0).sum() == 17
    assert narrow.any(axis=1).sum() == pytest.approx(10.5, abs=1)


def test_parallax_alone_is_found(tmp_path) -> None:
    """Two bodies at different heights on a field that does not drift: each is carried by its own motion."""
    series = random_series(tmp_path, tilts=9, scan_shape=(60, 60), detector_shape=(4, 4), mean=0.1)
    scans = tuple(
        scan.model_copy(update={"tilt_deg": float(angle)})
        for scan, angle in zip(series.scans, range(-40, 41, 10), strict=True)
    )
    scene = Scene(series.model_copy(update={"scans": scans}))
    angles = np.radians(scene.tilt_deg)
    rng = np.random.default_rng(3)
    textures = rng.random((2, 9, 9)) + 0.5
    images = np.full((9, 60, 60), 0.01)
    places = []
    for texture, column, height in zip(textures, (12, 36), (6.0, -6.0), strict=True):
        rows = np.rint(25 - 10 * np.cos(angles) + height * np.sin(angles)).astype(int)
        places.append((rows, column))
        for tilt, row in enumerate(rows):
            images[tilt, row : row + 9, column : column + 9] += texture
    drift = drift_of_images(images, "made up")
    for rows, column in places:
        mask = np.zeros((60, 60), dtype=bool)
        mask[rows[4] : rows[4] + 9, column : column + 9] = True
        found = carry(scene, mask, tilt=4, to=range(9), drift=drift)
        for tilt in range(9):
            centre = ndimage.center_of_mass(found.masks[tilt])
            assert centre == pytest.approx((rows[tilt] + 4, column + 4), abs=1.1)


def test_a_jump_of_any_size_is_found_and_a_blank_scan_keeps_its_place() -> None:
    rng = np.random.default_rng(5)
    scene = ndimage.gaussian_filter(rng.random((90, 90)), 2.0) ** 8
    corners = [(20, 20), (21, 19), (4, 40), (5, 41), (20, 21)]
    images = np.array([scene[row : row + 40, column : column + 40] for row, column in corners])
    images[3] = 0.0
    drift = drift_of_images(images / images.max(), "made up")
    expected = np.array(corners[0]) - np.array(corners)
    np.testing.assert_allclose(drift.offsets[[0, 1, 2, 4]], expected[[0, 1, 2, 4]], atol=0.7)
    assert drift.sureness[3] == 0.0


def test_an_empty_mask_is_not_carried(scene, drift) -> None:
    with pytest.raises(ValueError, match="empty mask"):
        carry(scene, np.zeros(scene.scan_shape, dtype=bool), tilt=0, to=[1], drift=drift)
