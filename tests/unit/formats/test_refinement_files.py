"""Text of SHELX files and numbers of CIF: against other readers and closed forms."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.formats.cif_writer import number, refinement_cif, scaled_number, voltage_kv
from adapters.formats.shelx_writer import LATTICES, ins_text, shelx_names, symmetry_lines
from tasks.integrate.cell_scale import stated_scale
from tasks.integrate.hklf4 import hklf4_text, scale_for
from tasks.model import Beam, Detector, FileRef
from tasks.refine.draft import Draft, DraftAtom
from tasks.refine.structure import RefinedStructure
from tests.synthetic.drafts import fit_of, intensities_of
from tests.synthetic.structures import naphthalene

GROUPS = "P 1,P -1,P 1 21 1,P 1 21/c 1,C 1 2/c 1,F d d 2,I a -3 d,F m -3 m,R -3 c:H,I 41/a:2"


@pytest.mark.parametrize("symbol", GROUPS.split(","))
def test_latt_and_symm_give_the_whole_group(symbol: str) -> None:
    group = gemmi.SpaceGroup(symbol)
    lines = symmetry_lines(group.hall)
    latt = int(lines[0].split()[1])
    letter = {number: name for name, number in LATTICES.items()}[abs(latt)]
    operations = [gemmi.Op("x,y,z"), *(gemmi.Op(line[5:].lower()) for line in lines[1:])]
    if latt > 0:
        operations += [gemmi.Op("-x,-y,-z") * operation for operation in operations]
    vectors = gemmi.GroupOps([gemmi.Op("x,y,z")])
    vectors.cen_ops = gemmi.symops_from_hall({"R": "R 3"}.get(letter, f"{letter} 1")).cen_ops
    found = {operation.translated(vector).wrap().triplet() for operation in operations for vector in vectors.cen_ops}
    assert found == {operation.wrap().triplet() for operation in group.operations()}


@pytest.mark.parametrize(
    ("value", "esd", "text"),
    [
        (1.23456, 0.0012, "1.2346(12)"),
        (1.23456, 0.0023, "1.235(2)"),
        (123.4, 15.0, "123(15)"),
        (0.5, None, "0.50000"),
        (0.25, 0.0, "0.25000"),
        (1234.0, 40.0, "1234(40)"),
        (0.1, 0.0196, "0.10(2)"),
    ],
)
def test_standard_uncertainties_follow_the_rule_of_19(value: float, esd: float | None, text: str) -> None:
    assert number(value, esd) == text


@pytest.mark.parametrize(
    ("value", "esd", "fit_esd", "text"),
    [
        (20.70123, 0.207, 0.0007, "20.7012(2070)"),
        (5.1234, 0.0512, 0.0023, "5.123(51)"),
        (90.0, 0.0, 0.0, "90.0000"),
        (95.123, 0.02, 0.02, "95.12(2)"),
        (20.70123, 0.207, None, "20.7012(2070)"),
        (20.70123, None, None, "20.7012"),
    ],
)
def test_a_length_keeps_the_digits_of_the_fit_under_an_uncertain_scale(
    value: float, esd: float | None, fit_esd: float | None, text: str
) -> None:
    assert scaled_number(value, esd, fit_esd) == text
    assert gemmi.cif.as_number(text) == pytest.approx(value, abs=0.0051)


@pytest.mark.parametrize("energy", [80.0, 200.0, 300.0])
def test_the_voltage_is_that_of_the_wavelength(energy: float) -> None:
    assert voltage_kv(Beam(energy_kev=energy).wavelength_angstrom) == pytest.approx(energy, rel=1e-6)


@pytest.mark.parametrize("largest", [3e-7, 1.0, 99998.0, 4e9])
def test_hklf4_keeps_columns_and_precision_on_any_scale(largest: float) -> None:
    hkl = np.array([[1, -2, 33], [-10, 0, 4]], np.int32)
    intensity, sigma = np.array([largest, -0.01 * largest]), np.array([0.02 * largest, 0.01 * largest])
    scale = scale_for(intensity, sigma)
    lines = hklf4_text(hkl, intensity, sigma).splitlines()
    assert all(len(line) == 32 for line in lines)
    assert float(lines[0][12:20]) / scale == pytest.approx(largest, rel=1e-4)
    assert float(lines[1][12:20]) / scale == pytest.approx(-0.01 * largest, rel=1e-3)
    assert lines[-1].split() == ["0", "0", "0", "0.00", "0.00", "0"]


def test_names_fit_in_four_characters_and_are_unique() -> None:
    labels = ["C1", "Zr10", "HC10A", "HC10B", "HC11A", "H000"]
    names = shelx_names(labels)
    assert names["C1"] == "C1"
    assert len(set(names.values())) == len(labels)
    assert max(map(len, names.values())) <= 4


def refined_naphthalene(folder: Path) -> RefinedStructure:
    made = naphthalene()
    atoms = tuple(DraftAtom(label=a.label, element=a.element, position=a.position) for a in made.atoms)
    intensities = intensities_of(folder / "unique.npz")
    hkl = np.array([[1, 0, 0], [0, 2, 0], [3, 1, 2]], np.int32)
    np.savez(folder / "unique.npz", hkl=hkl, intensity=np.ones(3), sigma=np.ones(3))
    detector = Detector(name="d", shape_px=(64, 64), pixel_size_mm=0.01, camera_length_mm=110.0)
    return RefinedStructure(
        id="crystal-01",
        space_group="P 1 21/a 1",
        hall=made.hall,
        unit_cell_esd=(0.002, 0.001, 0.003, 0.0, 0.02, 0.0),
        cell_scale=stated_scale(detector),
        fit=fit_of(Draft(hall=made.hall, unit_cell=made.cell, atoms=atoms), folder / "fit"),
        intensities=intensities.model_copy(update={"table": FileRef.of(folder / "unique.npz")}),
        formula={"C": 10.0},
        formula_units=2.0,
        program="a test",
    )


def test_cif_and_ins_carry_the_scale_of_the_lengths_and_say_what_it_is(tmp_path: Path) -> None:
    structure = refined_naphthalene(tmp_path)
    block = gemmi.cif.read_string(refinement_cif(structure)).sole_block()
    assert block.find_value("_cell_length_a") == "8.235(82)"
    assert block.find_value("_cell_length_b") == "6.0030(600)"
    assert block.find_value("_cell_angle_beta") == "122.92(2)"
    volume = block.find_value("_cell_volume")
    digits = len(volume.split("(")[0].partition(".")[2])
    esd = float(volume.split("(")[1].rstrip(")")) / 10**digits
    assert esd == pytest.approx(0.03 * structure.unit_cell.volume_angstrom3, rel=0.01)
    said = gemmi.cif.as_string(block.find_value("_cell_special_details"))
    assert "1.00%" in said
    assert "110 mm" in said
    assert "assumed" in said
    assert "without" in gemmi.cif.as_string(block.find_value("_geom_special_details"))
    (zerr,) = (line for line in ins_text(structure, intensity_scale=1.0).splitlines() if line.startswith("ZERR"))
    assert [float(x) for x in zerr.split()[2:]] == pytest.approx([0.0824, 0.0600, 0.0866, 0, 0.02, 0], abs=1e-4)


def test_without_a_known_scale_the_files_are_as_before(tmp_path: Path) -> None:
    plain = refined_naphthalene(tmp_path).model_copy(update={"cell_scale": None})
    block = gemmi.cif.read_string(refinement_cif(plain)).sole_block()
    assert block.find_value("_cell_length_a") == "8.235(2)"
    assert block.find_value("_cell_special_details") is None
    assert block.find_value("_geom_special_details") is None
