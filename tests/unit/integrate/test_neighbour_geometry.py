"""A crystal that is too faint to be indexed alone is measured in the lattice of another; a foreign one is refused."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tasks.crystal.lattice import reciprocal_matrix
from tasks.integrate.builtin import BuiltinIntegrator
from tasks.integrate.crystals.crystal_match import reduced_crystal
from tasks.integrate.neighbour_geometry import Neighbour, NeighbourGeometryIntegrator
from tasks.integrate.reflection_file import read_merged
from tasks.model import Detector, NotIndexedError
from tests.synthetic.frame_series import Conditions, synthetic_frame_series
from tests.synthetic.structures import forsterite, kyanite

ANGLES = np.arange(-21.0, 21.1, 1.5)
SMALL = Detector(
    name="4D Camera", shape_px=(288, 288), pixel_size_mm=0.02, camera_length_mm=110.0, direct_beam_px=(143.5, 143.5)
)
FAINT = Conditions(bragg=60.0, direct=2_000.0, halo=100.0, background=50.0)
FEW = ANGLES[10:19]
"""So few tilts, and electrons, that fewer spots are seen than indexing asks for."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    made = synthetic_frame_series(forsterite(), ANGLES, folder, seed=21, detector=SMALL)
    return made, BuiltinIntegrator(d_min_angstrom=1.0).integrate(made.series, folder)


def faint(folder, structure, seed, orientation=None):
    return synthetic_frame_series(
        structure,
        FEW,
        folder,
        seed=seed,
        conditions=FAINT,
        detector=SMALL,
        name="crystal-02",
        orientation=orientation,
    )


def agreement(one, other):
    here, there = read_merged(one.merged), read_merged(other.merged)
    index = {tuple(hkl): row for row, hkl in enumerate(here.hkl.tolist())}
    pairs = [(index[key], row) for row, key in enumerate(map(tuple, there.hkl.tolist())) if key in index]
    rows, others = np.array(pairs).T
    return np.corrcoef(here.intensity[rows], there.intensity[others])[0, 1]


def test_a_crystal_that_is_not_indexed_alone_is_measured_by_the_cell_of_another(reference, tmp_path):
    _, known = reference
    frames = faint(tmp_path, forsterite(), 5).series
    (tmp_path / "alone").mkdir()
    with pytest.raises(NotIndexedError):
        BuiltinIntegrator().integrate(frames, tmp_path / "alone")
    found = NeighbourGeometryIntegrator(reference=known).integrate(frames, tmp_path)
    assert (found.unit_cell, found.laue_group) == (known.unit_cell, known.laue_group)
    assert found.neighbour.start is None
    assert found.neighbour.indexed > 0.8 * found.neighbour.spots
    assert agreement(known, found) > 0.8


def test_a_part_turned_by_three_degrees_is_found_from_its_neighbours_orientation(reference, tmp_path):
    made, known = reference
    own = made.ub @ np.linalg.inv(reciprocal_matrix(forsterite().cell))
    turn = Rotation.from_rotvec(np.radians([0.0, 3.0, 0.0])).as_matrix()
    frames = faint(tmp_path, forsterite(), 6, orientation=turn @ own).series
    beside = Neighbour(reflections=known, reindex=tuple(map(tuple, reduced_crystal(known).basis.tolist())))
    found = NeighbourGeometryIntegrator(reference=known, neighbours=(beside,)).integrate(frames, tmp_path)
    assert found.neighbour.start == known.id
    assert found.neighbour.turn_deg == pytest.approx(3.0, abs=0.4)
    assert agreement(known, found) > 0.8


def test_a_crystal_of_another_lattice_is_refused(reference, tmp_path):
    _, known = reference
    with pytest.raises(NotIndexedError, match="better than chance"):
        NeighbourGeometryIntegrator(reference=known).integrate(faint(tmp_path, kyanite(), 7).series, tmp_path)
