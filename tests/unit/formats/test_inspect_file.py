"""What is said of a file before anything is run: its format, what it holds, what it lacks."""

import gzip
import json
from pathlib import Path

import gemmi
import pytest

from adapters.formats.file_format import Inspection
from adapters.formats.inspect_file import FORMATS, format_of, inspect_file
from adapters.formats.read_intensities import read_intensity_file
from tasks.model import SourceError

HKL = "   1   0   0  100.00    2.00   1\n   0   2   0   50.50    1.50   1\n  -1   0   3    7.25    0.50   2\n"
INS = "TITL a\nCELL 0.0251 5 6 7 90 95 90\nLATT 1\nSYMM -X, 0.5+Y, 0.5-Z\nSFAC C H O\nUNIT 8 12 4\nHKLF 4\nEND\n"
ATOM = "C1 1 0.1 0.2 0.3 11.0 0.05\n"
CELL = (
    "_cell_length_a 5\n_cell_length_b 6\n_cell_length_c 7\n_cell_angle_alpha 90\n_cell_angle_beta 95\n"
    "_cell_angle_gamma 90\n"
)
LOOP = (
    "loop_\n_refln_index_h\n_refln_index_k\n_refln_index_l\n_refln_F_squared_meas\n_refln_F_squared_sigma\n1 0 0 9 1\n"
)
SITES = "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nC1 0.1 0.2 0.3\n"
PDB = (
    "CRYST1   50.000   60.000   70.000  90.00  90.00  90.00 P 21 21 21\n"
    "ATOM      1  CA  ALA A   1      11.104   6.134  -6.504  1.00  0.00           C\nEND\n"
)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_bare_list_lacks_what_a_structure_is_solved_from(tmp_path: Path) -> None:
    found = inspect_file(written(tmp_path / "a.hkl", HKL))
    assert (found.file, found.format, found.kind) == ("a.hkl", "HKLF", "reflections")
    assert found.lacks == ("cell", "composition", "wavelength")
    assert found.metadata["number_of_reflections"] == 3
    assert (found.metadata["hklf"], found.metadata["batches"]) == (4, 2)


def test_instructions_beside_a_list_fill_the_gaps(tmp_path: Path) -> None:
    written(tmp_path / "a.ins", INS)
    for name in ("a.hkl", "a.ins"):
        written(tmp_path / "a.hkl", HKL)
        found = inspect_file(tmp_path / name)
        assert found.lacks == ()
        assert found.metadata["unit_cell"] == [5, 6, 7, 90, 95, 90]
        assert found.metadata["composition"] == "C8 H12 O4"
        assert found.metadata["space_group"] == "P 1 21/c 1"
        assert found.metadata["energy_kev"] == pytest.approx(199.7, abs=0.3)
        assert found.metadata["instructions"] == "a.ins"
        assert found.metadata["d_min_angstrom"] == pytest.approx(
            gemmi.UnitCell(5, 6, 7, 90, 95, 90).calculate_d([-1, 0, 3]), abs=1e-3
        )


def test_instructions_without_a_list_are_a_structure_if_they_hold_atoms(tmp_path: Path) -> None:
    found = inspect_file(written(tmp_path / "a.res", INS.replace("HKLF", f"{ATOM}HKLF")))
    assert (found.kind, found.metadata["atoms"]) == ("structure", 1)
    assert found.lacks == ("reflections (a.hkl)",)
    bare = inspect_file(written(tmp_path / "b.ins", INS))
    assert (bare.kind, bare.lacks) == ("reflections", ("reflections (b.hkl)",))


def test_a_cif_is_what_its_blocks_hold(tmp_path: Path) -> None:
    both = inspect_file(written(tmp_path / "a.cif", f"data_a\n{CELL}{SITES}{LOOP}"))
    assert (both.kind, both.metadata["atoms"]) == ("reflections", 1)
    atoms = inspect_file(written(tmp_path / "b.cif", f"data_b\n{CELL}_space_group_name_H-M_alt 'P 1 21/c 1'\n{SITES}"))
    assert (atoms.kind, atoms.lacks) == ("structure", ())
    assert (atoms.metadata["space_group"], atoms.metadata["unit_cell"]) == ("P 1 21/c 1", [5, 6, 7, 90, 95, 90])
    neither = inspect_file(written(tmp_path / "c.cif", "data_c\n_chemical_name_common 'x'\n"))
    assert (neither.format, neither.kind, neither.lacks) == ("CIF", "unknown", ("reflections", "atoms"))


def test_several_blocks_are_all_described(tmp_path: Path) -> None:
    found = inspect_file(written(tmp_path / "a.cif", f"data_one\n{CELL}{LOOP}data_two\n{LOOP}1 1 0 8 1\n"))
    assert found.lacks == ("block", "composition", "wavelength", "cell")
    assert {name: block["number_of_reflections"] for name, block in found.metadata["blocks"].items()} == {
        "one": 1,
        "two": 2,
    }


