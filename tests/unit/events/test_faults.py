"""Faults of a detector are found from the sums of scans alone, and a sound detector has none."""

import itertools

import numpy as np
import pytest

from tasks.events.empty_rectangles import PixelRectangle, heaviest_empty
from tasks.events.expected import expected_counts, rings_about
from tasks.events.faults import FoundFaults, find_faults
from tests.synthetic.scan_sums import CENTRE, SHAPE, scan_sums

NONE = np.zeros(SHAPE, dtype=bool)
SCANS = 18


def found_in(sums: np.ndarray, bad: np.ndarray = NONE) -> FoundFaults:
    return find_faults(lambda scan: sums[scan], len(sums), bad, start=CENTRE)


def masked(found: FoundFaults) -> np.ndarray:
    return ~found.masks[found.mask_of_scan]


@pytest.fixture(scope="module")
def sums() -> np.ndarray:
    return scan_sums(SCANS, seed=1)


def test_the_heaviest_empty_rectangle_is_that_of_trying_them_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        occupied, expected = rng.random((7, 9)) < 0.2, rng.random((7, 9))
        best = max(
            (expected[t:b, l:r].sum(), (t, l, b, r))
            for t in range(7) for b in range(t + 1, 8) for l in range(9) for r in range(l + 1, 10)
            if not occupied[t:b, l:r].any()
        )  # fmt: skip
        place, weight = heaviest_empty(occupied, expected)
        assert weight == pytest.approx(best[0])
        assert place == PixelRectangle(*best[1])


def test_what_is_expected_is_the_level_between_the_reflections() -> None:
    rng = np.random.default_rng(2)
    rings = rings_about(CENTRE, SHAPE)
    radius = np.hypot(*(np.indices(SHAPE) - CENTRE[:, None, None]))
    truth = 2.0 * np.exp(-radius / 60.0)
    pattern = rng.poisson(truth)
    pattern[100:103, 40:200:10] += 30
    got = expected_counts(pattern.astype(np.uint32), ~NONE, rings)
    outside = (radius > 20) & (radius < 140)
    assert np.median(got[outside] / truth[outside]) == pytest.approx(1.0, abs=0.08)


@pytest.mark.parametrize("seed", [11, 12, 13])
@pytest.mark.parametrize("background", [0.12, 0.004])
def test_a_sound_detector_has_no_faults(seed: int, background: float) -> None:
    """With hardly any background too, where next to nothing is counted between reflections and beyond them."""
    found = found_in(scan_sums(10, seed=seed, background=background))
    assert [fault.kind for fault in found.faults] == []
    assert found.masks.all()


def test_a_sector_dead_always_another_sometimes_and_ten_rows(sums: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    bad = np.zeros(sums.shape, dtype=bool)
    bad[:, :72] = True
    some = rng.choice(SCANS, SCANS // 3, replace=False)
    bad[some, 144:216] = True
    bad[:, rng.choice(np.r_[76:140, 220:260], 10, replace=False)] = True
    found = found_in(np.where(bad, 0, sums).astype(np.uint32))
    got = masked(found)
    assert (bad & ~got).sum() < 0.02 * bad.sum()
    assert (got & ~bad).sum() < 0.002 * (~bad).sum()
    sectors = [fault for fault in found.faults if fault.kind == "sector"]
    assert sorted(len(fault.scans) for fault in sectors) == [SCANS // 3, SCANS]
    assert sum(fault.kind == "rows" for fault in found.faults) >= 6


def test_a_row_that_is_dead_in_some_scans_is_found_by_how_often_it_is_empty(sums: np.ndarray) -> None:
    bright = scan_sums(24, seed=4, electrons=20000)
    bright[::3, 170] = 0
    (fault,) = found_in(bright).faults
    assert fault.kind == "rows"
    assert fault.scans.tolist() == list(range(0, 24, 3))
    np.testing.assert_array_equal(np.flatnonzero(fault.pixels.any(axis=1)), [170])


@pytest.mark.parametrize("place", [(143.5, 143.5), (150.0, 137.0), (175.0, 160.0)])
@pytest.mark.parametrize("softness", [0.0, 0.7])
def test_a_beam_stop_is_found_wherever_it_stands(sums: np.ndarray, place: tuple[float, float], softness: float) -> None:
    distance = np.hypot(*(np.indices(SHAPE) - np.array(place)[:, None, None])) - 18.0
    passing = (distance > 0) if softness == 0 else 1.0 / (1.0 + np.exp(-distance / softness))
    stopped = np.random.default_rng(5).binomial(sums.astype(np.int64), np.broadcast_to(passing, sums.shape))
    got = masked(found_in(stopped.astype(np.uint32)))[0]
    assert (got & (distance < -2)).sum() > 0.97 * (distance < -2).sum()
    assert (got & (distance > 8)).sum() < 0.2 * (distance < 0).sum()


def test_a_hot_row_and_pixels_are_found_and_a_row_of_spots_is_not(sums: np.ndarray) -> None:
    noisy = sums.copy()
    for row, column in itertools.product((142, 143, 144), (-1, 0, 1)):  # reflections on the tilt axis stay excited
        noisy[:, row, 20 + column : 270 : 10] += 60 if row == 143 and column == 0 else 25
    noisy[:, 200] += 3
    noisy[:, 60, 61] += 500
    found = found_in(noisy)
    got = masked(found)[0]
    assert got[200].all()
    assert got[60, 61]
    assert got.sum() == SHAPE[1] + 1


def test_nothing_is_masked_where_nothing_scatters(sums: np.ndarray) -> None:
    radius = np.hypot(*(np.indices(SHAPE) - CENTRE[:, None, None]))
    assert found_in(np.where(radius < 90, sums, 0).astype(np.uint32)).masks.all()


def test_an_ice_ring_is_no_fault_and_nor_is_what_lies_within(sums: np.ndarray) -> None:
    rng = np.random.default_rng(6)
    radius = np.hypot(*(np.indices(SHAPE) - CENTRE[:, None, None]))
    ring = rng.poisson(np.where(np.abs(radius - 80) < 2, 12.0, 0.0), sums.shape)
    assert found_in((sums + ring).astype(np.uint32)).masks.all()


def test_what_is_stated_is_masked_and_not_looked_at(sums: np.ndarray) -> None:
    stated = NONE.copy()
    stated[:, 30:34] = True
    found = found_in(sums, stated)
    np.testing.assert_array_equal(found.masks[0], ~stated)
    assert found.faults == ()


def test_scans_without_an_electron_have_no_faults() -> None:
    assert found_in(np.zeros((6, *SHAPE), dtype=np.uint32)).masks.all()
