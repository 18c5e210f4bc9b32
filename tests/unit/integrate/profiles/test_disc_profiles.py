"""Discs that share pixels are told apart where that is possible, and set aside where it is not."""

import numpy as np
import pytest

from tasks.events.beam_disc import BeamDisc
from tasks.integrate.geometry.prediction import Predictions
from tasks.integrate.profiles.disc_profiles import disc_profiles, overlaps_of, reach_of, separated_discs
from tasks.integrate.profiles.patches import Patches
from tasks.integrate.profiles.profile_fit import fit_patches
from tasks.integrate.profiles.spot_profiles import expected_shape

BEAM = np.array([[100.0, 100.0]])


def on_one_frame(
    px: np.ndarray, intensity: np.ndarray, disc: BeamDisc, *, background: float, seed: int | None = None
) -> tuple[Predictions, Patches, np.ndarray]:
    """Return the discs of one frame, their patches and shapes; with a seed their counts are drawn."""
    n, reach = len(px), reach_of(disc)
    predictions = Predictions(
        np.zeros((n, 3), dtype=np.int32), np.zeros(n, dtype=np.int64), px, np.zeros((n, 3)), np.zeros(n), np.zeros(n)
    )
    centre = np.rint(px).astype(np.int64)
    grid = np.arange(-reach, reach + 1)
    empty = np.zeros((n, len(grid), len(grid)), dtype=np.float32)
    patches = Patches(
        centre, empty, empty + np.float32(background), np.ones(empty.shape, dtype=bool), None,
        np.zeros(n, dtype=bool), np.ones(n, dtype=bool),
    )  # fmt: skip
    shape = expected_shape(patches, predictions, BEAM, disc_profiles(disc))
    image = np.full((200, 200), background)
    for place, own, total in zip(centre, shape, intensity, strict=True):
        rows, columns = place[0] + grid, place[1] + grid
        image[np.ix_(rows, columns)] += total * own
    if seed is not None:
        image = np.random.default_rng(seed).poisson(image).astype(float)
    counts = np.array([image[np.ix_(place[0] + grid, place[1] + grid)] for place in centre], dtype=np.float32)
    return predictions, patches._replace(counts=counts), shape


def solved(predictions: Predictions, patches: Patches, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    measured = separated_discs(
        fit_patches(patches.counts, patches.background, patches.valid, shape), patches.counts, patches.background,
        patches=patches, expected=shape, predictions=predictions,
    )  # fmt: skip
    return measured.intensity, measured.noise


@pytest.mark.parametrize("radius", [3.0, 5.5, 11.0, 16.5])
def test_the_profile_is_the_disc(radius: float) -> None:
    disc = BeamDisc(radius_px=radius, edge_px=0.6)
    _, _, shape = on_one_frame(np.array([[90.3, 120.6]]), np.array([1.0]), disc, background=0.0)
    assert shape[0].sum() == pytest.approx(1.0, abs=0.01)
    middle = shape[0][reach_of(disc), reach_of(disc)]
    assert middle == pytest.approx(1.0 / (np.pi * radius**2), rel=0.06)


@pytest.mark.parametrize("apart", [1.9, 1.0, 0.5])
def test_without_noise_overlapping_discs_get_their_own_intensities(apart: float) -> None:
    disc = BeamDisc(radius_px=11.0, edge_px=0.6)
    px = np.array([[90.3, 120.6], [90.3 + apart * 11.0, 120.6], [90.3 + 5.0, 120.6 + apart * 11.0]])
    truth = np.array([1000.0, 100.0, 4000.0])
    intensity, _ = solved(*on_one_frame(px, truth, disc, background=0.2))
    np.testing.assert_allclose(intensity, truth, rtol=0.01, atol=3.0)


def test_sigmas_of_overlapping_discs_are_their_errors() -> None:
    disc = BeamDisc(radius_px=8.0, edge_px=0.6)
    px = np.array([[90.3, 120.6], [97.1, 121.0], [101.0, 130.2]])
    truth = np.array([800.0, 60.0, 400.0])
    off = []
    for seed in range(60):
        intensity, noise = solved(*on_one_frame(px, truth, disc, background=0.2, seed=seed))
        off.append((intensity - truth) / np.sqrt(noise + np.maximum(truth, 0.0)))
    # the variance of 60 is known to 18 %
    assert (np.abs(np.var(off, axis=0) - 1.0) < 0.5).all()
    assert (np.abs(np.mean(off, axis=0)) < 0.4).all()


def test_discs_on_top_of_each_other_are_set_aside_and_others_said_to_overlap() -> None:
    disc = BeamDisc(radius_px=11.0, edge_px=0.6)
    px = np.array([[60.0, 60.0], [60.2, 60.3], [120.0, 120.0], [120.0, 135.0], [60.0, 150.0]])
    predictions, patches, shape = on_one_frame(px, np.full(5, 500.0), disc, background=0.2)
    found = overlaps_of(predictions, patches, shape)
    assert found.aside.tolist() == [True, True, False, False, False]
    assert found.overlapped.tolist() == [True, True, True, True, False]
