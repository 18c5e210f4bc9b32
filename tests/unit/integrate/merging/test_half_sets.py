"""Two measurements of the same reflections, judged by their halves."""

import gemmi
import numpy as np
import pytest

from tasks.integrate.merging.equivalents import observations_at
from tasks.integrate.merging.half_sets import compare_half_sets
from tasks.integrate.reflection_file import Unmerged

LAUE = gemmi.SpaceGroup("P m m m")
INDICES = np.array([[h, k, l] for h in range(1, 5) for k in range(1, 5) for l in range(1, 5)], dtype=np.int32)
SIGNS = np.array([[1, 1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, -1]], dtype=np.int32)
TRUTH = np.random.default_rng(0).exponential(1.0, len(INDICES))


def measured(relative: float, seed: int, *, times: int = 1) -> Unmerged:
    """Return four equivalents of each reflection, off by a relative error, each seen so many times with that error."""
    hkl = (INDICES[:, None, :] * SIGNS).reshape(-1, 3)
    angle = np.random.default_rng(seed).uniform(-60, 60, len(hkl))
    value = np.repeat(TRUTH, len(SIGNS)) * np.exp(np.random.default_rng(seed).normal(0, relative, len(hkl)))
    columns = [np.repeat(column, times, axis=0) for column in (hkl, value, 0.1 * value, angle)]
    columns[3] = columns[3] + np.tile(0.5 * np.arange(times), len(hkl))
    return Unmerged(*columns, np.zeros(len(hkl) * times, dtype=np.int32))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_better_measurement_agrees_better_with_itself(seed: int) -> None:
    found = compare_half_sets(measured(0.5, seed), measured(0.1, seed + 10), LAUE, apart_deg=5.0, seed=0)
    assert found is not None
    assert found.second > 0.98 > found.first + 0.01
    assert found.won == 1.0
    assert found.reflections == len(INDICES)


def test_an_error_seen_many_times_in_one_crossing_is_one_error() -> None:
    found = compare_half_sets(measured(0.5, 1), measured(0.5, 1, times=9), LAUE, apart_deg=5.0, seed=0)
    assert found is not None
    assert found.second == pytest.approx(found.first, abs=0.02)
    apart = compare_half_sets(measured(0.5, 1), measured(0.5, 1, times=9), LAUE, apart_deg=0.1, seed=0)
    assert apart is not None
    assert apart.second > apart.first + 0.02  # each taken for a crossing of its own: it looks better than it is


def test_what_was_met_once_says_nothing() -> None:
    one = measured(0.1, 1)
    alone = observations_at(one, np.arange(0, len(one.hkl), len(SIGNS)))  # one equivalent of each
    assert compare_half_sets(alone, alone, LAUE, apart_deg=5.0, seed=0) is None
