"""Round trips through other programs: counts, intensities, sigmas and cell come back exactly."""

import subprocess
import sys
from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.formats.read_intensities import read_intensity_file

CELL = (6.25, 7.5, 21.75, 90.0, 90.0, 90.0)
ROWS = [(0, 2, 0, 4.25, 0.25), (1, 0, 0, 10.5, 0.5), (1, 1, 3, -0.5, 1.5)]
IOTBX = """
import sys
from cctbx import crystal, miller
from cctbx.array_family import flex
import iotbx.cif
symmetry = crystal.symmetry(unit_cell=(6.25, 7.5, 21.75, 90, 90, 90), space_group_symbol="P 21 21 21")
indices = flex.miller_index([(0, 2, 0), (1, 0, 0), (1, 1, 3)])
data = miller.set(symmetry, indices, anomalous_flag=False).array(
    data=flex.double([4.25, 10.5, -0.5]), sigmas=flex.double([0.25, 0.5, 1.5])
).set_observation_type_xray_intensity()
model = iotbx.cif.model.cif()
model["x"] = data.as_cif_block(array_type="meas")
with open(sys.argv[1] + "/a.cif", "w") as stream:
    print(model, file=stream)
with open(sys.argv[1] + "/a.hkl", "w") as stream:
    data.export_as_shelx_hklf(stream)
"""


def rows(path: Path) -> list[tuple[float, ...]]:
    data = read_intensity_file(path).data
    return sorted((*hkl, i, s) for hkl, i, s in zip(data.hkl.tolist(), data.intensity, data.sigma, strict=True))


def test_what_iotbx_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", IOTBX, str(tmp_path)], check=True, capture_output=True)
    assert rows(tmp_path / "a.cif") == ROWS
    assert rows(tmp_path / "a.hkl") == ROWS
    table = read_intensity_file(tmp_path / "a.cif")
    assert (table.unit_cell.parameters, table.space_group) == (CELL, "P 21 21 21")


def test_mmcif_that_gemmi_makes_of_mtz(tmp_path: Path) -> None:
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = gemmi.SpaceGroup("P 21 21 21"), gemmi.UnitCell(*CELL)
    mtz.add_dataset("x").wavelength = 0.0251
    mtz.add_column("IMEAN", "J")
    mtz.add_column("SIGIMEAN", "Q")
    mtz.set_data(np.array(ROWS, dtype=np.float32))
    (tmp_path / "a.cif").write_text(gemmi.MtzToCif().write_cif_to_string(mtz))
    assert rows(tmp_path / "a.cif") == ROWS
    table = read_intensity_file(tmp_path / "a.cif")
    assert (table.unit_cell.parameters, table.space_group) == (CELL, "P 21 21 21")
    assert table.wavelength_angstrom == pytest.approx(0.0251, rel=1e-6)


def test_an_fcf_that_gemmi_writes(tmp_path: Path) -> None:
    block = gemmi.cif.Block("x")
    for name, value in zip(("length_a", "length_b", "length_c"), CELL[:3], strict=True):
        block.set_pair(f"_cell_{name}", str(value))
    for name in ("alpha", "beta", "gamma"):
        block.set_pair(f"_cell_angle_{name}", "90")
    tags = ["index_h", "index_k", "index_l", "F_squared_calc", "F_squared_meas", "F_squared_sigma", "observed_status"]
    loop = block.init_loop("_refln_", tags)
    for h, k, l, value, sigma in ROWS:
        loop.add_row([*map(str, (h, k, l)), "1.0", str(value), str(sigma), "o"])
    document = gemmi.cif.Document()
    document.add_copied_block(block)
    document.write_file(str(tmp_path / "a.fcf"))
    assert rows(tmp_path / "a.fcf") == ROWS
    assert read_intensity_file(tmp_path / "a.fcf").unit_cell.parameters == CELL
