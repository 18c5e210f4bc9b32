"""Intensities from few counts, against the intensities that the counts were drawn from."""

import numpy as np
import pytest

from tasks.integrate.profiles.count_fit import CountPixels, fit_counts
from tasks.integrate.reflection_file import Merged
from tasks.integrate.rocking.model import RockingModel, RockingObservations, gaussian_shape, response
from tasks.integrate.rocking.scaling import effective_counts
from tasks.integrate.rocking.sparse import SparseData, fit_sparse, whole_showed

GROUPS, TILTS, SPOTS = 400, 30, 12
"""Reflections, tilts, and spots of each reflection."""
BACKGROUND = 0.01
"""Electrons per pixel: 0.13 in the 13 pixels that hold nine tenths of a spot."""


def drawn(electrons, seed, *, absent=0.1):
    """Return counts of spots that hold `electrons` on average, with the true intensities and the model behind them."""
    rng = np.random.default_rng(seed)
    model = RockingModel(0.002, np.radians(0.02), gaussian_shape(), np.ones(TILTS), np.zeros((TILTS, 3)))
    model = model._replace(error_scale=0.0, error_excitation=0.0)
    number = GROUPS * SPOTS
    group = np.repeat(np.arange(GROUPS), SPOTS)
    observations = RockingObservations(
        intensity=np.zeros(number),
        noise=np.zeros(number),
        group=group,
        frame=rng.integers(0, TILTS, number),
        length=np.repeat(rng.uniform(0.2, 1.0, GROUPS), SPOTS),
        excitation=rng.uniform(-0.004, 0.004, number),
        travel=np.zeros(number),
        lever=np.zeros((number, 3)),
    )
    truth = rng.exponential(1.0, GROUPS) * (rng.random(GROUPS) > absent)  # Wilson's, acentric
    partial = response(model, observations)
    truth *= electrons / (partial * truth[group]).mean()
    grid = np.arange(-4, 5)
    offset = rng.uniform(-0.5, 0.5, (number, 2))
    share = np.exp(
        -0.5 * ((grid[:, None] - offset[:, :1, None]) ** 2 + (grid[None, :] - offset[:, 1:, None]) ** 2) / 0.9**2
    )
    share /= share.sum(axis=(1, 2), keepdims=True)
    mean = BACKGROUND + share * (partial * truth[group])[:, None, None]
    counts = rng.poisson(mean)
    half = rng.binomial(counts, 0.5)
    pixels = CountPixels(
        counts=counts.astype(np.float32),
        background=np.full(counts.shape, BACKGROUND, dtype=np.float32),
        valid=np.ones(counts.shape, dtype=bool),
        share=share,
        centre=np.column_stack([np.arange(number) * 100, np.zeros(number, dtype=np.int64)]),
        pointer=np.zeros(number + 1, dtype=np.int64),
        neighbour=np.zeros(0, dtype=np.int64),
        half=half.astype(np.float32),
    )
    return SparseData(pixels, np.arange(number), observations, GROUPS), model, truth


def found(electrons, seeds, *, as_whole=False):
    """Return I, sigma and truth of all reflections on the scale that the model fixes; the whole's units are its own."""
    columns = []
    for seed in seeds:
        data, model, truth = drawn(electrons, seed)
        if as_whole:
            data = data._replace(whole=7.0 * truth + 1e-6 * truth.mean())
        fit = fit_sparse(data, model).fit
        scale = np.exp(np.log(fit.model.scale).mean())  # what all scales have in common is in the intensities
        columns.append((fit.merged * scale, scale / np.sqrt(fit.information), truth))
    return [np.concatenate(column) for column in zip(*columns, strict=True)]


@pytest.mark.parametrize("electrons", [0.5, 2.0, 20.0])
def test_intensities_are_unbiased_and_sigmas_right_however_few_the_electrons(electrons):
    intensity, sigma, truth = found(electrons, seeds=(1, 2, 3, 4))
    deviation = (intensity - truth) / sigma
    assert abs(deviation.mean()) < 0.1
    assert 0.8 < deviation.std() < 1.25
    for part in np.array_split(np.argsort(truth), 3):
        bias = (intensity - truth)[part].mean() / np.sqrt((sigma[part] ** 2).mean())
        assert abs(bias) < 0.1 + 2.0 / np.sqrt(len(part))


@pytest.mark.parametrize("electrons", [0.5, 5.0])
def test_sigmas_of_a_part_are_right_for_weak_and_strong_alike_where_the_whole_crystal_is_known(electrons):
    intensity, sigma, truth = found(electrons, seeds=(5, 6), as_whole=True)
    deviation = (intensity - truth) / sigma
    assert abs(deviation.mean()) < 0.1
    for part in np.array_split(np.argsort(truth), 3):
        assert abs(deviation[part].mean()) < 0.1 + 2.0 / np.sqrt(len(part))
        assert 0.8 < deviation[part].std() < 1.25


def test_what_the_whole_did_not_show_is_believed_by_its_own_counts():
    data, model, truth = drawn(5.0, 7)
    strong = truth > 2 * truth.mean()
    known = fit_sparse(data._replace(whole=truth), model).fit
    denied = fit_sparse(data._replace(whole=np.where(strong, 1e-6 * truth.mean(), truth)), model).fit
    np.testing.assert_allclose(denied.information[strong], known.information[strong], rtol=0.5)


def test_the_whole_shows_no_less_than_nothing_and_nothing_of_what_it_did_not_measure():
    whole = Merged(np.array([[1, 0, 0], [2, 0, 0]]), np.array([0.0, 50.0]), np.array([2.0, 1.0]), np.array([1, 1]))
    shown = whole_showed(whole, np.array([[2, 0, 0], [0, 1, 0], [1, 0, 0]]))
    np.testing.assert_allclose(shown, [50.0, np.nan, 2.0 * np.sqrt(2 / np.pi)], rtol=1e-6)


