"""What the camera's way of counting cost: agreement of much and little corrected, missing reflections, words."""

import gemmi
import numpy as np
import pytest

from tasks.integrate.counting_loss import counting_warning, missing_reflections
from tasks.integrate.models import CountingLoss
from tasks.integrate.profiles.pixels import SpotLoss
from tasks.integrate.rocking.errors import counting_variance
from tasks.integrate.rocking.model import RockingObservations
from tasks.integrate.rocking.scaling import LEAST_FLANK, _without_flanks

LAUE = gemmi.SpaceGroup("P m m m")


def loss_of(aside: list[bool]) -> SpotLoss:
    ones = np.ones(len(aside))
    return SpotLoss(ones, np.array(aside), ones, ones)


def test_a_reflection_is_missing_if_no_equivalent_of_it_remains() -> None:
    hkl = np.array([[1, 2, 3], [-1, 2, 3], [2, 0, 0], [0, 4, 0]], dtype=np.int32)
    loss = loss_of([True, False, True, True])
    near = np.array([True, True, True, False])
    kept = np.array([[1, -2, 3], [5, 5, 5]], dtype=np.int32)
    assert missing_reflections(hkl, loss, near, kept, LAUE) == ((2, 0, 0),)
    assert missing_reflections(hkl, None, near, kept, LAUE) == ()


def test_the_warning_names_what_is_missing() -> None:
    counting = CountingLoss(
        stated=None, found="local maxima of 3 x 3 px", frames_per_position=1.0, worst_loss=0.8, corrected=7,
        set_aside=3, missing=tuple((n, 0, 0) for n in range(1, 13)),
    )  # fmt: skip
    text = counting_warning(counting)
    assert "3 measurements are set aside" in text
    assert "(1 0 0)" in text
    assert text.endswith("(10 0 0) and 2 more")


def observations(fill: float | None) -> RockingObservations:
    one = np.array([1.0])
    zero = np.zeros(1, dtype=np.int64)
    lost = None if fill is None else one * fill
    return RockingObservations(
        one, one, zero, zero, one, one, one, np.zeros((1, 3)), lost, None if fill is None else np.zeros(1)
    )


def test_the_variance_of_a_corrected_intensity_is_that_of_hits() -> None:
    expected = np.array([150.0])  # 1.5 electrons in each of 100 camera frames
    bare = counting_variance(observations(None), expected)
    same = counting_variance(observations(1e-9), expected)
    much = counting_variance(observations(0.01), expected)
    assert same == pytest.approx(bare, rel=1e-6)
    hits = 100 * (np.exp(1.5) - 1) + (0.02 * 1.5**2 * 150) ** 2
    assert (much - bare) == pytest.approx(hits - 150, rel=1e-3)
    assert observations(0.01).where(np.array([True])).fill is not None
    assert observations(None).where(np.array([True])).fill is None


def test_flanks_of_curves_whose_peak_was_set_aside_are_left_out() -> None:
    sampled = np.array([0.9 * LEAST_FLANK, 1.1 * LEAST_FLANK, 0.1, 0.2, 0.1])
    crossing = np.array([0, 1, 2, 3, 4])
    group = np.array([0, 0, 0, 0, 1])
    beside = np.array([True, True, False, False, False])
    left = _without_flanks(sampled, crossing, group, beside)
    np.testing.assert_array_equal(left > 0, [False, True, False, True, True])
