"""Text of SHELX files and numbers of CIF: against other readers and closed forms."""

import gemmi
import numpy as np
import pytest

from adapters.formats.cif_writer import number, voltage_kv
from adapters.formats.shelx_writer import LATTICES, shelx_names, symmetry_lines
from tasks.integrate.hklf4 import hklf4_text, scale_for
from tasks.model import Beam

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
