"""Electrons lost to others of the same camera frame: closed forms, simulated cameras of several rules."""

import numpy as np
import pytest

from tasks.events.coincidence import arrived, lost_share, variance_factor
from tasks.events.pairs import count_pairs, exclusion_reach, no_pairs
from tasks.events.store import ScanEvents, camera_frames, exposed_frames
from tests.synthetic.thinned import RULES, Rule, thinned

SHAPE = (40, 40)


def exposed(
    rng: np.random.Generator, rate: float, frames: int, sigma: float, brightness: np.ndarray | None = None
) -> ScanEvents:
    """Return one spot in the middle of `frames` positions, `rate` electrons in each."""
    bright = np.ones(frames) if brightness is None else brightness
    number = rng.poisson(rate * bright)
    place = np.rint(19.8 + rng.normal(size=(number.sum(), 2)) * sigma).astype(int)
    offsets = np.concatenate([[0], np.cumsum(number)]).astype(np.uint64)
    return ScanEvents(offsets, (place[:, 0] * SHAPE[1] + place[:, 1]).astype(np.uint32))


def counted(scan: ScanEvents, rule: Rule, rng: np.random.Generator) -> ScanEvents:
    return ScanEvents(*thinned(scan.offsets, scan.events, SHAPE, rule, rng))


def image(scan: ScanEvents) -> np.ndarray:
    return np.bincount(scan.events, minlength=SHAPE[0] * SHAPE[1]).reshape(SHAPE).astype(np.uint32)


@pytest.mark.parametrize("rate", [0.05, 0.5, 1.5, 3.0])
def test_a_uniform_field_gives_the_density_of_materns_second_process(rate: float) -> None:
    rng = np.random.default_rng(1)
    frames = 150
    number = rng.poisson(rate / 9 * SHAPE[0] * SHAPE[1], frames)
    events = rng.integers(0, SHAPE[0] * SHAPE[1], number.sum()).astype(np.uint32)
    scan = ScanEvents(np.concatenate([[0], np.cumsum(number)]).astype(np.uint64), events)

    left = image(counted(scan, "marks", rng))[5:-5, 5:-5]

    assert left.mean() / frames == pytest.approx((1 - np.exp(-rate)) / 9, rel=0.04)
    assert float(lost_share(rate)) == pytest.approx(1 - (1 - np.exp(-rate)) / rate, abs=1e-5)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("rate", "sigma"), [(0.3, 0.3), (1.0, 0.4), (2.0, 0.4)])
def test_what_arrived_is_found_whichever_electron_survives(rule: Rule, rate: float, sigma: float) -> None:
    rng = np.random.default_rng(2)
    scan = exposed(rng, rate, 4000, sigma)
    left = counted(scan, rule, rng)

    found = arrived(image(left), np.ones(4000), repeats=1.0, reach=1)

    assert len(left.events) < (1 - 0.4 * rate / (1 + rate)) * len(scan.events)
    # first come is denser than random marks where a spot is wider than the reach
    assert (image(left) * found.factor).sum() == pytest.approx(len(scan.events), rel=0.04 if rule == "first" else 0.025)


def test_positions_of_unequal_brightness_are_told_from_equal_ones() -> None:
    rng = np.random.default_rng(3)
    bright = np.tile([0.2, 0.6, 1.2, 2.0], 1000)
    scan = exposed(rng, 1.5, 4000, 0.3, bright)
    seen = image(counted(scan, "marks", rng))
    right = (seen * arrived(seen, bright, repeats=1.0, reach=1).factor).sum()
    equal = (seen * arrived(seen, np.ones(4000), repeats=1.0, reach=1).factor).sum()
    assert right == pytest.approx(len(scan.events), rel=0.03)
    assert equal < 0.9 * len(scan.events)


def test_single_counts_of_few_positions_are_left_alone() -> None:
    seen = np.zeros(SHAPE, dtype=np.uint32)
    seen[3::8, 3::8] = 1
    assert arrived(seen, np.ones(20), repeats=1.0, reach=1).factor.max() == pytest.approx(1.0, abs=0.005)


def test_the_variance_is_that_of_repeated_experiments() -> None:
    rng = np.random.default_rng(4)
    rate, frames = 1.5, 200
    hits = (rng.poisson(rate, (4000, frames)) > 0).sum(axis=1)
    inferred = -np.log1p(-hits / (frames + 0.5)) * frames
    assert inferred.mean() == pytest.approx(rate * frames, rel=0.01)
    assert inferred.var() == pytest.approx(rate * frames * float(variance_factor(np.array(rate))), rel=0.08)


@pytest.mark.parametrize("rule", RULES)
def test_missing_pairs_tell_how_far_one_electron_hides_another(rule: Rule) -> None:
    rng = np.random.default_rng(5)
    scan = exposed(rng, 1.0, 2000, 1.0)
    positions = np.arange(2000)
    assert exclusion_reach(count_pairs(scan, positions, SHAPE)) == -1
    assert exclusion_reach(count_pairs(counted(scan, rule, rng), positions, SHAPE)) == 1
    assert exclusion_reach(no_pairs()) is None
    once = ScanEvents(scan.offsets, scan.events)
    each = [np.unique(once.events[a:b]) for a, b in zip(*camera_frames(once, positions), strict=True)]
    binary = ScanEvents(
        np.concatenate([[0], np.cumsum([len(part) for part in each])]).astype(np.uint64), np.concatenate(each)
    )
    assert exclusion_reach(count_pairs(binary, np.arange(len(each)), SHAPE)) == 0


def test_pairs_of_independent_electrons_are_as_many_as_expected() -> None:
    pairs = count_pairs(exposed(np.random.default_rng(6), 1.0, 4000, 1.0), np.arange(4000), SHAPE)
    assert (np.abs(pairs.found - pairs.expected) < 4 * np.sqrt(pairs.expected)).all()


def test_camera_frames_of_a_position_are_told_apart() -> None:
    scan = ScanEvents(
        np.array([0, 3, 3, 6], dtype=np.uint64),
        np.array([7, 7, 8, 1, 2, 2], dtype=np.uint32),
        np.array([0, 1, 3, 6], dtype=np.uint64),
    )
    begins, ends = camera_frames(scan, np.array([0, 1, 2]))
    assert begins.tolist() == [0, 1, 3]
    assert ends.tolist() == [1, 3, 6]
    assert camera_frames(scan, np.array([2]))[0].tolist() == [3]


@pytest.mark.parametrize("mean", [0.5, 3.0, 50.0])
def test_lost_camera_frames_are_told_from_empty_ones(mean: float) -> None:
    rng = np.random.default_rng(7)
    sizes = rng.poisson(mean, 20_000) * (rng.random(20_000) > 0.1)
    ends = np.cumsum(sizes)
    filled = sizes > 0
    assert exposed_frames((ends - sizes)[filled], ends[filled], 20_000) == pytest.approx(18_000, rel=0.08)
