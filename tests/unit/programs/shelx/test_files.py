"""SHELX files of real runs, read to the numbers in them; symmetry against gemmi, atoms against shelxfile."""

import re
from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.formats.shelx_ins import parse_shelx, read_shelx
from adapters.formats.shelx_writer import symmetry_lines
from adapters.programs.shelx.hydrogens import count_riding, riding_draft, with_afix
from adapters.programs.shelx.input import labels, scattering_lines
from adapters.programs.shelx.model import IDENTITY, basis_between
from adapters.programs.shelx.output import complaint_in, parse_lst, parse_lxt, suggested_weights
from tasks.crystal.contents import units_by_volume
from tasks.crystal.lattice import transformed_cell
from tasks.crystal.scattering import scattering_factor
from tasks.model import Composition, ProgramFailedError, SourceError, UnitCell
from tasks.solve.models import Atom

HEAD = "TITL x\nCELL 0.0251 10 11 12 90 90 90\nZERR 4 0 0 0 0 0 0\n"


@pytest.mark.parametrize(
    ("name", "group", "atoms", "peaks"),
    [
        ("l-alanine/iam.res", "P 21 21 21", 13, 20),
        ("sucrose/DK_Zucker2_0m.res", "P 1 21 1", 45, 20),
        ("cinchonine/DemoData/Cinchonine/shelxl/shelxl.res", "P 1 21 1", 22, 50),
        ("tyrosine/2.ins", "P 21 21 21", 24, 0),
    ],
)
def test_real_result_files_are_read(shared_data: Path, name: str, group: str, atoms: int, peaks: int) -> None:
    found = read_shelx(shared_data / name)
    assert gemmi.find_spacegroup_by_ops(found.operations()).xhm() == group
    assert (len(found.atoms), len(found.peaks)) == (atoms, peaks)
    assert all(0 < atom.occupancy <= 1 for atom in found.atoms)


def test_atoms_agree_with_shelxfile(shared_data: Path) -> None:
    shelxfile = pytest.importorskip("shelxfile")
    path = shared_data / "l-alanine" / "iam.res"
    other = shelxfile.Shelxfile()
    other.read_file(str(path))
    theirs = {atom.name: atom.frac_coords for atom in other.atoms if not atom.qpeak}
    ours = {atom.name: atom.position for atom in read_shelx(path).atoms}
    assert ours.keys() == theirs.keys()
    for name, position in ours.items():
        assert position == pytest.approx(tuple(theirs[name]), abs=1e-6)


