"""The bend from a field of rotations."""

import numpy as np
import pytest

from tasks.maps.bend import bend_of

PLACES = np.argwhere(np.ones((9, 21))).astype(float)


def drawn(bend_deg: float, sigma_deg: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    turn = np.radians(bend_deg) * PLACES[:, 1:] / 20 * np.array([0.6, 0.0, 0.8])
    noise = np.random.default_rng(seed).normal(0, np.radians(sigma_deg), (len(PLACES), 3))
    return turn + noise, np.broadcast_to(np.eye(3) * np.radians(sigma_deg) ** 2, (len(PLACES), 3, 3))


def test_an_even_bend_is_found_within_its_sigma() -> None:
    found = [bend_of(PLACES, *drawn(1.5, 0.2, seed)) for seed in range(40)]
    off = [(one.degrees - 1.5) / one.sigma_deg for one in found if one is not None]
    assert len(off) == 40
    assert 0.7 < np.std(off) < 1.3


def test_a_field_that_is_not_even_has_a_larger_sigma() -> None:
    rotation, covariance = drawn(1.5, 0.02, 0)
    even = bend_of(PLACES, rotation, covariance)
    waves = rotation + np.radians(0.3) * np.sin(PLACES[:, 1:]) * np.array([1.0, 1.0, 0.0])
    wavy = bend_of(PLACES, waves, covariance)
    assert even is not None
    assert wavy is not None
    assert wavy.sigma_deg > 3 * even.sigma_deg
    assert wavy.degrees == pytest.approx(1.5, abs=5 * wavy.sigma_deg)


def test_a_few_cells_have_no_bend() -> None:
    rotation, covariance = drawn(1.0, 0.1, 0)
    assert bend_of(PLACES[:5], rotation[:5], covariance[:5]) is None
