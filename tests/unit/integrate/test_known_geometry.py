"""Integration in a lattice that is known: as good as from nothing, in the same axes, and no other crystal's."""

import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tasks.crystal.lattice import reciprocal_matrix
from tasks.integrate import known_geometry
from tasks.integrate.builtin import BuiltinIntegrator
from tasks.integrate.known_geometry import KnownGeometryIntegrator, keeps_geometry, known_lattice
from tasks.integrate.reflection_file import read_merged, read_unmerged
from tasks.model import Detector, FileRef, InputError, NotIndexedError
from tests.synthetic.frame_series import Conditions, synthetic_frame_series
from tests.synthetic.structures import forsterite

ANGLES = np.arange(-21.0, 21.1, 1.5)
SMALL = Detector(
    name="4D Camera", shape_px=(288, 288), pixel_size_mm=0.02, camera_length_mm=110.0, direct_beam_px=(143.5, 143.5)
)
LIMIT = 1.0
"""Of the resolution, in angstrom: fewer spots than the detector sees, and less to compute."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    made = synthetic_frame_series(forsterite(), ANGLES, folder, seed=21, detector=SMALL)
    return made, BuiltinIntegrator(d_min_angstrom=LIMIT).integrate(made.series, folder)


FAINT = Conditions(bragg=20.0, direct=20.0, halo=6.0, background=3.0)


def again(made, conditions, folder, *, seed, turn_deg=(0.0, 0.0, 0.0)):
    """Return frames of the same crystal, as it lies or turned, but for the first and the last angle."""
    turn = Rotation.from_rotvec(turn_deg, degrees=True).as_matrix()
    same = turn @ made.ub @ np.linalg.inv(reciprocal_matrix(forsterite().cell))
    return synthetic_frame_series(
        forsterite(), ANGLES[1:-1], folder, seed=seed, conditions=conditions, detector=SMALL, orientation=same
    ).series


def common(one, other):
    """Return the rows of the reflections that both have, in each."""
    index = {tuple(hkl): row for row, hkl in enumerate(one.hkl.tolist())}
    pairs = [(index[key], row) for row, key in enumerate(map(tuple, other.hkl.tolist())) if key in index]
    return np.array(pairs).T


def test_weaker_frames_come_out_in_the_axes_of_the_reference_with_its_intensities(reference, tmp_path):
    made, known = reference
    weak = again(made, Conditions(bragg=10_000.0), tmp_path, seed=5)
    found = KnownGeometryIntegrator(reference=known).integrate(weak, tmp_path)
    symmetry = (known.unit_cell, known.laue_group, known.space_group)
    assert (found.unit_cell, found.laue_group, found.space_group) == symmetry
    assert found.d_min_angstrom == pytest.approx(LIMIT, rel=0.02)
    assert found.indexed_fraction > 0.95
    assert found.overall.cc_half > 0.95
    one, other = read_merged(known.merged), read_merged(found.merged)
    here, there = common(one, other)
    assert len(here) > 0.9 * len(other.hkl)
    assert np.corrcoef(one.intensity[here], other.intensity[there])[0, 1] > 0.99


def test_with_too_few_spots_the_geometry_is_held_if_asked_for(reference, tmp_path):
    made, known = reference
    few = {"reference": known, "min_spots": 100_000}
    with pytest.raises(NotIndexedError, match="draw more positions"):
        KnownGeometryIntegrator(**few).integrate(made.series, tmp_path)
    held = KnownGeometryIntegrator(**few, few_spots="hold").integrate(made.series, tmp_path)
    one, other = read_merged(known.merged), read_merged(held.merged)
    here, there = common(one, other)
    assert len(here) > 0.9 * len(other.hkl)
    assert np.corrcoef(one.intensity[here], other.intensity[there])[0, 1] > 0.99


def test_positions_of_another_crystal_are_refused(reference, tmp_path):
    _, known = reference
    other = synthetic_frame_series(forsterite(), ANGLES, tmp_path, seed=99, detector=SMALL).series
    with pytest.raises(NotIndexedError, match=r"lie on the lattice|left to refine"):
        KnownGeometryIntegrator(reference=known).integrate(other, tmp_path)


def test_a_result_that_keeps_no_geometry_cannot_be_the_reference(reference, tmp_path):
    made, known = reference
    with h5py.File(tmp_path / "pictures.h5", "w") as file:
        file["frame"] = np.zeros(1)
    bare = known.model_copy(update={"pictures": FileRef.of(tmp_path / "pictures.h5")})
    assert keeps_geometry(known)
    assert not keeps_geometry(bare)
    with pytest.raises(InputError, match="keeps no geometry"):
        KnownGeometryIntegrator(reference=bare).integrate(made.series, tmp_path)


def test_of_few_electrons_counts_are_asked_and_of_many_sums(reference, tmp_path):
    made, known = reference
    weak = again(made, FAINT, tmp_path, seed=6)
    found = KnownGeometryIntegrator(reference=known, few_spots="hold").integrate(weak, tmp_path)
    assert found.provenance.parameters["statistics"] == "counts"
    assert read_unmerged(found.unmerged).counts is None  # what is expected follows what was counted
    one, other = read_merged(known.merged), read_merged(found.merged)
    assert (other.intensity < 0).any()
    here, there = common(one, other)
    scale = np.sum(one.intensity[here] * other.intensity[there] / other.sigma[there] ** 2)
    scale /= np.sum((one.intensity[here] / other.sigma[there]) ** 2)
    deviation = (other.intensity[there] - scale * one.intensity[here]) / other.sigma[there]
    assert abs(deviation.mean()) < 0.1 + 2.0 / np.sqrt(len(here))
    assert 0.5 < deviation.std() < 1.25  # of those without a count a sigma is that of what may be there
    many = KnownGeometryIntegrator(reference=known).integrate(made.series, tmp_path)
    assert many.provenance.parameters["statistics"] == "sums"


def test_of_few_electrons_the_orientations_of_the_reference_are_held_if_asked_for(reference, tmp_path, monkeypatch):
    made, known = reference
    monkeypatch.setattr(known_geometry, "FEW_ELECTRONS", 1e9)  # so that spots to refine by are found, too
    weak = again(made, Conditions(bragg=2000.0), tmp_path, seed=6)
    found = []
    for each in ("refine", "hold"):
        (tmp_path / each).mkdir()
        engine = KnownGeometryIntegrator(reference=known, few_electrons=each)
        found.append(known_lattice(engine.integrate(weak, tmp_path / each)).setting)
    setting = known_lattice(known).setting[1:-1]  # the reference has a frame more at either end
    refined, held = (np.abs(each - setting).max() for each in found)
    assert held < 0.2 * refined


def turned_from(known, found):
    """Return by how many degrees a crystal was found turned."""
    basis = [known_lattice(one).basis for one in (known, found)]
    return Rotation.from_matrix(basis[1] @ np.linalg.inv(basis[0])).as_rotvec(degrees=True)


def test_a_part_lies_as_its_crystal_does_unless_its_spots_show_a_turn(reference, tmp_path):
    made, known = reference
    engine = KnownGeometryIntegrator(reference=known, min_spots=10, part_of_reference=True)
    straight = engine.integrate(again(made, FAINT, tmp_path, seed=7), tmp_path)
    assert np.linalg.norm(turned_from(known, straight)) < 0.12
    kept = read_unmerged(straight.unmerged)
    assert kept.counts is not None  # as the whole lets expect
    assert (kept.counts > 0).all()
    turn = (0.4, 0.0, 0.3)
    bent = engine.integrate(again(made, Conditions(bragg=200.0), tmp_path, seed=8, turn_deg=turn), tmp_path)
    np.testing.assert_allclose(turned_from(known, bent), turn, atol=0.1)
