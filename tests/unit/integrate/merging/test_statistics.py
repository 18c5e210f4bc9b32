"""Merging and its statistics against closed forms and against gemmi's own implementation."""

from pathlib import Path

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.crystal.miller import centring_allows
from tasks.integrate.merging.equivalents import (
    fit_error_model,
    group_equivalents,
    keep_consistent,
    merge_equivalents,
    observations_at,
    to_asymmetric_unit,
)
from tasks.integrate.merging.statistics import cc_half, merging_statistics, r_meas, r_pim
from tasks.integrate.reflection_file import Unmerged, joined_tables, read_unmerged, write_reflections
from tasks.model import UnitCell

CELL = UnitCell(a=8.1, b=9.3, c=11.2, alpha=90, beta=104, gamma=90)
LAUE = gemmi.SpaceGroup("P 1 2/m 1")


def observations(seed: int, relative: float = 0.1, repeats: int = 4) -> Unmerged:
    """Return noisy observations of random symmetry mates of random true intensities."""
    rng = np.random.default_rng(seed)
    unique = gemmi.make_miller_array(CELL.gemmi(), LAUE, 1.2)
    truth = rng.exponential(100.0, len(unique))
    operations = [np.array(op.rot) // gemmi.Op.DEN for op in LAUE.operations().sym_ops]
    hkl = np.concatenate([unique @ operations[rng.integers(len(operations))] for _ in range(repeats)])
    true = np.tile(truth, repeats)
    sigma = np.hypot(2.0, relative * true)
    n = len(hkl)
    return Unmerged(
        hkl.astype(np.int32), true + sigma * rng.normal(size=n), sigma, np.zeros(n), np.zeros(n, dtype=np.int32)
    )


@given(a=st.floats(1, 1e6), b=st.floats(1, 1e6))
def test_a_pair_gives_the_closed_forms(a: float, b: float) -> None:
    intensity, member = np.array([a, b, 7.0]), np.array([1, 1, 0])
    assert r_meas(intensity, member) == pytest.approx(np.sqrt(2.0) * abs(a - b) / (a + b), rel=1e-9, abs=1e-12)
    assert r_pim(intensity, member) == pytest.approx(abs(a - b) / (a + b), rel=1e-9, abs=1e-12)


def test_statistics_agree_with_gemmi() -> None:
    data = observations(1)
    other = gemmi.Intensities()
    other.set_data(CELL.gemmi(), LAUE, data.hkl, data.intensity, data.sigma)
    other.sort()
    stats = other.calculate_merging_stats(None, use_weights="U")[0]
    ours = merging_statistics(data, LAUE, CELL).overall
    assert ours.r_meas == pytest.approx(stats.r_meas(), rel=1e-6)
    assert ours.r_pim == pytest.approx(stats.r_pim(), rel=1e-6)
    assert ours.cc_half == pytest.approx(stats.cc_half(), rel=1e-3)
    assert ours.observations == stats.all_refl
    assert ours.unique == stats.unique_refl


def test_all_unique_reflections_are_complete_and_shells_add_up() -> None:
    statistics = merging_statistics(observations(2), LAUE, CELL, shells=7)
    assert statistics.overall.completeness == pytest.approx(1.0)
    assert len(statistics.shells) == 7
    assert sum(s.observations for s in statistics.shells) == statistics.overall.observations
    assert sum(s.unique for s in statistics.shells) == statistics.overall.unique


def test_half_of_the_reflections_is_half_complete() -> None:
    data = observations(3, repeats=1)
    keep = np.random.default_rng(0).random(len(data.hkl)) < 0.5
    got = merging_statistics(observations_at(data, keep), LAUE, CELL, d_min_angstrom=1.2).overall
    assert got.completeness == pytest.approx(np.count_nonzero(keep) / len(data.hkl), abs=0.01)
    assert got.r_meas is None
    assert got.cc_half is None


def test_cc_half_follows_the_noise() -> None:
    """With noise n times the spread of the truth, four repeats: V / (V + n^2 V / 2) by construction."""
    rng = np.random.default_rng(4)
    truth = rng.normal(size=20000)
    intensity = np.concatenate([truth + 2.0 * rng.normal(size=20000) for _ in range(4)])
    got = cc_half(intensity, np.tile(np.arange(20000), 4))
    assert got == pytest.approx(1 / (1 + 4 / 2), abs=0.02)


def test_merging_weights_by_variance_and_counts() -> None:
    data = Unmerged(
        np.array([[1, 2, 3], [-1, 2, -3], [1, -2, 3]], dtype=np.int32),
        np.array([10.0, 20.0, 30.0]),
        np.array([1.0, 2.0, 100.0]),
        np.zeros(3),
        np.zeros(3, dtype=np.int32),
    )
    merged = merge_equivalents(data, LAUE)
    assert merged.multiplicity.tolist() == [3]
    weights = np.array([1.0, 0.25, 1e-4])
    mean = (weights * data.intensity).sum() / weights.sum()
    assert merged.intensity[0] == pytest.approx(mean)
    chi_square = (weights * (data.intensity - mean) ** 2).sum()
    assert merged.sigma[0] == pytest.approx(np.sqrt((10 + chi_square) / 12 / weights.sum()))


@pytest.mark.parametrize("stated", [1.0, 1 / 3])
def test_merged_sigmas_are_those_of_the_scatter_whether_stated_right_or_too_small(stated: float) -> None:
    data = observations(7, relative=0.0)
    first = gemmi.make_miller_array(CELL.gemmi(), LAUE, 1.2)
    truth = np.random.default_rng(7).exponential(100.0, len(first))
    merged = merge_equivalents(data._replace(sigma=data.sigma * stated), LAUE)
    place = {tuple(row): value for row, value in zip(to_asymmetric_unit(first, LAUE).tolist(), truth, strict=True)}
    expected = np.array([place[tuple(row)] for row in merged.hkl.tolist()])
    assert 0.75 < np.var((merged.intensity - expected) / merged.sigma) < 1.25


def few_counts(mean: float, factor: float, seed: int) -> Unmerged:
    """Return twenty counts of each reflection, of one mean, whose deviations are so many stated sigmas wide."""
    unique = gemmi.make_miller_array(CELL.gemmi(), LAUE, 1.5)
    rng = np.random.default_rng(seed)
    hkl = np.tile(unique, (20, 1)).astype(np.int32)
    n = len(hkl)
    intensity = mean + factor * (rng.poisson(mean, n) - mean)
    return Unmerged(hkl, intensity, np.full(n, np.sqrt(mean)), np.zeros(n), np.zeros(n, dtype=np.int32))


def test_few_counts_that_deviate_far_by_chance_raise_no_sigma() -> None:
    data, mean = few_counts(0.01, 1.0, 8), 0.01
    told, untold = (
        merge_equivalents(data._replace(counts=each), LAUE) for each in (np.full(len(data.hkl), mean), None)
    )
    deviation = (told.intensity - mean) / told.sigma
    assert 0.9 < deviation.std() < 1.1
    assert ((untold.intensity - mean) / untold.sigma).std() < 0.7
    np.testing.assert_array_equal(told.intensity, untold.intensity)


def test_many_counts_that_scatter_too_widely_raise_sigmas_as_any_do() -> None:
    data = few_counts(400.0, 3.0, 9)
    many = np.full(len(data.hkl), 400.0)
    told, untold = (merge_equivalents(data._replace(counts=each), LAUE) for each in (many, None))
    np.testing.assert_allclose(told.sigma, untold.sigma, rtol=2e-3)
    assert 0.8 < ((told.intensity - 400.0) / told.sigma).std() < 1.1


def test_of_joined_tables_those_without_counts_have_many() -> None:
    few = few_counts(0.01, 1.0, 8)
    told = few._replace(counts=np.full(len(few.hkl), 0.01))
    assert joined_tables([few, few]).counts is None
    joined = joined_tables([told, few])
    assert joined.counts is not None
    assert set(joined.counts.tolist()) == {0.01, np.inf}
    half = np.arange(len(joined.hkl)) < len(few.hkl)
    np.testing.assert_array_equal(observations_at(joined, half).counts, told.counts)


def test_counts_are_kept_in_the_file(tmp_path: Path) -> None:
    few = few_counts(0.01, 1.0, 8)
    for table in (few, few._replace(counts=np.full(len(few.hkl), 0.01))):
        again = read_unmerged(write_reflections(table, tmp_path / "unmerged.npz"))
        np.testing.assert_equal(again.counts, table.counts)


def test_the_error_model_finds_underestimated_sigmas() -> None:
    data = observations(5)
    model = fit_error_model(data._replace(sigma=data.sigma / 3.0), group_equivalents(data.hkl, LAUE))
    assert model.factor * np.hypot(1.0 / 3.0, 0) == pytest.approx(1.0, abs=0.25)


def test_a_gross_outlier_is_dropped_and_pairs_are_left_alone() -> None:
    data = observations(6)
    data.intensity[5] += 3000.0
    keep = keep_consistent(data, LAUE)
    assert not keep[5]
    assert np.count_nonzero(~keep) < 10
    pairs = observations_at(observations(6), np.arange(len(data.hkl) // 2))
    pairs.intensity[5] += 3000.0
    assert np.all(keep_consistent(pairs, LAUE))


@pytest.mark.parametrize("symbol", ["F m -3 m", "C 1 2/m 1", "I m m m", "R -3 m:H", "A m m m"])
def test_centring_absences_match_gemmi(symbol: str) -> None:
    group = gemmi.SpaceGroup(symbol)
    hkl = np.random.default_rng(0).integers(-9, 10, size=(300, 3)).astype(np.int32)
    assert np.array_equal(~centring_allows(hkl, group.operations()), group.operations().systematic_absences(hkl))
