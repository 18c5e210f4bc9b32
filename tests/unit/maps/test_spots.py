"""Counts by map cell in the spots' own pixels, and what turns them out of the Ewald sphere."""

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.transform import Rotation

from tasks.integrate import Measurements
from tasks.maps.orientation_fit import CellCounts, curve_of
from tasks.maps.spots import RockingPictures, cell_counts, excitations, neighbourhoods, pooled
from tasks.trace import FrameElectrons


def spots(*centres: tuple[int, int]) -> Measurements:
    n = len(centres)
    zero = np.zeros(n)
    return Measurements(
        hkl=np.ones((n, 3), dtype=np.int32), frame=np.zeros(n, int), px=np.array(centres) + 0.25,
        centre=np.array(centres), core=np.ones((n, 3, 3), dtype=bool), counts=zero.astype(int), background=zero,
        predicted=zero, excitation=zero, state=np.zeros(n, np.uint8), overlapped=np.zeros(n, dtype=bool),
    )  # fmt: skip


def test_every_electron_in_own_pixels_is_counted_in_the_cell_of_its_position() -> None:
    rng = np.random.default_rng(1)
    slow, fast, owner = rng.integers(0, 20, 500), rng.integers(0, 20, 500), rng.integers(0, 4, 500)
    electrons = FrameElectrons(0, np.array([2, 3, 7, 8]), owner, slow, fast)
    cell = np.full(9, -1)
    cell[[2, 3, 7]] = [5, 5, 1]  # two positions in one cell; position 8 in none
    found, off = cell_counts(electrons, spots((5, 5), (14, 9)), (20, 20), cell, np.array([9.5, 9.5]))
    assert found.cells.tolist() == [1, 5]
    assert found.number.tolist() == [1, 2]
    for column, (row, col) in enumerate([(5, 5), (14, 9)]):
        inside = (np.abs(slow - row) <= 1) & (np.abs(fast - col) <= 1)
        assert found.counts[:, column].tolist() == [(inside & (owner == 2)).sum(), (inside & (owner < 2)).sum()]
    assert len(off.cell) == found.counts.sum()


def test_an_electron_further_out_than_its_spot_is_off_by_so_much() -> None:
    electrons = FrameElectrons(0, np.array([0]), np.array([0]), np.array([16]), np.array([10]))
    _, off = cell_counts(electrons, spots((15, 10)), (20, 20), np.array([0]), np.array([5.25, 10.25]))
    assert off.radius == pytest.approx([10.0])
    assert off.off == pytest.approx([0.75])


def test_a_cell_is_pooled_with_those_around_it() -> None:
    counts = CellCounts(np.array([0, 2]), np.array([1.0, 1.0]), np.array([[1.0, 2.0], [3.0, 4.0]]))
    around = sparse.csr_array(np.array([[1.0, 1, 1], [1, 1, 1], [0, 0, 0]]))
    found = pooled(counts, around)
    assert found.cells.tolist() == [0, 1]
    assert found.number.tolist() == [2.0, 2.0]
    assert found.counts.tolist() == [[4.0, 6.0], [4.0, 6.0]]


def test_a_cell_of_few_electrons_takes_its_neighbours_if_they_have_enough() -> None:
    rng = np.random.default_rng(3)
    where = np.argwhere(rng.random((12, 9)) < 0.6)
    electrons = rng.exponential(60.0, len(where))
    found = neighbourhoods(where, electrons, enough=100.0).toarray()
    near = (np.abs(where[:, None] - where[None]).max(axis=2) <= 1).astype(float)
    expected = np.where((electrons >= 100.0)[:, None], np.eye(len(where)), near * (near @ electrons >= 100.0)[:, None])
    assert {0, 1, 3} < set(expected.sum(axis=1).astype(int).tolist())
    assert np.array_equal(found, expected)


def test_the_lever_is_the_change_of_the_excitation_error_by_a_turn_of_the_specimen() -> None:
    rng = np.random.default_rng(2)
    basis, tilt = rng.normal(0, 0.05, (3, 3)), Rotation.from_rotvec([0.7, 0, 0]).as_matrix()
    hkl, turn = rng.integers(-4, 5, (20, 3)), 1e-6 * np.array([1.0, -2.0, 0.5])
    curve = curve_of(np.linspace(-8, 8, 321), np.ones(321))

    def of(setting: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pictures = RockingPictures(curve, 0.002, 0.0, np.ones(1), setting[None], basis, 0.0197)
        return excitations(hkl, np.zeros(20, int), pictures)

    before, lever, length = of(tilt @ basis)
    after, _, _ = of(tilt @ Rotation.from_rotvec(turn).as_matrix() @ basis)
    assert after - before == pytest.approx(lever @ turn, rel=1e-3, abs=1e-12)
    assert length == pytest.approx(np.linalg.norm(hkl @ basis.T, axis=1))
