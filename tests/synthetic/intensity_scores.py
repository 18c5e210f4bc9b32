"""Merged intensities against those of the structure that they were simulated from."""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tasks.integrate.models import Reflections
from tasks.integrate.reflection_file import read_merged
from tasks.simulate.lattice import reflection_table
from tasks.simulate.models import Structure
from tests.synthetic.published_r1 import r1_of

SHELLS = 5


class Score(NamedTuple):
    """Against the truth: correlation and variance of (I - truth) / sigma by shell, low resolution first, R1 of |F|."""

    correlation: list[float]
    variance: list[float]
    overall: float
    r1: float


def settings_of(cell: Any, true_cell: Any) -> Iterator[np.ndarray]:
    """Yield the matrices that take indices of one cell to those of another setting of the same lattice."""
    given, wanted = (np.array(c.gemmi().orth.mat.tolist()) for c in (cell, true_cell))
    metric, target = given.T @ given, wanted.T @ wanted
    steps = (-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2)
    thirds = (-4 / 3, -2 / 3, -1 / 3, 1 / 3, 2 / 3, 4 / 3)
    grid = np.array(list(itertools.product(steps, repeat=3)) + list(itertools.product((*steps, *thirds), repeat=3)))
    length = np.einsum("ni,ij,nj->n", grid, metric, grid)
    rows = [np.unique(grid[np.abs(length / target[i, i] - 1) < 0.02], axis=0) for i in range(3)]
    for a, b in itertools.product(rows[0], rows[1]):
        if abs(a @ metric @ b - target[0, 1]) > 0.03 * np.sqrt(target[0, 0] * target[1, 1]):
            continue
        for c in rows[2]:
            off = [
                abs(a @ metric @ c - target[0, 2]) / np.sqrt(target[0, 0] * target[2, 2]),
                abs(b @ metric @ c - target[1, 2]) / np.sqrt(target[1, 1] * target[2, 2]),
            ]
            if max(off) < 0.03:
                yield np.array([a, b, c])


def score(reflections: Reflections, structure: Structure) -> Score | None:
    """Compare merged intensities with |F|^2 in the setting that agrees best; None if the lattice is another one."""
    merged = read_merged(reflections.merged)
    table = reflection_table(structure, 0.95 * reflections.d_min_angstrom)
    truth = {tuple(row): value for row, value in zip(table.hkl.tolist(), table.f_squared, strict=True)}
    best, expected = -2.0, np.zeros(0)
    for matrix in settings_of(reflections.unit_cell, structure.cell):
        rows = np.rint(merged.hkl @ matrix.T).astype(int).tolist()
        values = np.array([truth.get(tuple(row), 0.0) for row in rows])
        agreement = float(np.corrcoef(values, merged.intensity)[0, 1])
        if agreement > best:
            best, expected = agreement, values
    if not len(expected):
        return None
    inverse = np.array(reflections.unit_cell.gemmi().frac.mat.tolist())
    length = np.linalg.norm(merged.hkl @ inverse, axis=1)
    correlation, variance = [], []
    for rows in np.array_split(np.argsort(length), SHELLS):
        intensity, sigma, true = merged.intensity[rows], merged.sigma[rows], expected[rows]
        scale = (intensity * true / sigma**2).sum() / (true**2 / sigma**2).sum()
        correlation.append(float(np.corrcoef(intensity, true)[0, 1]))
        variance.append(float(np.var((intensity - scale * true) / sigma)))
    return Score(correlation, variance, best, r1_of(merged.intensity, np.sqrt(expected)))
