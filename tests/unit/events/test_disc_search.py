"""Discs in counted patterns: found where they overlap, centred by their edge, and not found in noise."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from tasks.events.beam_disc import BeamDisc
from tasks.events.disc_background import DiscRings
from tasks.events.disc_search import FoundDiscs, box_sums, find_discs, poisson_deviation

SHAPE = (300, 300)
RADIUS = np.hypot(*(np.indices(SHAPE) - 150.0))
BACKGROUND = 0.05
EDGE = 0.58


def drawn(seed: int, radius: float, *, nearest: float, slope: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return counts of 20 discs of 300 to 3000 electrons, none nearer to another than so many radii; their truth."""
    rng = np.random.default_rng(seed)
    centre: list[np.ndarray] = []
    while len(centre) < 20:
        trial = rng.uniform(radius, np.array(SHAPE) - radius)
        if all(np.hypot(*(trial - other)) > nearest * radius for other in centre):
            centre.append(trial)
    total = rng.integers(300, 3000, len(centre))
    image = rng.poisson(BACKGROUND, SHAPE).astype(float)
    for place, number in zip(centre, total, strict=True):
        distance, azimuth = radius * np.sqrt(rng.random(4 * number)), rng.uniform(0, 2 * np.pi, 4 * number)
        offset = np.stack([distance * np.sin(azimuth), distance * np.cos(azimuth)], axis=1)
        offset = offset[rng.random(len(offset)) < 0.5 * (1 + slope * offset[:, 0] / radius)][:number]
        pixel = np.rint(offset + rng.normal(0, 0.5, offset.shape) + place).astype(int)
        pixel = pixel[((pixel >= 0) & (pixel < SHAPE)).all(axis=1)]
        np.add.at(image, tuple(pixel.T), 1)
    return image, np.array(centre), total


def found_in(image: np.ndarray, radius: float, threshold: float = 5.0) -> FoundDiscs:
    disc = BeamDisc(radius_px=radius, edge_px=EDGE)
    valid = np.ones(SHAPE, dtype=bool)
    rings = DiscRings(valid, RADIUS, disc)
    return find_discs(
        image, valid, rings, disc, radius=RADIUS, inner_px=0.0, threshold=threshold, least_counts=8.0
    )[0]  # fmt: skip


@pytest.mark.parametrize("radius", [3.0, 5.5, 11.0, 16.5])
@pytest.mark.parametrize("slope", [0.0, 0.6])
def test_overlapping_discs_are_found_and_centred_by_their_edges(radius: float, slope: float) -> None:
    image, centre, total = drawn(1, radius, nearest=1.4, slope=slope)
    found = found_in(image, radius)
    distance, which = cKDTree(centre).query(found.px)
    assert (distance < 0.3 * radius).all()
    assert set(which.tolist()) == set(range(len(centre)))
    # the centre of mass of a disc with this slope lies 0.15 radii off: 1.6 px at 11 px
    assert np.sqrt(np.mean(distance**2)) < 0.03 * radius + 0.06
    assert np.median(np.abs(found.counts / total[which] - 1)) < 0.06


def test_noise_makes_no_more_discs_than_it_made_points() -> None:
    found = [found_in(np.random.default_rng(seed).poisson(0.3, SHAPE), 11.0, threshold=3.5) for seed in (50, 51, 52)]
    # points: 10 in a pattern of 576 x 576 (`python -m tests.benchmarks.discs noise`), or 3 in this one
    assert sum(len(each.px) for each in found) <= 3


def test_box_sums_are_those_of_a_disc_of_pixels() -> None:
    image = np.random.default_rng(0).poisson(3.0, (40, 50)).astype(float)
    rows, columns = np.indices(image.shape)
    for radius in (2.0, 5.5):
        sums = box_sums(image, radius)
        for row, column in ((0, 0), (20, 25), (39, 30)):
            inside = np.hypot(rows - row, columns - column) <= radius + 0.25
            assert sums[row, column] == image[inside].sum()


def test_the_deviation_of_many_counts_is_the_normal_one() -> None:
    expected = np.array([1e4, 1e4, 1e4])
    np.testing.assert_allclose(
        poisson_deviation(expected + np.array([100.0, 0.0, -100.0]), expected), [1, 0, -1], atol=0.01
    )
