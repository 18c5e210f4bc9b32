"""Misoriented parts, crystals found twice, and intensities brought to another set's axes, with known answers."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tasks.apertures.all_positions import all_positions_aperture, has_more_positions
from tasks.apertures.models import CrystalAperture
from tasks.crystal.lattice import proper_rotations
from tasks.crystal.symmetry import space_group
from tasks.integrate.crystals.combine import combine_crystals
from tasks.integrate.crystals.orientation import in_reduced_axes, misorientation_deg, orientation_matrix
from tasks.integrate.crystals.relations import relation_text, relations_in, touching_fraction
from tasks.integrate.crystals.same_axes import in_axes_of
from tasks.integrate.models import ClusterMember, CrystalCluster, Reflections
from tasks.integrate.reflection_file import read_merged
from tasks.model import FileRef, NotIndexedError, UnitCell
from tests.synthetic.bare_frames import AXIS, BEAM_PX, LENGTH_MM, PIXEL_MM, frames_at
from tests.synthetic.crystal_forms import TETRAGONAL, TRICLINIC, Form, crystal

TILTS = np.arange(-40.0, 41.0, 4.0)


def with_predictions(data: Reflections, ub: np.ndarray, folder: Path) -> Reflections:
    """Write where the spots of a crystal of this UB fall on a flat detector, from the Ewald construction."""
    box = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    rows = []
    for number, tilt in enumerate(TILTS):
        q = Rotation.from_rotvec(np.radians(tilt) * np.array(AXIS)).apply(box @ ub.T)
        ray = np.array([0, 0, -1.0]) / data.wavelength_angstrom + q
        near = (np.abs(np.linalg.norm(ray, axis=1) - 1 / data.wavelength_angstrom) < 0.01) & (box != 0).any(axis=1)
        ray = ray[near] / -ray[near, 2:] * LENGTH_MM / PIXEL_MM
        px = np.stack([BEAM_PX[0] - ray[:, 1], BEAM_PX[1] + ray[:, 0]], axis=1)
        rows += [(number, *place, *hkl) for place, hkl in zip(px, box[near], strict=True)]
    table = np.array(rows)
    path = folder / f"{data.id}-{len(list(folder.iterdir()))}.h5"
    with h5py.File(path, "w") as file:
        file["frame"], file["px"], file["hkl"] = table[:, 0].astype(int), table[:, 1:3], table[:, 3:]
    return data.model_copy(update={"pictures": FileRef.of(path)})


def aperture(name: str, masks: np.ndarray, folder: Path, whole: np.ndarray | None = None) -> CrystalAperture:
    path = folder / f"aperture-{name}.h5"
    with h5py.File(path, "w") as file:
        file["masks"], file["tilt_deg"] = masks, np.arange(float(len(masks)))
        if whole is not None:
            file["all_positions"] = whole
    counts = tuple(masks.sum(axis=(1, 2)).tolist())
    return CrystalAperture(id="crystal-01", origin="automatic", masks=FileRef.of(path), positions_per_tilt=counts)


def start_matrix(cell: UnitCell) -> np.ndarray:
    frac = np.array(cell.gemmi().frac.mat.tolist())
    return Rotation.from_euler("xyz", [20, 40, 65], degrees=True).as_matrix() @ frac.T


def member(name: str) -> ClusterMember:
    identity = tuple(map(tuple, np.eye(3).tolist()))
    return ClusterMember(id=name, reindex=identity, correlation=None, runner_up=None, scale=1, b_angstrom2=0)


def square(rows: slice, columns: slice, tilts: slice = slice(None)) -> np.ndarray:
    masks = np.zeros((6, 20, 20), dtype=bool)
    masks[tilts, rows, columns] = True
    return masks


@pytest.fixture
def tetragonal(tmp_path: Path) -> Reflections:
    return crystal("one", Form(TETRAGONAL, "P 4/m", 4), tmp_path, seed=1, normal=(1, 1, 0))


def test_the_orientation_is_found_from_the_predicted_spots(tetragonal: Reflections, tmp_path: Path) -> None:
    true = start_matrix(TETRAGONAL)
    found = orientation_matrix(with_predictions(tetragonal, true, tmp_path), frames_at(TILTS, tetragonal.hklf4))
    assert found is not None
    np.testing.assert_allclose(found, true, atol=5e-3 * np.abs(true).max())


@pytest.mark.parametrize("turn_deg", [0.3, 4.0, 25.0])
def test_a_turn_is_measured_whatever_equivalent_axes_were_chosen(turn_deg: float) -> None:
    rotations = proper_rotations(space_group("P 4/m m m"))
    one = start_matrix(TETRAGONAL)
    turned = Rotation.from_rotvec(np.radians(turn_deg) * np.array([0.6, 0.0, 0.8])).as_matrix() @ one
    for rotation in rotations:
        other = in_reduced_axes(turned, rotation.astype(float))
        assert misorientation_deg(one, other, rotations) == pytest.approx(turn_deg, abs=1e-6)


def test_a_misoriented_part_is_named_with_its_parent_and_a_neighbour_of_another_orientation_is_not(
    tetragonal: Reflections, tmp_path: Path
) -> None:
    ub = start_matrix(TETRAGONAL)
    part = Rotation.from_rotvec(np.radians(4.0) * np.array([0, 0, 1.0])).as_matrix() @ ub
    apart = Rotation.from_rotvec(np.radians(30.0) * np.array([1.0, 0, 0])).as_matrix() @ ub
    data = {
        name: with_predictions(tetragonal, matrix, tmp_path)
        for name, matrix in {"big": ub, "part": part, "other": apart, "far": part}.items()
    }
    masks = {
        "big": square(slice(2, 10), slice(2, 10)),
        "part": square(slice(2, 6), slice(10, 14)),
        "other": square(slice(10, 14), slice(2, 6)),
        "far": square(slice(17, 19), slice(17, 19)),
    }
    cluster = CrystalCluster(id="c", unit_cell=TETRAGONAL, members=tuple(map(member, data)))
    frames = dict.fromkeys(data, frames_at(TILTS, tetragonal.hklf4))
    apertures = {name: aperture(name, mask, tmp_path) for name, mask in masks.items()}
    (found,) = relations_in(cluster, data, frames, apertures)
    assert (found.crystal, found.parent, found.touching) == ("part", "big", 1.0)
    assert found.misorientation_deg == pytest.approx(4.0, abs=0.1)
    assert relation_text([found]) == ("part is a part of big, turned by 4.0 degrees",)


def test_a_crystal_found_twice_at_different_tilts_is_said_to_be_one(tetragonal: Reflections, tmp_path: Path) -> None:
    data = dict.fromkeys(("early", "late"), with_predictions(tetragonal, start_matrix(TETRAGONAL), tmp_path))
    masks = {
        "early": square(slice(2, 8), slice(2, 8), slice(0, 4)),
        "late": square(slice(2, 8), slice(2, 8), slice(4, 6)),
    }
    cluster = CrystalCluster(id="c", unit_cell=TETRAGONAL, members=tuple(map(member, data)))
    frames = dict.fromkeys(data, frames_at(TILTS, tetragonal.hklf4))
    apertures = {name: aperture(name, mask, tmp_path) for name, mask in masks.items()}
    (found,) = relations_in(cluster, data, frames, apertures)
    assert found.touching is None
    assert relation_text([found]) == ("late and early are one crystal, never seen at the same tilt",)


def test_touching_counts_the_common_tilts_only() -> None:
    one = square(slice(2, 6), slice(2, 6))
    other = square(slice(2, 6), slice(7, 10), slice(0, 2)) | square(slice(2, 6), slice(15, 18), slice(2, 4))
    assert touching_fraction(one, other) == pytest.approx(0.5)


def test_intensities_in_other_axes_come_back_to_those_of_the_reference(tmp_path: Path) -> None:
    form = Form(TRICLINIC, "P -1", 1)
    one = crystal("one", form, tmp_path, seed=1, normal=(1, 0, 0))
    other = crystal("other", form, tmp_path, seed=2, normal=(1, 1, 0), basis=[[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    (tmp_path / "moved").mkdir()
    moved = in_axes_of(other, one, workdir=tmp_path / "moved" / "same-axes")
    assert moved.unit_cell == one.unit_cell
    first, second = read_merged(one.merged), read_merged(moved.merged)
    mine = dict(zip(map(tuple, first.hkl.tolist()), first.intensity, strict=True))
    pairs = [
        (mine[tuple(h)], i) for h, i in zip(second.hkl.tolist(), second.intensity, strict=True) if tuple(h) in mine
    ]
    assert len(pairs) > 100
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.97


def test_another_lattice_cannot_be_brought_to_the_axes(tetragonal: Reflections, tmp_path: Path) -> None:
    other = crystal("other", Form(TRICLINIC, "P -1", 1), tmp_path, seed=2, normal=(1, 1, 0))
    with pytest.raises(NotIndexedError):
        in_axes_of(other, tetragonal, workdir=tmp_path / "same-axes")


def test_the_all_positions_aperture_holds_the_outline_where_the_crystal_is_seen(tmp_path: Path) -> None:
    chosen = square(slice(2, 6), slice(2, 6), slice(0, 4))
    whole = square(slice(2, 8), slice(2, 8))
    given = aperture("crystal-01", chosen, tmp_path, whole)
    assert has_more_positions(given)
    assert not has_more_positions(aperture("crystal-02", chosen, tmp_path, chosen))
    assert not has_more_positions(aperture("crystal-03", chosen, tmp_path))
    made = all_positions_aperture(given, (), workdir=tmp_path / "aperture")
    assert made.positions_per_tilt == (36, 36, 36, 36, 0, 0)
    part = aperture("crystal-04", square(slice(8, 10), slice(2, 8), slice(2, 6)), tmp_path)
    made = all_positions_aperture(given, (part,), workdir=tmp_path / "with-part")
    assert made.positions_per_tilt == (36, 36, 48, 48, 0, 0)


def test_combining_gives_the_axes_in_which_orientations_are_compared(tmp_path: Path) -> None:
    form = Form(TRICLINIC, "P -1", 1)
    bases = {"crystal-01": np.eye(3, dtype=int), "crystal-02": np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])}
    sets = tuple(crystal(name, form, tmp_path, seed=1, normal=(1, 0, 0), basis=basis) for name, basis in bases.items())
    (cluster,) = combine_crystals(sets, tmp_path / "combined").clusters
    ub = start_matrix(TRICLINIC)
    matrices = []
    for one in cluster.members:
        data = next(each for each in sets if each.id == one.id)
        turned = Rotation.from_rotvec([0, np.radians(2.0) * (one.id == "crystal-02"), 0]).as_matrix() @ ub
        own = turned @ np.linalg.inv(change_of_axes(form, data)).T
        matrices.append(in_reduced_axes(own, np.array(one.reindex)))
    assert misorientation_deg(matrices[0], matrices[1], [np.eye(3, dtype=int)]) == pytest.approx(2.0, abs=0.01)


def change_of_axes(form: Form, data: Reflections) -> np.ndarray:
    """Return the matrix that takes the form's indices to those of a set, ``hkl @ matrix``, by the true intensities."""
    from tasks.crystal.lattice_match import isometries

    merged = read_merged(data.merged)
    own = {tuple(h): i for h, i in zip(form.hkl.tolist(), form.true.tolist(), strict=True)}

    def agreement(basis: np.ndarray) -> float:
        return float(np.corrcoef([own[tuple(h)] for h in (merged.hkl @ basis).tolist()], merged.intensity)[0, 1])

    found = isometries(data.unit_cell, form.cell, length_tolerance=0.03, angle_tolerance_deg=3)
    return np.linalg.inv(max(found, key=agreement))