def test_codes_of_free_variables_are_resolved() -> None:
    text = (
        HEAD
        + "LATT -1\nSFAC C O\nUNIT 4 4\nFVAR 1.5 0.7\nC1 1 10.25 0.1 0.2 21.0 0.05\n"
        + "O1 2 0.3 0.1 0.2 -21.0 =\n -1.2\nHKLF 4\nEND\n"
    )
    first, second = parse_shelx(text, "x").atoms
    assert first.position[0] == 0.25
    assert first.occupancy == pytest.approx(0.7)
    assert second.occupancy == pytest.approx(0.3)
    assert second.u == (-1.2,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("TITL x\nSFAC C\n", "no complete CELL"),
        (HEAD, "no SFAC"),
        (HEAD + "SFAC C 1 2 3\n", "14 values"),
        (HEAD + "SFAC Xx\n", "no element"),
        (HEAD + "SFAC C\nLATT 9\n", "LATT 9"),
        (HEAD + "SFAC C\nO1 2 0 0 0 11 0.05\n", "line 5"),
    ],
)
def test_damaged_files_are_named(text: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        parse_shelx(text, "bad.ins")


@pytest.mark.parametrize(
    "symbol", ["P -1", "P 1 21/c 1", "C 1 2/c 1", "F d d 2", "I 41/a :2", "R -3:H", "F m -3 m", "P 43 21 2"]
)
def test_symmetry_written_comes_back(symbol: str) -> None:
    group = gemmi.find_spacegroup_by_name(symbol.replace(" :", ":"))
    text = HEAD + "\n".join(symmetry_lines(group.hall)) + "\nSFAC C\n"
    assert gemmi.find_spacegroup_by_ops(parse_shelx(text, "x").operations()).hall == group.hall


def test_electron_factors_on_the_sfac_line_follow_the_table() -> None:
    """SHELX: f = sum a exp(-b s^2) + c, with s = sin(theta)/lambda (SHELX-97 manual, SFAC)."""
    text = HEAD + "\n".join(scattering_lines(["C", "Zr"], "electron")) + "\n"
    found = parse_shelx(text, "x")
    assert found.elements == ("C", "Zr")
    stol = np.linspace(0, 1.0, 21)
    for element, numbers in zip(found.elements, found.scattering, strict=True):
        a, b = np.array(numbers[0:8:2]), np.array(numbers[1:8:2])
        ours = np.exp(-np.outer(stol**2, b)) @ a + numbers[8]
        assert np.allclose(ours, scattering_factor(element, 4 * stol**2, "electron"), rtol=0.02)
    assert max(len(line) for line in text.splitlines()) <= 80


def test_listings_are_read_exactly(shared_data: Path) -> None:
    shelxl = shared_data / "cinchonine" / "DemoData" / "Cinchonine" / "shelxl"
    alanine = parse_lst((shared_data / "l-alanine" / "iam.lst").read_text(errors="replace"))
    assert alanine[:8] == (0.0285, 2393, 0.0304, 2519, 0.0637, 2.251, 83, 0)
    assert (alanine.highest_peak, alanine.deepest_hole) == (0.53, -0.31)
    assert alanine.disagreeable[0] == ((0, 2, 1), 115.61, 146.24, 11.75, 4.21)
    cinchonine = parse_lst((shelxl / "shelxl.lst").read_text(errors="replace"))
    assert cinchonine[:8] == (0.1765, 868, 0.2113, 1285, 0.4429, 1.423, 89, 1)
    assert len(cinchonine.disagreeable) == 50
    assert suggested_weights((shared_data / "l-alanine" / "iam.res").read_text()) == (0.0405, 0.0165)
    block = gemmi.cif.read(str(shelxl / "shelxl.cif")).sole_block()
    assert float(block.find_value("_refine_ls_R_factor_gt")) == cinchonine.r1
    assert float(block.find_value("_refine_ls_wR_factor_ref")) == cinchonine.wr2


def test_a_cut_listing_is_a_typed_error() -> None:
    with pytest.raises(ProgramFailedError, match=r"did not finish\n\*\* Cannot resolve"):
        parse_lst("x\n ** Cannot resolve SAME .. **\n")


def test_the_table_of_shelxt_with_and_without_its_newer_column() -> None:
    new = """
   R1  Rweak Alpha SysAbs  Orientation      Space group  Flack_x  File  Formula
 0.327 0.069 0.109 0.00      as input       P6/mmm               job_a  C121 O90 Zr6
 0.314 0.051 0.104 0.00      as input       P6mm          0.47   job_b  C783 O253 I18

 Assign elements
"""
    rows = parse_lxt(new)
    assert [(row.r1, row.space_group, row.flack_x, row.file) for row in rows] == [
        (0.327, "P6/mmm", None, "job_a"),
        (0.314, "P6mm", 0.47, "job_b"),
    ]
    assert rows[0].formula == "C121 O90 Zr6"
    old = new.replace(" SysAbs", "").replace(" 0.00 ", " ")
    assert [row.space_group for row in parse_lxt(old)] == ["P6/mmm", "P6mm"]
    assert parse_lxt("nothing") == ()
    assert complaint_in(" ** Cannot open file job.hkl **\n") == "Cannot open file job.hkl"


def test_a_change_of_axes_is_found() -> None:
    cell = UnitCell(a=6, b=7, c=11, alpha=90, beta=97, gamma=90)
    assert basis_between(cell, cell) == IDENTITY
    wanted = np.array([[-1, 0, -1], [0, -1, 0], [0, 0, 1]])
    other = transformed_cell(cell, wanted.T.astype(float))
    found = np.array(basis_between(cell, other))
    assert np.round(np.linalg.det(found)) == 1
    assert transformed_cell(cell, found.T).parameters == pytest.approx(other.parameters, rel=1e-6)
    assert basis_between(cell, UnitCell(a=5, b=5, c=5, alpha=90, beta=90, gamma=90)) is None


@pytest.mark.parametrize(
    ("formula", "cell", "hall", "z"),
    [
        ("C9 H11 N O3", (6.008, 7.025, 21.69, 90, 90, 90), "P 2ac 2ab", 4),
        ("C19 H22 N2 O", (10.732, 7.283, 11.107, 90, 108.06, 90), "P 2yb", 2),
        ("C12 H22 O11", (7.716, 8.664, 10.812, 90, 102.98, 90), "P 2yb", 2),
        ("Na2 Al2 Si3 O12 H4", (18.268, 18.636, 6.614, 90, 90, 90), "F 2 -2d", 8),
    ],
)
def test_formula_units_from_the_volume(formula: str, cell: tuple[float, ...], hall: str, z: float) -> None:
    assert units_by_volume(Composition.parse(formula), UnitCell.of(cell).volume_angstrom3, hall) == z


def test_hydrogen_put_into_a_result_lies_where_it_was_refined_to(shared_data: Path) -> None:
    """L-alanine without its seven hydrogen atoms, which X-ray data of 0.65 A placed freely."""
    path = shared_data / "l-alanine" / "iam.res"
    text = path.read_text()
    bare = re.sub(r"(?m)^H\w*\s+\d+\s+-?\d+\.\d+.*(?:=\n.*)?\n", "", text)
    result = parse_shelx(bare, "bare")
    assert {atom.element for atom in result.atoms} == {"C", "N", "O"}
    contents = Composition.parse("C3 H7 N O2")
    draft = riding_draft(result, hall="P 2ac 2ab", cell=result.unit_cell, radiation="xray", composition=contents)
    out = with_afix(bare, draft, result.elements)
    found = parse_shelx(out, "out")
    ours = [atom for atom in found.atoms if atom.element == "H"]
    theirs = np.array([atom.position for atom in read_shelx(path).atoms if atom.element == "H"])
    assert len(ours) == len(theirs) == 7
    assert count_riding(out) == 3
    orthogonal = np.array(result.unit_cell.gemmi().orth.mat.tolist())
    for atom in ours:
        apart = (theirs - np.array(atom.position)) @ orthogonal.T
        assert np.linalg.norm(apart, axis=1).min() < 0.25
        assert atom.u[0] in {-1.2, -1.5}
    assert len(found.atoms) == len(result.atoms) + 7
    assert out.rstrip().endswith("END")
    again = riding_draft(found, hall="P 2ac 2ab", cell=found.unit_cell, radiation="xray", composition=contents)
    assert again is None


def test_names_are_unique_in_four_characters() -> None:
    atoms = tuple(Atom(label="x", element="Cl", position=(0.0, 0.0, 0.0)) for _ in range(1200))
    names = labels(atoms)
    assert len(set(names)) == 1200
    assert max(map(len, names)) <= 4
