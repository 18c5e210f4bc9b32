import numpy as np
import pytest

from tasks.integrate.merging.equivalents import observations_at
from tasks.integrate.merging.event_halves import halves_warnings, sigma_ratio
from tasks.integrate.reflection_file import Unmerged


def counted(stated: float) -> tuple[Unmerged, tuple[np.ndarray, np.ndarray]]:
    """Return 2000 weak intensities counted in two halves, and sigmas that are ``stated`` times the true ones."""
    rng = np.random.default_rng(1)
    background = 50.0
    halves = tuple(rng.poisson(background / 2, 2000) - background / 2 for _ in range(2))
    data = Unmerged(
        hkl=np.ones((2000, 3), dtype=np.int32),
        intensity=halves[0] + halves[1],
        sigma=np.full(2000, stated * np.sqrt(background)),
        angle_deg=np.zeros(2000),
        crystal=np.zeros(2000, dtype=np.int32),
    )
    return data, (halves[0], halves[1])


@pytest.mark.parametrize("stated", [1.0, 2.0])
def test_the_halves_of_counted_events_give_the_ratio_of_true_to_stated_sigma(stated: float) -> None:
    data, halves = counted(stated)
    assert sigma_ratio(data, halves) == pytest.approx(1 / stated, rel=0.08)


def test_right_sigmas_are_not_warned_about_and_wrong_ones_are() -> None:
    assert halves_warnings(*counted(1.0)) == ()
    assert "times the stated sigmas" in halves_warnings(*counted(2.0))[0]
    assert "times the stated sigmas" in halves_warnings(*counted(0.5))[0]


def test_series_without_halves_or_with_few_observations_say_nothing() -> None:
    data, halves = counted(2.0)
    assert halves_warnings(data, None) == ()
    few = observations_at(data, np.arange(50))
    assert sigma_ratio(few, (halves[0][:50], halves[1][:50])) is None
