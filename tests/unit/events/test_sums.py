"""Sums of events and the coins that split them, against counts made one by one."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tasks.events.canvas import canvas_for
from tasks.events.coin import coin_of_event, coin_of_tilt
from tasks.events.labelled_events import LabelledEvents
from tasks.events.store import ScanEvents
from tasks.events.sums import sum_events, sum_pattern
from tasks.events.virtual_detectors import BACKGROUND, BEAM, IGNORED, beam_moments

SHAPE = (6, 7)
THROWS = 100_000


def scan_of(seed: int, positions: int = 9) -> ScanEvents:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 12, positions)
    events = rng.integers(0, SHAPE[0] * SHAPE[1], lengths.sum()).astype(np.uint32)
    return ScanEvents(np.concatenate([[0], np.cumsum(lengths)]).astype(np.uint64), events)


def one_by_one(scan: ScanEvents, shifts: np.ndarray, keep: np.ndarray) -> np.ndarray:
    expected = np.zeros(SHAPE, dtype=int)
    for position in np.flatnonzero(keep):
        for pixel in scan.events[int(scan.offsets[position]) : int(scan.offsets[position + 1])]:
            row, column = np.array(divmod(int(pixel), SHAPE[1])) + shifts[position]
            if 0 <= row < SHAPE[0] and 0 <= column < SHAPE[1]:
                expected[row, column] += 1
    return expected


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000))
def test_the_pattern_of_a_scan_counts_each_electron_where_it_was_moved(seed: int) -> None:
    rng, scan = np.random.default_rng(seed + 1), scan_of(seed)
    shifts, keep = rng.integers(-3, 4, (9, 2)).astype(np.int32), rng.random(9) < 0.7
    none, every = np.zeros((9, 2), dtype=int), np.ones(9, dtype=bool)
    np.testing.assert_array_equal(sum_pattern(scan, SHAPE), one_by_one(scan, none, every))
    np.testing.assert_array_equal(sum_pattern(scan, SHAPE, shifts=shifts), one_by_one(scan, shifts, every))
    np.testing.assert_array_equal(sum_pattern(scan, SHAPE, shifts=shifts, keep=keep), one_by_one(scan, shifts, keep))


def test_the_pattern_is_the_part_of_the_exact_sum_that_lies_on_the_detector() -> None:
    scan, shifts = scan_of(3), np.random.default_rng(4).integers(-3, 4, (9, 2))
    canvas = canvas_for(shifts, SHAPE)
    whole, _ = sum_events(
        scan, positions=np.arange(9), shifts=shifts, detector_columns=SHAPE[1], canvas=canvas, coin=None
    )
    assert whole.sum() == len(scan.events)
    inside = whole[canvas.top : canvas.top + SHAPE[0], canvas.left : canvas.left + SHAPE[1]]
    np.testing.assert_array_equal(sum_pattern(scan, SHAPE, shifts=shifts), inside)


def test_virtual_detectors_count_each_electron_once() -> None:
    scan, labels = scan_of(5), np.full(SHAPE, BACKGROUND, dtype=np.int32)
    labels[2:4, 2:4], labels[0, 0], labels[5, 5], labels[1, 6] = BEAM, IGNORED, 1, 2
    good = np.arange(9) != 4
    found, some = (
        LabelledEvents(scan, labels, shifts=np.zeros((9, 2), dtype=np.int32), spots=3, seed=1, good=which)
        for which in (np.ones(9, dtype=bool), good)
    )
    pattern = sum_pattern(scan, SHAPE)
    assert found.beam.sum() == pattern[labels == BEAM].sum()
    assert found.background.sum() == pattern[labels == BACKGROUND].sum()
    counts = (found.halves[0] + found.halves[1]).toarray()
    assert counts.sum(axis=0).tolist() == [pattern[5, 5], pattern[1, 6], 0]
    assert min(half.sum() for half in found.halves) > 0
    np.testing.assert_array_equal((some.halves[0] + some.halves[1]).toarray(), counts * good[:, None])


def test_the_moments_of_the_beam_are_those_of_its_electrons() -> None:
    scan = ScanEvents(np.array([0, 3, 3], dtype=np.uint64), np.array([16, 18, 41], dtype=np.uint32))
    moments = beam_moments(scan, SHAPE[1], centre=np.array([2.0, 3.0]), radius_px=1.5)
    np.testing.assert_array_equal(moments, [[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])


def throws(seed: int) -> np.ndarray:
    return np.array([coin_of_event(index, seed) for index in range(THROWS)])


def test_both_coins_are_fair_and_repeat() -> None:
    for coin in (throws(0), coin_of_tilt(0, 3).integers(0, 2, THROWS)):
        assert stats.binomtest(int(coin.sum()), THROWS).pvalue > 1e-4
        assert stats.binomtest(int((coin[1:] == coin[:-1]).sum()), THROWS - 1).pvalue > 1e-4
    np.testing.assert_array_equal(throws(7), throws(7))
    np.testing.assert_array_equal(coin_of_tilt(7, 1).integers(0, 2, 99), coin_of_tilt(7, 1).integers(0, 2, 99))


def test_the_coins_of_apertures_and_frames_are_independent_even_with_one_seed() -> None:
    for seed in (0, 1, 20261122):
        agree = int((throws(seed) == coin_of_tilt(seed, 0).integers(0, 2, THROWS, dtype=np.uint8)).sum())
        assert stats.binomtest(agree, THROWS).pvalue > 1e-4
