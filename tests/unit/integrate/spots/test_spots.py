import numpy as np
import pytest
from scipy import stats

from tasks.integrate.spots.background import noise_factor, ring_background
from tasks.integrate.spots.spot_search import (
    SpotFinder,
    Spots,
    direct_beam_radius,
    find_spots,
    lone_pixels,
    merge_over_frames,
    poisson_significance,
    radii_px,
)

SHAPE = (200, 220)
CENTRE = np.array([99.5, 109.5])
RADIUS = radii_px(SHAPE, CENTRE)
VALID = np.ones(SHAPE, bool)


def halo(strength: float) -> np.ndarray:
    return strength * (np.exp(-RADIUS / 40.0) + 0.5 * np.exp(-(((RADIUS - 60) / 8) ** 2)))


def spot(position: tuple[float, float], counts: float, sigma: float = 1.2) -> np.ndarray:
    slow, fast = np.mgrid[: SHAPE[0], : SHAPE[1]]
    shape = np.exp(-0.5 * ((slow - position[0]) ** 2 + (fast - position[1]) ** 2) / sigma**2)
    return counts * shape / (2 * np.pi * sigma**2)


def test_significance_is_the_normal_deviate_of_the_poisson_tail() -> None:
    for expected, counts in ((100.0, 150), (10.0, 30), (1.0, 12)):
        tail = stats.poisson.sf(counts - 0.5, expected)
        assert poisson_significance(np.array([counts]), np.array([expected]))[0] == pytest.approx(
            stats.norm.isf(tail), abs=0.35
        )


@pytest.mark.parametrize("strength", [0.05, 1.0, 30.0])
def test_the_background_of_a_halo_is_found_from_a_twentieth_of_a_count_up(strength: float) -> None:
    truth = halo(strength) * (1 + 0.2 * (np.arange(SHAPE[1]) - 110) / 110)
    image = np.random.default_rng(1).poisson(truth).astype(np.float32)
    found = ring_background(image, VALID, RADIUS)
    inside = RADIUS < 80
    assert found[inside].sum() == pytest.approx(image[inside].sum(), rel=0.05)
    assert np.median(np.abs(found / truth - 1)[inside]) < 0.25


def test_spots_are_found_to_a_tenth_of_a_pixel_and_a_halo_ring_is_not_a_spot() -> None:
    rng = np.random.default_rng(2)
    truth = np.array([[40.3, 60.7], [150.2, 40.9], [99.5, 170.1], [30.0, 190.0]])
    model = halo(2.0) + sum(spot(tuple(position), 400.0) for position in truth)
    image = rng.poisson(model).astype(np.float32)
    background = ring_background(image, VALID, RADIUS)
    found = find_spots(
        image, VALID, background, radius=RADIUS, finder=SpotFinder(threshold=5.0, radius=2.5, inner_radius=8.0)
    )
    assert len(found.px) == len(truth)
    distance = np.linalg.norm(found.px[:, None] - truth[None], axis=2).min(axis=1)
    assert distance.max() < 0.2


def test_pure_background_gives_no_spots_at_any_level() -> None:
    rng = np.random.default_rng(3)
    for strength in (0.02, 0.3, 5.0):
        image = rng.poisson(halo(strength)).astype(np.float32)
        background = ring_background(image, VALID, RADIUS)
        finder = SpotFinder(threshold=5.0, radius=2.5, inner_radius=8.0)
        assert len(find_spots(image, VALID, background, radius=RADIUS, finder=finder).px) <= 1


def test_a_masked_pixel_makes_no_spot() -> None:
    image = np.full(SHAPE, 0.0, np.float32)
    image[50, 50] = 1e4
    valid = VALID.copy()
    valid[50, 50] = False
    background = ring_background(image, valid, RADIUS)
    finder = SpotFinder(threshold=5.0, radius=2.5, inner_radius=8.0)
    assert len(find_spots(image, valid, background, radius=RADIUS, finder=finder).px) == 0


def test_a_lonely_pixel_is_hot_a_dead_one_dead_and_a_spot_on_the_axis_neither() -> None:
    rng = np.random.default_rng(4)
    model = halo(4.0) + spot((99.5, 150.0), 300.0, sigma=0.8)
    model[20, 30] += 25.0
    frames = rng.poisson(np.broadcast_to(model, (40, *SHAPE)))
    frames[:, 80, 90] = 0
    frames[3, 30:36, 180:186] += rng.poisson(60.0, (6, 6))  # a strong spot that passes once
    hot = lone_pixels(frames.mean(axis=0), 40, VALID)
    assert np.argwhere(hot).tolist() == [[20, 30], [80, 90]]


def test_the_direct_beam_is_as_wide_as_it_looks() -> None:
    mean = 500.0 * np.exp(-0.5 * (RADIUS / 3.0) ** 2) + halo(1.0)
    assert 5.0 < direct_beam_radius(mean, VALID, RADIUS) < 12.0


def test_clusters_of_counts_raise_the_noise_and_single_counts_do_not() -> None:
    rng = np.random.default_rng(5)
    single = rng.poisson(np.full(SHAPE, 3.0)).astype(np.float32)
    electrons = rng.poisson(np.full(SHAPE, 1.0))
    clustered = (electrons + np.roll(electrons, 1, 0) + np.roll(electrons, 1, 1)).astype(np.float32)
    flat = np.full(SHAPE, 3.0, np.float32)
    assert noise_factor(single, VALID, flat, 5) == pytest.approx(1.0, abs=0.1)
    assert noise_factor(clustered, VALID, flat, 5) == pytest.approx(2.75, abs=0.4)


def test_spots_on_neighbouring_frames_are_one_reflection() -> None:
    px = np.array([[10.0, 10.0], [10.5, 10.2], [10.9, 10.1], [10.0, 10.0], [50.0, 50.0]])
    spots = Spots(px, np.array([0, 1, 2, 5, 1]), np.ones(5), np.ones(5))
    group = merge_over_frames(spots, 2.5)
    assert group[0] == group[1] == group[2]
    assert len(set(group.tolist())) == 3
