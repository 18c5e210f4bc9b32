"""SHELX instructions that describe reflections beside or inside them: numbers of HKLF, scales, matrices, weights."""

from pathlib import Path

import numpy as np
import pytest
from shelxfile import Shelxfile

from adapters.formats.inspect_file import inspect_file
from adapters.formats.read_intensities import read_intensity_file
from adapters.formats.reflection_formats import read_with
from tasks.integrate.hklf4 import hklf4_text
from tasks.model import SourceError

HEAD = "TITL a\nCELL 0.0251 5 6 7 90 95 90\nZERR 2 0 0 0 0 0 0\nLATT -1\nSYMM -X, 0.5+Y, -Z\nSFAC C H O\nUNIT 8 12 4\n"
LIST = (
    "  -1   0   0  100.00    2.00   1\n   0   2   0   50.50    1.50   1\n-123  14 -13    7.25    0.50   2\n"
    "   0   0   0    0.00    0.00   0\n"
)
INTENSITIES = [100.0, 50.5, 7.25]


def instructions(path: Path, hklf: str, after: str = "END\n") -> Path:
    path.write_text(f"{HEAD}{hklf}\n{after}")
    return path


@pytest.mark.parametrize("suffix", [".ins", ".res"])
def test_reflections_may_follow_the_instruction(tmp_path: Path, suffix: str) -> None:
    path = instructions(tmp_path / f"a{suffix}", "HKLF -4", LIST + "END\nQ1 1 0.1 0.2 0.3 11.0 0.05 1.0\n")
    table = read_intensity_file(path)
    assert table.data.hkl.tolist() == [[-1, 0, 0], [0, 2, 0], [-123, 14, -13]]
    assert table.data.intensity.tolist() == INTENSITIES
    assert (table.space_group, table.composition, table.wavelength_angstrom) == ("P 1 21 1", "C8 H12 O4", 0.0251)
    assert read_with(path) == (path,)
    assert inspect_file(path).lacks == ()


@pytest.mark.parametrize(("data", "beside"), [("a.hkl", "a.INS"), ("a.HKL", "a.RES"), ("a.HKL", "a.ins")])
def test_suffixes_in_capitals_are_known(tmp_path: Path, data: str, beside: str) -> None:
    (tmp_path / data).write_text(LIST)
    instructions(tmp_path / beside, "HKLF 4")
    for name in (data, beside):
        assert read_intensity_file(tmp_path / name).composition == "C8 H12 O4"


def test_a_negative_number_with_nothing_behind_means_the_file_beside_it(tmp_path: Path) -> None:
    path = instructions(tmp_path / "a.ins", "HKLF -4", "")
    (tmp_path / "a.hkl").write_text(LIST)
    assert read_intensity_file(path).data.intensity.tolist() == INTENSITIES


def test_scale_matrix_and_weight_are_those_of_the_manual(tmp_path: Path) -> None:
    """The scale multiplies F^2 and sigma, the weight 1/sigma^2; the new h is r11 h + r12 k + r13 l."""
    (tmp_path / "a.hkl").write_text(LIST)
    path = instructions(tmp_path / "a.ins", "HKLF 4 2 0 0 1 1 0 0 =\n 0 1 0 4 0")
    data = read_intensity_file(path).data
    matrix = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    assert data.hkl.tolist() == [(matrix @ hkl).tolist() for hkl in ([-1, 0, 0], [0, 2, 0], [-123, 14, -13])]
    assert data.intensity.tolist() == [200.0, 101.0, 14.5]
    assert data.sigma.tolist() == [2.0, 1.5, 0.5]


def test_the_instruction_in_the_result_file_of_a_cif_counts(tmp_path: Path) -> None:
    """The cell of a CIF is that after the matrix, its embedded list that before."""
    text = (
        f"data_a\n_shelx_res_file\n;\n{HEAD}HKLF 4 2 0 0 1 1 0 0 =\n 0 1 0 4 0\nEND\n;\n_shelx_hkl_file\n;\n{LIST};\n"
    )
    (tmp_path / "a.cif").write_text(text)
    data = read_intensity_file(tmp_path / "a.cif").data
    assert data.hkl.tolist() == [[0, -1, 0], [0, 0, 2], [-13, -123, 14]]
    assert data.intensity.tolist() == [200.0, 101.0, 14.5]
    (tmp_path / "a.cif").write_text(text.replace("HKLF 4 2", "HKLF 4 nan"))
    with pytest.raises(SourceError, match="not finite"):
        read_intensity_file(tmp_path / "a.cif")


def test_the_scale_of_hklf_3_multiplies_amplitudes(tmp_path: Path) -> None:
    (tmp_path / "a.hkl").write_text("   1   0   0   10.00    0.50\n")
    data = read_intensity_file(instructions(tmp_path / "a.ins", "HKLF 3 2")).data
    assert (data.intensity.tolist(), data.sigma.tolist()) == ([400.0], [41.0])


