"""The test structures and frame series are what they claim to be."""

import itertools
from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.formats.cif import read_structure
from tasks.crystal.scattering import structure_factors
from tasks.model import SourceError
from tasks.simulate.lattice import reflection_table
from tasks.simulate.models import Structure
from tests.synthetic.frame_series import Conditions, synthetic_frame_series
from tests.synthetic.structures import all_structures, corundum

SHORTEST = {("C", "C"): 1.3, ("C", "H"): 0.9, ("C", "O"): 1.2, ("C", "N"): 1.3, ("H", "N"): 0.95, ("O", "Si"): 1.55}


@pytest.mark.parametrize("structure", all_structures(), ids=lambda structure: structure.name)
def test_a_published_structure_has_no_impossible_distance(structure: Structure) -> None:
    orthogonal = np.array(structure.cell.gemmi().orth.mat.tolist())
    cells = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    for first, second in itertools.product(structure.atoms, repeat=2):
        images = np.array([op.apply_to_xyz(list(second.position)) for op in structure.group])
        delta = images - np.array(first.position)
        delta = (delta - np.round(delta))[:, None, :] + cells
        distances = np.linalg.norm(delta @ orthogonal.T, axis=2)
        distances = distances[distances > 0.01]
        limit = SHORTEST.get(tuple(sorted((first.element, second.element))), 1.5)
        assert distances.min() > limit, f"{first.label}-{second.label}"


@pytest.mark.parametrize("structure", all_structures(), ids=lambda structure: structure.name)
def test_equivalents_by_symmetry_agree_with_a_direct_sum(structure: Structure) -> None:
    table = reflection_table(structure, 1.2)
    direct = structure_factors(
        table.hkl,
        structure.cell,
        structure.group,
        elements=[atom.element for atom in structure.atoms],
        positions=np.array([atom.position for atom in structure.atoms]),
        u_iso_angstrom2=np.array([atom.u_iso_angstrom2 for atom in structure.atoms]),
        occupancies=np.array([atom.occupancy for atom in structure.atoms]),
        radiation="electron",
    )
    assert table.f_squared == pytest.approx(np.abs(direct) ** 2, rel=1e-6, abs=1e-9 * table.f_squared.max())


def test_frames_hold_the_stated_counts_and_number_the_gaps(tmp_path: Path) -> None:
    angles = [-3.0, -2.0, 1.0, 2.0]
    made = synthetic_frame_series(corundum(), angles, tmp_path, conditions=Conditions(bragg=5000), seed=5)
    frames, half = made.series.images, made.series.half
    assert half is not None
    assert frames.shape == (4, 576, 576)
    assert [frame.number for frame in made.series.frames] == [1, 2, 5, 6]
    assert frames.sum(axis=(1, 2)).tolist() == [frame.counts for frame in made.series.frames]
    assert half.sum() / frames.sum() == pytest.approx(0.5, abs=0.01)
    assert (half <= frames).all()
    assert made.series.mask.all()
    again = synthetic_frame_series(corundum(), angles, tmp_path, conditions=Conditions(bragg=5000), seed=5)
    assert again.series.stack.sha256 == made.series.stack.sha256


def test_a_rotation_frame_is_the_mean_of_its_stills(tmp_path: Path) -> None:
    many, few = (
        Conditions(bragg=bragg, direct=0, halo=0, background=0, mosaic_deg=0.3, d_min_angstrom=0.9)
        for bragg in (5e5, 2.5e4)
    )
    wide = synthetic_frame_series(corundum(), [5.0], tmp_path, width_deg=2.0, conditions=many, name="crystal-02")
    fine = synthetic_frame_series(corundum(), 5.05 + 0.1 * np.arange(20), tmp_path, conditions=few)
    first = wide.series.images[0].astype(float)
    second = fine.series.images.sum(axis=0).astype(float)
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.95


CIF = """data_x
_cell_length_a 5
_cell_length_b 6
_cell_length_c 7
_cell_angle_alpha 90
_cell_angle_beta 100
_cell_angle_gamma 90
_space_group_name_H-M_alt 'P 1 21/c 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_U_iso_or_equiv
_atom_site_occupancy
Fe1 Fe 0.1 0.2 0.3 0.012(3) 1
O1 O 0.4 0.1 0.9 . 0.5
"""


def test_a_cif_gives_cell_symmetry_and_atoms(tmp_path: Path) -> None:
    path = tmp_path / "x.cif"
    path.write_text(CIF)
    structure = read_structure(path)
    assert structure.cell.parameters == (5, 6, 7, 90, 100, 90)
    assert gemmi.find_spacegroup_by_ops(structure.group).hm == "P 1 21/c 1"
    assert [atom.element for atom in structure.atoms] == ["Fe", "O"]
    assert [atom.u_iso_angstrom2 for atom in structure.atoms] == pytest.approx([0.012, 0.02])
    assert structure.composition.formula() == "Fe4 O2"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("data_x", "not a cif {", "not a readable CIF"),
        ("_cell_length_b 6\n", "", "unit cell"),
        ("_cell_length_b 6\n", "_cell_length_b ?\n", "unit cell"),
        ("_cell_angle_beta 100", "_cell_angle_beta 200", "unit cell"),
        ("'P 1 21/c 1'", "'Q 1 2 3'", "no known space group"),
        ("_atom_site_label\n", "_atom_type_label\n", "_atom_site_label"),
        (" 1\nO1", " 3\nO1", "occupancy"),
    ],
)
def test_a_broken_cif_is_an_error_that_names_the_item(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "broken.cif"
    path.write_text(CIF.replace(old, new))
    with pytest.raises(SourceError, match=message):
        read_structure(path)


SYMOPS = "loop_\n_space_group_symop_operation_xyz\n"


@pytest.mark.parametrize(
    ("operations", "hall"),
    [
        ("x,y,z\n-x,y+1/2,-z+1/2\n-x,-y,-z\nx,-y+1/2,z+1/2\n", "-P 2ybc"),  # complete: they decide
        ("x,y,z\n-x,-y,-z\n", "-P 1"),  # P -1, whatever the symbol says
        ("x,y,z\n-x,y+1/2,-z+1/2\nx,-y+1/2,z+1/2\n", "-P 2ybc"),  # incomplete: the symbol agrees
    ],
)
def test_listed_operations_come_before_symbols(tmp_path: Path, operations: str, hall: str) -> None:
    path = tmp_path / "x.cif"
    path.write_text(CIF.replace("loop_\n_atom", SYMOPS + operations + "loop_\n_atom"))
    assert read_structure(path).hall == hall


def test_operations_that_contradict_the_symbol_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.cif"
    path.write_text(CIF.replace("loop_\n_atom", SYMOPS + "x,y,z\n-x,y,-z+1/3\n" + "loop_\n_atom"))
    with pytest.raises(SourceError, match="contradict"):
        read_structure(path)


def test_a_missing_cif_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="absent"):
        read_structure(tmp_path / "absent.cif")
