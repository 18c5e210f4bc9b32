"""The background of frames with next to no counts, against the rates that they were drawn from."""

import numpy as np

from tasks.integrate.spots.images import Images
from tasks.integrate.spots.pooled_background import pooled_background, spot_mask
from tasks.integrate.spots.spot_search import radii_px

FRAMES, SHAPE = 40, (96, 96)
CENTRE = np.array([47.5, 47.5])


def test_a_hundred_electrons_a_frame_give_the_rate_at_every_distance_and_the_level_of_every_frame():
    rng = np.random.default_rng(3)
    radius = radii_px(SHAPE, CENTRE)
    shape = np.exp(-radius / 20.0)
    level = rng.uniform(0.5, 1.5, FRAMES) * 100.0 / shape.sum()
    rate = level[:, None, None] * shape
    counts = rng.poisson(rate).astype(np.float32)
    place = np.array([[30, 30], [60, 70]])
    spots = spot_mask(SHAPE, place, 4)
    counts[:, 30, 30] += 25  # a spot that must not be taken for background
    valid = np.ones(SHAPE, dtype=bool)
    images = Images(
        counts,
        valid,
        np.ones(FRAMES, dtype=bool),
        counts.mean(axis=0),
        0,
        valid[None],
        np.zeros(FRAMES, dtype=np.int64),
    )
    found = pooled_background(images, lambda _: spots, CENTRE)
    slow, fast = np.indices(SHAPE)
    background = np.stack([found.at(np.full(SHAPE, frame), slow, fast) for frame in range(FRAMES)])
    rings = [(radius >= low) & (radius < low + 12) for low in (0, 12, 24, 36)]
    ratio = [background[:, ring].sum() / rate[:, ring].sum() for ring in rings]
    np.testing.assert_allclose(ratio, 1.0, atol=0.1)  # the outermost ring holds some 500 electrons of all frames
    deviation = (background.sum(axis=(1, 2)) - rate.sum(axis=(1, 2))) / np.sqrt(rate.sum(axis=(1, 2)))
    assert abs(deviation.mean()) < 0.5
    assert deviation.std() < 1.4


def test_spots_are_marked_up_to_the_rim_of_the_frame():
    marked = spot_mask((10, 12), np.array([[0, 0], [5, 11]]), 2)
    assert marked[0, 2]
    assert marked[2, 0]
    assert not marked[2, 1]
    assert marked[5, 9]
    assert marked.sum() == 6 + 9
