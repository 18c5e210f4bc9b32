"""Orientation, scale and curve of map cells from counts drawn by the model's own law."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tasks.maps.orientation_fit import CellCounts, SpotModel, curve_of, fit_orientations

CELLS, WAVELENGTH, WIDTH = 30, 0.0197, 0.004
GRID = np.linspace(-8, 8, 321)
NORMAL = curve_of(GRID, np.exp(-0.5 * GRID**2))


def drawn(
    turns_deg: np.ndarray, scale: np.ndarray, *, electrons: float, narrower: float | np.ndarray = 1.0, seed: int = 0
):
    """Return models and counts of 31 tilts about x: spots near the sphere, intensities that vary tenfold."""
    narrow = np.broadcast_to(narrower, len(scale))[:, None]
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(4000, 3))
    vectors *= (rng.uniform(0.2, 0.9, 4000) / np.linalg.norm(vectors, axis=1))[:, None]
    intensity = rng.exponential(1.0, 4000)
    models, counts = [], []
    for tilt in np.linspace(-60, 60, 31):
        turn = Rotation.from_euler("x", tilt, degrees=True).as_matrix()
        q = vectors @ turn.T
        outgoing = q - np.array([0, 0, 1 / WAVELENGTH])
        size = np.linalg.norm(outgoing, axis=1)
        excitation = 1 / WAVELENGTH - size
        rows = np.flatnonzero(np.abs(excitation) < 4 * WIDTH)
        lever = -np.cross(q, outgoing / size[:, None])[rows] @ turn
        model = SpotModel(
            excitation[rows], np.full(len(rows), WIDTH), lever, electrons * intensity[rows],
            np.full(len(rows), 0.02), rows,
        )  # fmt: skip
        place = (excitation[rows] + np.radians(turns_deg) @ lever.T) / (WIDTH * narrow)
        expected = scale[:, None] * model.strength / narrow * np.interp(place, NORMAL.x, NORMAL.density) + 0.02
        models.append(model)
        counts.append(CellCounts(np.arange(len(scale)), np.ones(len(scale)), rng.poisson(expected).astype(float)))
    return models, counts


def standardised(turns_deg: np.ndarray, scale: np.ndarray, **how: float) -> tuple[np.ndarray, np.ndarray]:
    """Return deviations from the truth in sigmas, each against their mean: rotations (cells, 3), log scales."""
    fit = fit_orientations(*drawn(turns_deg, scale, **how), NORMAL, len(scale))
    sigma = np.sqrt(np.diagonal(fit.covariance, axis1=1, axis2=2))
    log = fit.log_scale - fit.log_scale.mean() - np.log(scale) + np.log(scale).mean()
    off = fit.rotation - np.radians(turns_deg)
    return (off - off.mean(axis=0)) / sigma[:, 1:], log / sigma[:, 0]


def bent(degrees: float) -> np.ndarray:
    return np.linspace(-0.5, 0.5, CELLS)[:, None] * degrees * np.array([0.0, 0.8, 0.6])


@pytest.mark.parametrize("electrons", [0.2, 2.0])
def test_a_straight_crystal_gives_no_turn_within_sigma(electrons: float) -> None:
    turn, scale = standardised(np.zeros((CELLS, 3)), np.ones(CELLS), electrons=electrons)
    assert 0.75 < np.sqrt(np.mean(turn**2)) < 1.25
    assert 0.7 < np.sqrt(np.mean(scale**2)) < 1.3


def test_a_bend_and_a_wedge_come_out_within_sigma() -> None:
    turn, scale = standardised(bent(2.0), np.linspace(0.5, 1.5, CELLS), electrons=2.0)
    assert 0.75 < np.sqrt(np.mean(turn**2)) < 1.3
    assert 0.7 < np.sqrt(np.mean(scale**2)) < 1.4


def test_cells_of_a_bent_crystal_have_a_narrower_curve_than_the_whole() -> None:
    fit = fit_orientations(*drawn(bent(1.0), np.ones(CELLS), electrons=5.0, narrower=0.6), NORMAL, CELLS)
    assert fit.narrower == pytest.approx(0.6, abs=0.03)
    assert np.degrees(np.ptp(fit.rotation, axis=0)) == pytest.approx([0.0, 0.8, 0.6], abs=0.1)


def test_sigmas_grow_as_counts_fall() -> None:
    few, many = (
        fit_orientations(*drawn(np.zeros((4, 3)), np.ones(4), electrons=electrons), NORMAL, 4).covariance[:, 1, 1]
        for electrons in (0.2, 3.2)
    )
    assert np.median(np.sqrt(few / many)) == pytest.approx(4.0, rel=0.3)


@pytest.mark.parametrize("electrons", [0.4, 4.0])
def test_a_curve_that_widens_over_the_crystal_comes_out_within_sigma(electrons: float) -> None:
    widths = np.linspace(0.7, 1.1, CELLS)
    fit = fit_orientations(
        *drawn(bent(1.0), np.linspace(0.5, 1.5, CELLS), electrons=electrons, narrower=widths), NORMAL, CELLS
    )
    off = fit.log_width - np.log(widths)
    assert 0.75 < np.sqrt(np.mean(((off - off.mean()) / fit.width_sigma) ** 2)) < 1.3
    assert np.corrcoef(fit.log_width, widths)[0, 1] > (0.6 if electrons < 1 else 0.95)