def test_scales_of_frames_that_share_no_reflection_follow_from_the_whole():
    data, model, truth = drawn(20.0, 8)
    own = data.observations.group % TILTS  # each reflection on one frame only
    alone = data._replace(observations=data.observations._replace(frame=own), whole=truth)
    bright = own < TILTS // 2
    for pixels in (alone.pixels.counts, alone.pixels.half):
        pixels[bright] *= 2.0
    scale = fit_sparse(alone, model).fit.model.scale
    assert np.median(scale[: TILTS // 2]) / np.median(scale[TILTS // 2 :]) == pytest.approx(2.0, rel=0.15)


def test_the_parts_of_a_crystal_merged_again_are_the_whole():
    data, model, truth = drawn(3.0, 9)
    whole = fit_sparse(data._replace(whole=truth), model).fit
    total, weight = np.zeros(GROUPS), np.zeros(GROUPS)
    for counts in (data.pixels.half, data.pixels.counts - data.pixels.half):
        pixels = data.pixels._replace(counts=counts, background=data.pixels.background / 2, half=None)
        part = fit_sparse(data._replace(pixels=pixels, whole=truth), model).fit
        total += part.information * part.merged
        weight += part.information
    merged, sigma = total / weight, 1 / np.sqrt(whole.information)
    scale = np.sum(merged * whole.merged / sigma**2) / np.sum((merged / sigma) ** 2)
    assert (np.abs(scale * merged - whole.merged) < sigma).mean() > 0.95


def test_a_reflection_without_a_count_is_below_zero_by_its_background_with_a_finite_sigma():
    data, model, _ = drawn(0.5, 3)
    none = data.observations.group == 7
    data.pixels.counts[none] = 0.0
    fit = fit_sparse(data, model).fit
    assert fit.merged[7] < 0.0
    assert 0.0 < fit.information[7] < np.inf
    assert abs(fit.merged[7]) * np.sqrt(fit.information[7]) < 3.0


def test_the_halves_of_the_events_deviate_from_each_other_as_the_sigmas_say():
    data, model, _ = drawn(1.0, 4)
    found = fit_sparse(data, model)
    difference = (found.electrons - 2.0 * found.half) / np.sqrt(found.fit.own)
    assert difference.mean() == pytest.approx(0.0, abs=4.0 / np.sqrt(len(difference)))
    assert 0.8 < difference.std() < 1.25


def test_weighted_sums_of_counts_have_the_kurtosis_of_fewer() -> None:
    mean = np.array([3.0, 0.5, 0.5, 8.0, 8.0])
    member = np.array([0, 1, 1, 2, 2])
    weight = np.array([2.0, 1.0, 1.0, 1.0, 3.0])
    found = effective_counts(weight, mean, mean, member)
    np.testing.assert_allclose(found, [3.0, 1.0, (8 + 72) ** 2 / (8 + 81 * 8)])
    drawn = (weight[3:] * (np.random.default_rng(1).poisson(8.0, (400_000, 2)) - 8.0)).sum(axis=1)
    excess = (drawn**4).mean() / (drawn**2).mean() ** 2 - 3.0
    assert excess == pytest.approx(1.0 / found[2], abs=0.03)


def test_one_step_of_scoring_is_linear_in_the_counts_and_takes_off_the_background():
    data, _, _ = drawn(5.0, 5)
    believed = np.full(len(data.pixels.counts), 2.0)
    one = fit_counts(data.pixels, believed)
    twice = data.pixels._replace(counts=2 * data.pixels.counts, background=data.pixels.background)
    empty = fit_counts(data.pixels._replace(counts=0 * data.pixels.counts), believed)
    np.testing.assert_allclose(fit_counts(twice, believed).electrons - one.electrons, one.electrons - empty.electrons)
    assert (empty.electrons < 0).all()


def test_a_neighbour_in_the_same_pixels_is_taken_off():
    data, _, _ = drawn(5.0, 6)
    first = data.pixels
    near = CountPixels(
        counts=first.counts[:2].copy(),
        background=first.background[:2],
        valid=first.valid[:2],
        share=first.share[:2],
        centre=np.array([[0, 0], [2, 0]]),
        pointer=np.array([0, 1, 2]),
        neighbour=np.array([1, 0]),
    )
    true = np.array([3.0, 800.0])
    for one, other, shift in ((0, 1, 2), (1, 0, -2)):
        near.counts[one] = BACKGROUND + true[one] * near.share[one]
        moved = np.zeros((9, 9))
        moved[max(shift, 0) : 9 + min(shift, 0)] = near.share[other][max(-shift, 0) : 9 + min(-shift, 0)]
        near.counts[one] += true[other] * moved
    np.testing.assert_allclose(fit_counts(near, true).electrons, true, rtol=1e-5)


def test_scales_of_one_size_do_not_follow_the_brightest_spot_of_each_frame():
    """Where they do, intensities are those of the whole again, surer than their counts."""
    data, model, truth = drawn(8.0, 12)
    few = data.observations.group % 8 == 0  # 50 reflections on 30 frames
    partial = response(model, data.observations)
    rows = np.flatnonzero(few & (partial > 0.1 * partial.max()))
    data = data._replace(rows=rows, observations=data.observations.where(rows), whole=truth)
    fit = fit_sparse(data, model).fit
    assert np.log(fit.model.scale).std() < 0.05
    assert fit.model.scale_covariance is None
