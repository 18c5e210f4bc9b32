"""Sums and images of a series, against electrons counted one by one."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.drawing import Scene, VirtualDetector
from tasks.drawing.kept_images import KeptImages
from tasks.model import SourceError
from tests.synthetic.random_series import random_series
from tests.synthetic.stored_events import loaded, put_events

SCAN, DETECTOR = (7, 9), (11, 13)


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    return random_series(tmp_path_factory.mktemp("random"), scan_shape=SCAN, detector_shape=DETECTOR)


@pytest.fixture(scope="module")
def scene(series):
    return Scene(series)


def one_by_one(series, tilt, mask):
    scan = series.scans[tilt]
    offsets, events = loaded(scan)
    expected = np.zeros(DETECTOR, dtype=np.uint32)
    for position in np.flatnonzero(mask.ravel()):
        for pixel in events[offsets[position] : offsets[position + 1]]:
            expected[divmod(int(pixel), DETECTOR[1])] += 1
    return expected


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.floats(0, 1), st.integers(0, 2))
def test_a_pattern_counts_every_electron_of_its_positions(scene, series, seed, share, tilt) -> None:
    mask = np.random.default_rng(seed).random(SCAN) < share
    pattern = scene.pattern(tilt, mask)
    assert pattern.dtype == np.uint32
    np.testing.assert_array_equal(pattern, one_by_one(series, tilt, mask))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.lists(st.tuples(st.booleans(), st.floats(0, 0.6)), max_size=12))
def test_a_pattern_changed_bit_by_bit_equals_the_whole_sum(scene, series, seed, edits) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(SCAN) < 0.3
    pattern = scene.pattern(1, mask)
    for add, share in edits:
        touched = rng.random(SCAN) < share
        after = mask | touched if add else mask & ~touched
        before = pattern.copy()
        changed = scene.pattern_changed(1, pattern, after & ~mask, mask & ~after)
        np.testing.assert_array_equal(pattern, before)
        pattern, mask = changed, after
    np.testing.assert_array_equal(pattern, one_by_one(series, 1, mask))


def test_a_position_that_comes_and_goes_at_once_stays_as_it_is(scene) -> None:
    mask = np.zeros(SCAN, dtype=bool)
    mask[2, 3] = True
    pattern = scene.pattern(0, mask)
    np.testing.assert_array_equal(scene.pattern_changed(0, pattern, mask, mask), pattern)


def test_the_image_of_counts_holds_all_electrons(scene, series) -> None:
    for tilt, scan in enumerate(series.scans):
        assert scene.image(tilt, "counts").sum() == scan.counts
        assert scene.image(tilt, "counts").shape == SCAN


@settings(deadline=None, max_examples=15)
@given(
    st.sampled_from(["disc", "ring", "rectangle"]),
    st.tuples(st.floats(-3, 14), st.floats(-3, 16)),
    st.floats(0, 5),
    st.floats(0.1, 8),
)
def test_a_virtual_detector_counts_the_electrons_on_its_pixels(scene, series, shape, centre, inner, wide) -> None:
    detector = VirtualDetector(
        shape=shape, centre_px=centre, inner_px=inner, outer_px=inner + wide, size_px=(wide, 2 * wide)
    )
    image = scene.detector_image(2, detector)
    expected = np.zeros(SCAN)
    for position in np.ndindex(SCAN):
        mask = np.zeros(SCAN, dtype=bool)
        mask[position] = True
        for row, column in np.argwhere(pattern := one_by_one(series, 2, mask)):
            down, right = row - centre[0], column - centre[1]
            radius = np.hypot(down, right)
            inside = {
                "disc": radius**2 <= (inner + wide) ** 2,
                "ring": inner**2 <= radius**2 <= (inner + wide) ** 2,
                "rectangle": abs(down) <= wide / 2 and abs(right) <= wide,
            }[shape]
            expected[position] += pattern[row, column] * inside
    np.testing.assert_allclose(image, expected, atol=0)


def test_two_virtual_detectors_that_share_the_detector_see_all_electrons(scene) -> None:
    disc = VirtualDetector(shape="disc", centre_px=(5.2, 6.1), outer_px=3.3)
    ring = VirtualDetector(shape="ring", centre_px=(5.2, 6.1), inner_px=3.3000001, outer_px=99)
    together = scene.detector_image(0, disc) + scene.detector_image(0, ring)
    np.testing.assert_array_equal(together, scene.counts(0))


@pytest.mark.parametrize(
    "wrong",
    [{"shape": "ring", "inner_px": 3.0, "outer_px": 2.0}, {"shape": "rectangle"}, {"shape": "disc", "outer_px": 0}],
)
def test_a_virtual_detector_without_area_is_refused(wrong) -> None:
    with pytest.raises(ValueError, match="_px"):
        VirtualDetector(centre_px=(1.0, 1.0), **wrong)


def test_no_more_tilts_stay_open_than_are_asked_for(series) -> None:
    scene = Scene(series, open_tilts=2)
    first = scene.opened(0)
    scene.opened(1), scene.opened(0), scene.opened(2)
    assert scene.opened(0) is first, "used last but one: still open"
    scene.opened(1)
    assert scene.opened(0) is first
    scene.opened(1), scene.opened(2)
    assert scene.opened(0) is not first, "used longest ago: released"


def test_going_through_all_tilts_releases_none_that_is_worked_on(series) -> None:
    scene = Scene(series, open_tilts=1)
    mine = scene.opened(1)
    for tilt in range(3):
        scene.counts(tilt), scene.image(tilt, "counts"), scene.centre(tilt)
        scene.detector_image(tilt, VirtualDetector(shape="disc", centre_px=(5, 5), outer_px=2))
    assert scene.opened(1) is mine


def test_kept_images_are_bounded_shared_and_read_only() -> None:
    kept = KeptImages(most_bytes=3 * 4 * 100)
    for tilt in range(5):
        kept.keep(tilt, "counts", np.full((10, 10), tilt, dtype=np.float32))
        kept.get(0, "counts")
    assert [kept.get(tilt, "counts") is not None for tilt in range(5)] == [True, False, False, True, True]
    assert kept.get(4, "counts")[0, 0] == 4
    with pytest.raises(ValueError, match="read-only"):
        kept.get(4, "counts")[0, 0] = 5


def test_several_threads_get_the_same_sums(series) -> None:
    scene, wait = Scene(series, open_tilts=1), threading.Barrier(4)
    masks = [np.random.default_rng(seed).random(SCAN) < 0.5 for seed in range(4)]

    def sums(number):
        wait.wait(timeout=30)
        return [scene.pattern(tilt % 3, masks[number]) for tilt in range(30)]

    with ThreadPoolExecutor(4) as pool:
        for number, found in enumerate(pool.map(sums, range(4))):
            for tilt, pattern in enumerate(found):
                np.testing.assert_array_equal(pattern, one_by_one(series, tilt % 3, masks[number]))


def test_positions_written_twice_are_told(tmp_path) -> None:
    series = random_series(tmp_path, tilts=1, mean=60)
    scan = series.scans[0]
    offsets, events = loaded(scan)
    parts = [events[offsets[p] : offsets[p + 1]] for p in range(63)]
    parts[10] = parts[9]
    put_events(scan.events.path, np.cumsum([0, *map(len, parts)]), np.concatenate(parts))
    assert np.argwhere(Scene(series).repeated(0)).tolist() == [[1, 1]]


def test_events_that_are_gone_are_named(tmp_path) -> None:
    series = random_series(tmp_path)
    scene = Scene(series)
    series.scans[1].events.path.unlink()
    with pytest.raises(SourceError, match=r"scan-001\.h5 are no longer there"):
        scene.counts(1)


def test_a_mask_of_another_scan_is_refused(scene) -> None:
    with pytest.raises(ValueError, match=r"bool \(7, 9\)"):
        scene.pattern(0, np.zeros((7, 8), dtype=bool))
    with pytest.raises(ValueError, match="float64"):
        scene.pattern(0, np.zeros(SCAN))