def test_a_pdb_file_is_a_structure_and_no_list_of_reflections(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pdb", PDB)
    found = inspect_file(path)
    assert (found.format, found.kind, found.metadata["atoms"]) == ("PDB", "structure", 1)
    assert found.metadata["space_group"] == "P 21 21 21"
    with pytest.raises(SourceError, match="holds no reflections: its format is PDB"):
        read_intensity_file(path)


def test_what_is_not_known_is_shown(tmp_path: Path) -> None:
    found = inspect_file(written(tmp_path / "a.txt", "Dear reader,\nthe weather is fine.\n"))
    assert (found.format, found.kind) == ("unknown", "unknown")
    assert found.metadata == {"bytes": 34, "begins": "Dear reader,.the weather is fine.."}
    (tmp_path / "b.bin").write_bytes(b"\0\1\2")
    assert inspect_file(tmp_path / "b.bin").kind == "unknown"


def test_a_folder_says_its_manifest_or_what_lies_in_it(tmp_path: Path) -> None:
    written(tmp_path / "a.txt", "x")
    found = inspect_file(tmp_path)
    assert (found.format, found.kind, found.lacks) == ("folder", "unknown", ("manifest",))
    assert found.metadata["files"] == {".txt": 1}
    manifest = {
        "format": "4D-STEM tilt series", "version": 1, "sample": "s", "composition": "C6 H6",
        "beam": {"energy_kev": 300.0}, "scan": {"shape": [4, 5], "step_nm": 10.0, "flyback_columns": 0,
        "rotation_deg": 0.0}, "tilt_axis": [1.0, 0.0, 0.0], "scans": [{"file": "a.h5", "tilt_deg": -3.0, "bytes": 9}],
        "detector": {"name": "d", "shape_px": [6, 7], "pixel_size_mm": 0.01, "camera_length_mm": 110.0},
    }  # fmt: skip
    written(tmp_path / "tilt_series.json", json.dumps(manifest))
    series = inspect_file(tmp_path)
    assert (series.format, series.kind, series.shape) == ("source folder", "manifest", (1, 4, 5, 6, 7))
    assert (series.metadata["manifest"], series.metadata["composition"]) == ("4D-STEM tilt series", "C6 H6")
    assert len(series.lacks) == 1
    assert "a.h5" in series.lacks[0]


@pytest.mark.parametrize(("content", "message"), [(None, "no such file"), ("", "is empty")])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        written(tmp_path / "a.hkl", content)
    with pytest.raises(SourceError, match=message):
        inspect_file(tmp_path / "a.hkl")


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be looked at: File name too long"):
        inspect_file(tmp_path / ("x" * 5000))
    with pytest.raises(SourceError, match="neither a file nor a folder"):
        inspect_file(Path("/dev/null"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.hkl", "   1   0   0   10.00    1.00\n   2   0   x   20.00    1.00\n", r"a\.hkl, line 2"),
        ("a.cif", "data_a\nloop_\n_a\n_b\n1 2 3\n", r"a\.cif: not a readable CIF: line"),
        ("a.ins", "TITL x\nCELL 0.02 5 6 7 90 90 90\nSFAC Xx\n", r"a\.ins, line 3"),
        ("a.m90", "anything", "Jana"),
    ],
)
def test_damage_is_named_with_its_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        inspect_file(written(tmp_path / name, text))


@pytest.mark.parametrize(
    ("content", "what", "todo"),
    [
        (gzip.compress(HKL.encode(), mtime=0), "compressed by gzip", "gunzip"),
        (b"PK\3\4\x14\0\0\0", "a zip archive", "unpack"),
        (b"JK\0\2\0\0\0\0\4M\1\0", "TIA", ".ser"),
        (HKL.encode("utf-16"), "UTF-16", "UTF-8"),
    ],
)
def test_what_is_wrapped_says_how_it_is_unwrapped(tmp_path: Path, content: bytes, what: str, todo: str) -> None:
    (tmp_path / "a.hkl").write_bytes(content)
    for look in (inspect_file, read_intensity_file):
        with pytest.raises(SourceError, match=what) as caught:
            look(tmp_path / "a.hkl")
        assert todo in caught.value.advice


def test_every_answer_is_json_with_the_promised_fields(tmp_path: Path) -> None:
    answer = json.loads(inspect_file(written(tmp_path / "a.hkl", HKL)).model_dump_json())
    assert list(answer) == ["file", "format", "kind", "shape", "dtype", "metadata", "lacks"]
    assert Inspection.model_validate(answer).lacks == ("cell", "composition", "wavelength")


def test_the_names_of_formats_are_unique() -> None:
    names = [known.name for known in FORMATS]
    assert len(set(names)) == len(names)


@pytest.mark.needs_shared
@pytest.mark.parametrize(
    ("name", "known", "kind"),
    [
        ("sucrose/DK_Zucker2_0m.cif", "CIF", "reflections"),
        ("dynamical/pets2_albite.cif_pets", "CIF", "reflections"),
        ("uio66/UiO-66.cif", "CIF", "structure"),
        ("cinchonine/dials_baseline/scaled.mtz", "MTZ", "reflections"),
        ("cinchonine/DemoData/Cinchonine/xds/XDS_ASCII.HKL", "XDS_ASCII", "reflections"),
        ("cinchonine/DemoData/Cinchonine/xds/INTEGRATE.HKL", "INTEGRATE.HKL", "reflections"),
        ("l-alanine/iam.res", "SHELX instructions", "reflections"),
        ("luag/LuAG_allframes.hkl", "HKLF", "reflections"),
    ],
)
def test_files_of_other_programs_are_told_as_solve_tells_them(
    shared_data: Path, name: str, known: str, kind: str
) -> None:
    found = inspect_file(shared_data / name)
    assert (found.format, found.kind) == (known, kind)
    assert format_of(shared_data / name).name == known
    if kind == "reflections":
        table = read_intensity_file(shared_data / name)
        assert found.metadata["number_of_reflections"] == len(table.data.hkl)