@pytest.mark.parametrize(
    ("hklf", "message"),
    [
        ("HKLF 1", "HKLF 1 is not read: these are the condensed data of SHELX-76"),
        ("HKLF 2", "HKLF 2 is not read: these are Laue data"),
        ("HKLF 6", "HKLF 6 is not read: these are powder data"),
        ("HKLF 9", "HKLF 9 is not read: these are no form that SHELXL documents"),
        ("HKLF 4 1 1 0 0", "the matrix of HKLF has 3 of 9 numbers"),
        ("HKLF 4 1 -1 0 0 0 1 0 0 0 1", "a positive scale, a positive weight and a matrix with a positive determinant"),
        ("HKLF 4 -1", "a positive scale"),
        ("HKLF 4 1 1 0 0 0 1 0 0 0 1 0", "a positive weight"),
        ("HKLF nan", "line 8"),
        ("HKLF 4 1 0.5 0 0 0 0.5 0 0 0 0.3", "all reflections fractions"),
    ],
)
def test_what_is_not_read_says_what_it_is(tmp_path: Path, hklf: str, message: str) -> None:
    (tmp_path / "a.hkl").write_text("   1   1   1  100.00    2.00   1\n")
    with pytest.raises(SourceError, match=message):
        read_intensity_file(instructions(tmp_path / "a.ins", hklf))


def test_hklf_5_is_told_by_the_instruction_where_batches_do_not_tell(tmp_path: Path) -> None:
    (tmp_path / "a.hkl").write_text("   1   0   0  100.00    2.00   1\n   0   2   0   50.50    1.50   2\n")
    twin = read_intensity_file(instructions(tmp_path / "a.ins", "HKLF 5"))
    assert twin.overlaps is not None
    assert twin.overlaps.domain.tolist() == [1, 2]
    assert dict(twin.facts)["hklf"] == 5


@pytest.mark.parametrize("line", ["1 2 999999999999 5.0 1.0", "1 2 3 5.0 1.0 99999999999", "99999 2 3 5.0 1.0"])
def test_numbers_that_are_no_indices_are_named_with_their_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.hkl").write_text(f"1 2 3 12345.678 9.5\n{line}\n")
    with pytest.raises(SourceError, match="line 2"):
        read_intensity_file(tmp_path / "a.hkl")


@pytest.mark.parametrize(
    ("line", "count"),
    [("{:4d}   0   0   1   12.34    1.20\n", 4), ("{:4d}   0   0   1   0   0   12.34    1.20   1\n", 6)],
)
def test_lists_of_modulated_structures_are_told_from_others(tmp_path: Path, line: str, count: int) -> None:
    (tmp_path / "a.hkl").write_text("".join(line.format(h) for h in range(1, 5)) + line.format(0).replace("1", "0"))
    with pytest.raises(SourceError, match=f"each line has {count} indices: a modulated structure"):
        read_intensity_file(tmp_path / "a.hkl")


@pytest.mark.parametrize(
    "line",
    ["1 0 0 100 2.5", "1 0 0 100 2", "1 0 0 100 2 1", "1 0 0 100 2.5 1.7", "   1   0   0  100.00    2.00   1"],
)
def test_whole_numbers_are_intensities_where_three_indices_stand_before_them(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.hkl").write_text(f"{line}\n" * 3)
    assert read_intensity_file(tmp_path / "a.hkl").data.hkl.tolist() == [[1, 0, 0]] * 3


def test_lists_that_we_write_come_back_with_their_batches(tmp_path: Path) -> None:
    hkl = np.array([[1, 0, 0], [0, 2, 0], [-12, 14, -13]], dtype=np.int32)
    intensity, sigma = np.array([1000.0, 50.5, -7.25]), np.array([2.0, 1.5, 0.5])
    text = hklf4_text(hkl, intensity, sigma, batch=np.array([1, 3, 3], dtype=np.int32))
    (tmp_path / "a.hkl").write_text(text)
    data = read_intensity_file(tmp_path / "a.hkl").data
    assert np.array_equal(data.hkl, hkl)
    assert np.array_equal(data.intensity, intensity)
    assert np.array_equal(data.sigma, sigma)
    assert data.crystal.tolist() == [0, 1, 1]


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", ["tyrosine/2.ins", "l-alanine/iam.res", "natrolite/natrolite_kin.ins"])
def test_cell_wavelength_and_contents_agree_with_shelxfile(shared_data: Path, name: str) -> None:
    other = Shelxfile()
    other.read_file(shared_data / name)
    table = read_intensity_file(shared_data / name)
    assert table.unit_cell.parameters == pytest.approx(tuple(other.cell))
    assert table.wavelength_angstrom == pytest.approx(other.wavelength)
    contents = {element.capitalize(): float(n) for element, n in zip(other.sfac_table.elements_list, other.unit.values)}
    ours = {part.rstrip("0123456789."): float(part.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"))
            for part in table.composition.split()}  # fmt: skip
    assert ours == {element: n for element, n in contents.items() if n > 0}
