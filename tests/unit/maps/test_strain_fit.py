"""Strain from radial distances of electrons, drawn with a known one."""

import numpy as np

from tasks.maps.strain_fit import Displacements, cell_strains


def test_strain_comes_out_within_sigma_against_the_mean() -> None:
    rng = np.random.default_rng(3)
    cells, each = 40, 3000
    true = rng.normal(0, 0.001, cells)
    cell = np.repeat(np.arange(cells), each)
    radius = rng.uniform(60, 220, len(cell))
    off = rng.normal(-true[cell] * radius, 1.1)
    floor = rng.random(len(cell)) < 0.3
    off = np.where(floor, rng.uniform(-4, 4, len(cell)), off)
    own = np.repeat(np.arange(cells)[:, None], 2, axis=1)
    strain, sigma = cell_strains(Displacements(cell, radius, off), own, cells)
    z = (strain - true + true.mean()) / sigma
    assert 0.75 < np.sqrt(np.mean(z**2)) < 1.3
    assert np.median(sigma) < 0.0006


def test_too_few_electrons_give_no_strain() -> None:
    strain, sigma = cell_strains(Displacements(np.zeros(5, int), np.ones(5), np.zeros(5)), np.array([[0, 0]]), 1)
    assert np.isnan(strain).all()
    assert np.isnan(sigma).all()
