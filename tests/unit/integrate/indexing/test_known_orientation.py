"""A lattice laid on a few spots: where its cell is known, near a neighbour's orientation, and where nothing fits."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tasks.crystal.lattice import reciprocal_matrix
from tasks.integrate.indexing.known_orientation import orient
from tasks.integrate.indexing.lattice_score import Cloud
from tests.synthetic.structures import kyanite

BASIS = np.asarray(reciprocal_matrix(kyanite().cell))
ACROSS = 0.008
"""1/angstrom, across the beam."""


def cloud(turn: np.ndarray, *, own: int, others: int, seed: int) -> Cloud:
    """Spots of a lattice turned so, 0.002 1/angstrom off, among spots of nothing."""
    rng = np.random.default_rng(seed)
    hkl = rng.integers(-6, 7, (400, 3))
    q = hkl @ (turn @ BASIS).T
    length = np.linalg.norm(q, axis=1)
    q = q[(length > 0.2) & (length < 0.9)][:own]
    stray = rng.normal(size=(others, 3))
    stray *= (rng.uniform(0.2, 0.9, others) / np.linalg.norm(stray, axis=1))[:, None]
    every = np.concatenate([q + rng.normal(0, 0.002, q.shape), stray])
    beam = Rotation.random(len(every), rng=rng).as_matrix()[:, 2]
    return Cloud(every, beam, rng.uniform(1, 2, len(every)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ten_reflections_among_six_strays_tell_the_orientation_of_a_known_cell(seed):
    turn = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    found = orient(BASIS, cloud(turn, own=10, others=6, seed=seed), ACROSS, {})
    assert found is not None
    assert found.chance < 1e-3
    assert found.indexed >= 10
    assert found.start is None
    signs = np.rint(np.linalg.solve(found.basis, turn @ BASIS))  # the lattice has its centre only
    np.testing.assert_allclose(np.abs(signs), np.eye(3), atol=0.01)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_spots_of_nothing_are_not_taken_for_the_lattice(seed):
    found = orient(BASIS, cloud(np.eye(3), own=0, others=16, seed=seed), ACROSS, {})
    assert found is None or found.chance > 1e-3


def test_near_a_neighbour_fewer_reflections_do():
    turn = Rotation.from_rotvec(np.radians([2.0, -1.0, 1.5])).as_matrix()
    few = cloud(turn, own=7, others=1, seed=4)
    alone, beside = orient(BASIS, few, ACROSS, {}), orient(BASIS, few, ACROSS, {"crystal-01": BASIS})
    assert alone is not None
    assert beside is not None
    assert beside.start == "crystal-01"
    assert beside.turn_deg == pytest.approx(np.degrees(np.linalg.norm(np.radians([2.0, -1.0, 1.5]))), abs=0.3)
    assert beside.chance < 1e-3 * alone.chance


def test_two_spots_say_nothing():
    found = orient(BASIS, cloud(np.eye(3), own=2, others=0, seed=5), ACROSS, {})
    assert found is None or found.chance >= 1.0
