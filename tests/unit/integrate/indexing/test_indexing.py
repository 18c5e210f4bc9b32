import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tasks.integrate.geometry.state import cell_basis
from tasks.integrate.indexing.fourier_lattice import find_lattice
from tasks.integrate.indexing.lattice_score import Cloud, index_spots, reduced

CELLS = {
    "cubic F (primitive)": (14.637, 14.637, 14.637, 60, 60, 60),
    "monoclinic": (7.28, 10.73, 11.10, 108.06, 90, 90),
    "triclinic": (7.13, 7.85, 5.57, 89.99, 101.11, 106.03),
    "long axis": (5.0, 6.1, 38.0, 90, 90, 90),
    "one angstrom class": (2.46, 2.46, 6.7, 90, 90, 120),
}


def cloud_of(cell: tuple[float, ...], *, seed: int, kept: int, noise: float = 0.001) -> Cloud:
    """Return reflections of a tilt range of +-60 degrees to 0.9 A, with errors across and along the beam."""
    rng = np.random.default_rng(seed)
    basis = Rotation.random(rng=rng).as_matrix() @ cell_basis(np.array(cell, dtype=float))
    limit = np.ceil(np.linalg.norm(np.linalg.inv(basis), axis=1) / 0.9).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in limit], indexing="ij"), axis=-1).reshape(-1, 3)
    q = grid @ basis.T
    length = np.linalg.norm(q, axis=1)
    wedge = np.abs(np.arctan2(q[:, 2], np.abs(q[:, 1]))) < np.radians(60)
    q = q[(length > 0.05) & (length < 1 / 0.9) & wedge]
    q = q[rng.choice(len(q), min(kept, len(q)), replace=False)]
    angle = -np.arctan2(q[:, 2], q[:, 1])
    beam = np.stack([np.zeros_like(angle), np.sin(angle), np.cos(angle)], axis=1)
    q = q + noise * rng.normal(size=q.shape) + 2 * noise * rng.normal(size=(len(q), 1)) * beam
    return Cloud(q, beam, np.ones(len(q)))


def shortest(rows: np.ndarray) -> np.ndarray:
    """Return the lengths of the 20 shortest vectors of a lattice: the same whatever its reduced cell is called."""
    grid = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.sort(np.linalg.norm(grid @ reduced(rows), axis=1))[1:21]


@pytest.mark.parametrize("name", CELLS)
def test_an_unknown_cell_is_found_from_scattering_vectors(name: str) -> None:
    cell = CELLS[name]
    cloud = cloud_of(cell, seed=3, kept=600)
    found = find_lattice(cloud, longest=45.0, across=0.012)
    assert found is not None
    got = shortest(np.linalg.inv(found.basis))
    assert got == pytest.approx(shortest(np.linalg.inv(cell_basis(np.array(cell, dtype=float)))), rel=0.004)
    assert found.fraction > 0.97


def test_the_stronger_of_two_lattices_is_found_and_the_other_in_the_rest() -> None:
    one = cloud_of(CELLS["monoclinic"], seed=3, kept=500)
    two = cloud_of(CELLS["monoclinic"], seed=8, kept=300)
    both = Cloud(*(np.concatenate(columns) for columns in zip(one, two, strict=True)))
    first = find_lattice(both, longest=30.0, across=0.008)
    assert first is not None
    assert first.indexed[:500].mean() > 0.95
    rest = both.where(~first.indexed)
    second = find_lattice(rest, longest=30.0, across=0.008)
    assert second is not None
    assert index_spots(second.basis, two, 0.008).fraction > 0.95


def test_powder_and_noise_score_low() -> None:
    rng = np.random.default_rng(5)
    direction = rng.normal(size=(600, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    rings = rng.choice([0.27, 0.285, 0.45, 0.52, 0.72], 600)
    beam = np.tile([0.0, 0.0, 1.0], (600, 1))
    powder = find_lattice(Cloud(direction * rings[:, None], beam, np.ones(600)), longest=30.0, across=0.006)
    radius = rng.uniform(0.1, 1.0, (600, 1))
    noise = find_lattice(Cloud(direction * radius, beam, np.ones(600)), longest=30.0, across=0.006)
    for found in (powder, noise):
        assert found is None or found.score < 0.3
