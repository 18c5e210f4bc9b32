from collections.abc import Callable

import numpy as np
import pytest

from tasks.integrate.rocking.fit import evaluate
from tasks.integrate.rocking.model import RockingObservations, gaussian_shape, mean_density, response
from tasks.integrate.rocking.scaling import first_model, fit_rocking

FRAMES = 60


def gentle(frame: float) -> float:
    return 1.0 + 0.3 * np.cos(frame / 12.0)


def observed(
    *,
    width: float,
    spread: float,
    step: float,
    seed: int = 0,
    tilt_error: float = 0.0,
    times: int = 3,
    scale_of: Callable[[float], float] = gentle,
) -> tuple:
    """Return observations of 300 reflections, each crossing some times, sampled at still tilts; and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.exponential(400.0, 300)
    rows = []
    for group, intensity in enumerate(truth):
        for _ in range(times):
            length = rng.uniform(0.1, 1.2)
            rate = length * rng.uniform(0.3, 1.0)
            centre = rng.uniform(3, FRAMES - 3)
            azimuth = rng.uniform(0, 2 * np.pi)
            lever = np.array([rate, length * np.cos(azimuth), 0.0])
            for frame in range(FRAMES):
                s = rate * np.radians(step) * (frame - centre)
                sigma = np.hypot(width, spread * length)
                if abs(s) < 5 * sigma:
                    wrong = tilt_error * np.sin(frame / 5.0)
                    p = np.exp(-0.5 * ((s + wrong * rate) / sigma) ** 2) / np.sqrt(2 * np.pi) / sigma
                    scale = scale_of(frame)
                    rows.append(
                        (rng.poisson(scale * p * intensity * width * 2.5 + 4) - 4, group, frame, length, s, lever)
                    )
    counts, group, frame, length, s, lever = zip(*rows, strict=True)
    return (
        RockingObservations(
            intensity=np.array(counts, dtype=float),
            noise=np.full(len(rows), 4.0),
            group=np.array(group),
            frame=np.array(frame),
            length=np.array(length),
            excitation=np.array(s),
            travel=np.zeros(len(rows)),
            lever=np.array(lever),
        ),
        truth,
    )


def test_widths_scales_and_intensities_come_back_from_coarse_stills() -> None:
    observations, truth = observed(width=0.0015, spread=np.radians(0.1), step=1.0)
    fit = fit_rocking(first_model(0.003, FRAMES), observations, len(truth), final=True)
    assert fit.model.width == pytest.approx(0.0015, rel=0.1)
    assert np.degrees(fit.model.spread) == pytest.approx(0.1, rel=0.15)
    assert np.ptp(np.log(fit.model.scale[5:-5])) == pytest.approx(np.log(1.3 / 0.7), rel=0.25)
    known = fit.information > np.quantile(fit.information, 0.1)
    scale = np.median(fit.merged[known] / truth[known])
    assert np.corrcoef(fit.merged[known], truth[known])[0, 1] > 0.99
    z = (fit.merged / scale - truth)[known] * np.sqrt(fit.information[known]) * scale
    assert 0.6 < np.var(z[np.abs(z) < 5]) < 1.5


def test_scan_positions_hold_the_scales_where_nothing_is_measured_twice() -> None:
    """A triclinic crystal that others hide at most tilts: its aperture shrinks to a twentieth."""

    def hidden(frame: float) -> float:
        return 0.05 + np.exp(-(((frame - 20.0) / 9.0) ** 2))

    observations, truth = observed(width=0.0015, spread=np.radians(0.1), step=1.0, times=1, scale_of=hidden)
    positions = np.array([hidden(frame) for frame in range(FRAMES)])
    agreement = []
    for prior in (None, positions / np.median(positions)):
        fit = fit_rocking(first_model(0.0015, FRAMES, prior), observations, len(truth), final=False)
        known = fit.information > np.quantile(fit.information, 0.2)
        agreement.append(np.corrcoef(fit.merged[known], truth[known])[0, 1])
    without, with_positions = agreement
    assert without < 0.85
    assert with_positions > 0.95


def test_wobbling_tilts_are_followed() -> None:
    observations, truth = observed(width=0.0015, spread=np.radians(0.05), step=0.5, tilt_error=np.radians(0.05))
    fit = fit_rocking(first_model(0.0015, FRAMES), observations, len(truth), final=False)
    expected = np.degrees(np.radians(0.05) * np.sin(np.arange(FRAMES) / 5.0))
    got = np.degrees(fit.model.rotation[:, 0])
    assert np.corrcoef(got[3:-3], expected[3:-3])[0, 1] > 0.9


def test_a_rotated_frame_sees_the_mean_of_the_curve() -> None:
    shape = gaussian_shape()
    centre = np.array([0.0, 0.7, -2.0])
    fine = np.linspace(-0.5, 0.5, 2001)
    expected = [np.mean(np.interp(c + 1.6 * fine, shape.x, shape.density)) for c in centre]
    assert mean_density(shape, centre, np.full(3, 1.6)) == pytest.approx(expected, rel=1e-3)
    assert mean_density(shape, centre, np.full(3, -1.6)) == pytest.approx(expected, rel=1e-3)
    assert mean_density(shape, centre, np.zeros(3))[0] == pytest.approx(1 / np.sqrt(2 * np.pi), rel=1e-3)


def test_a_rocking_curve_integrates_to_one_whatever_the_width() -> None:
    s = np.linspace(-0.05, 0.05, 4001)
    count = len(s)
    observations = RockingObservations(
        intensity=np.zeros(count),
        noise=np.ones(count),
        group=np.zeros(count, dtype=np.int64),
        frame=np.zeros(count, dtype=np.int64),
        length=np.full(count, 0.8),
        excitation=s,
        travel=np.zeros(count),
        lever=np.zeros((count, 3)),
    )
    assert np.trapezoid(response(first_model(0.003, 1), observations), s) == pytest.approx(1.0, rel=1e-3)


def test_what_was_not_sampled_has_little_information() -> None:
    observations, truth = observed(width=0.001, spread=0.0001, step=2.0)
    model = first_model(0.001, FRAMES)._replace(spread=0.0001)
    fit = evaluate(model, observations, len(truth))
    place = np.abs(observations.excitation) / 0.001
    best = np.full(len(truth), np.inf)
    np.minimum.at(best, observations.group, place)
    seen, missed = best < 1, best > 3
    assert missed.sum() > 5
    assert np.median(fit.information[missed]) < 0.02 * np.median(fit.information[seen])
