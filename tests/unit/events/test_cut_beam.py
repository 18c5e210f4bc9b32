"""The centre of a direct beam of which only a part is seen."""

import numpy as np
import pytest

from tasks.events.cut_beam import beam_from_part, is_cut
from tasks.events.direct_beam import BeamFit, find_beam

SHAPE = (96, 96)


def pattern(centre: tuple[float, float], radius: float, *, seed: int, counts: float = 20000.0) -> np.ndarray:
    """Return a uniform disc under a Gaussian of 0.7 px, on a halo."""
    rng = np.random.default_rng(seed)
    number = rng.poisson(counts)
    turn, far = rng.uniform(0, 2 * np.pi, number), radius * np.sqrt(rng.random(number))
    disc = np.stack([far * np.sin(turn), far * np.cos(turn)], axis=1) + rng.normal(0.0, 0.7, (number, 2))
    halo = rng.normal(0.0, 15.0, (rng.poisson(0.1 * counts), 2))
    place = np.rint(np.concatenate([disc, halo]) + centre).astype(int)
    place = place[((place >= 0) & (place < SHAPE)).all(axis=1)]
    image = np.zeros(SHAPE, dtype=np.uint32)
    np.add.at(image, tuple(place.T), 1)
    return image


@pytest.mark.parametrize("radius", [1.0, 3.0, 8.0])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_half_a_beam_tells_its_centre(radius: float, seed: int) -> None:
    centre = (47.0 + 0.25 * seed, 48.3 - 0.3 * seed)
    valid = np.ones(SHAPE, dtype=bool)
    valid[48:] = False
    image = np.where(valid, pattern(centre, radius, seed=seed), 0).astype(np.uint32)
    seen = find_beam(image, start=(48.0, 48.0), reach_px=12.0, mask=valid)
    assert seen is not None
    assert is_cut(seen, valid)
    whole = beam_from_part(image, valid, seen)
    assert whole is not None
    assert np.abs(np.subtract(whole.centre, centre)).max() < 0.35
    assert abs(whole.centre[0] - centre[0]) < abs(seen.centre[0] - centre[0]) + 0.05


def test_a_beam_of_which_next_to_nothing_is_seen_is_not_placed() -> None:
    image = pattern((48.0, 48.0), 4.0, seed=5)
    valid = np.hypot(*(np.indices(SHAPE) - 48.0)) > 9.0
    assert beam_from_part(np.where(valid, image, 0), valid, BeamFit((48.0, 48.0), 5.0, "peak")) is None


def test_a_beam_far_from_what_is_masked_is_not_cut() -> None:
    valid = np.ones(SHAPE, dtype=bool)
    valid[:20] = False
    assert not is_cut(BeamFit((48.0, 48.0), 4.0, "peak"), valid)
