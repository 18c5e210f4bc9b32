"""Reflections as people have them: SHELX in all its forms, CIF and FCF, cif_pets, XDS, tables."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.formats.read_intensities import read_intensity_file, reflections_from_file, reflections_of_table
from adapters.formats.reflection_formats import read_with
from adapters.formats.stated_beam import stated_beam
from tasks.model import SettingsError, SourceError, UnitCell

ROWS = (((1, 0, 0), 100.0, 2.0), ((0, 2, 0), 50.5, 1.5), ((-1, 0, 3), 7.25, 0.5))
CELL = "".join(
    f"_cell_{name} {value}\n"
    for name, value in zip(
        ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"),
        (5, 6, 7, 90, 95, 90),
        strict=True,
    )
)
INS = (
    "TITL a\nCELL 0.0251 5 6 7 90 95 90\nZERR 2 0 0 0 0 0 0\nLATT 1\nSYMM -X, 0.5+Y, 0.5-Z\n"
    "SFAC C H O\nUNIT 8 12 4\nHKLF {hklf}\nEND\n"
)


def line(row: tuple[tuple[int, int, int], float, float], batch: int = 1) -> str:
    (h, k, l), intensity, sigma = row
    return f"{h:4d}{k:4d}{l:4d}{intensity:8.2f}{sigma:8.2f}{batch:4d}"


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def same(path: Path, *, block: str | None = None) -> None:
    """Check that a file holds ROWS."""
    data = read_intensity_file(path, block=block).data
    assert data.hkl.tolist() == [list(hkl) for hkl, _, _ in ROWS]
    assert data.intensity.tolist() == [intensity for _, intensity, _ in ROWS]
    assert data.sigma.tolist() == [sigma for _, _, sigma in ROWS]


@pytest.mark.parametrize("end", ["   0   0   0", "0 0 0", "   0   0   0    0.00    0.00   0"])
def test_a_short_last_line_ends_the_file(tmp_path: Path, end: str) -> None:
    same(written(tmp_path / "a.hkl", *map(line, ROWS), end, "_exptl_text 1"))


REFLN = "loop_\n" + "".join(f"_refln_{name}\n" for name in ("index_h", "index_k", "index_l"))


@pytest.mark.parametrize(
    ("value", "sigma"),
    [
        ("F_squared_meas", "F_squared_sigma"),
        ("intensity_meas", "intensity_sigma"),
        ("F_squared_meas", "F_squared_meas_su"),
    ],
)
def test_loops_of_reflections_are_read(tmp_path: Path, value: str, sigma: str) -> None:
    rows = [f"{h} {k} {l} {intensity} {error} o" for (h, k, l), intensity, error in ROWS]
    text = f"data_a\n{CELL}{REFLN}_refln_{value}\n_refln_{sigma}\n_refln_observed_status"
    same(written(tmp_path / "a.fcf", "# FCF\n", text, *rows, "9 9 9 1. 1. x", "9 9 8 ? 1. o", "9 9 7 4.0 0 o"))


def test_unmerged_intensities_go_before_merged_ones_whatever_the_dictionary(tmp_path: Path) -> None:
    tags = "".join(
        f"_diffrn_refln.{name}\n" for name in ("index_h", "index_k", "index_l", "intensity_net", "intensity_sigma")
    )
    rows = [f"{h} {k} {l} {intensity} {error}" for (h, k, l), intensity, error in ROWS]
    merged = f"{REFLN}_refln_F_squared_meas\n_refln_F_squared_sigma\n1 1 1 9 1"
    same(written(tmp_path / "a.cif", "data_a", merged, "loop_\n" + tags, *rows))


UNMERGED = "_pdbx_diffrn_unmerged_"


def unmerged_mmcif(*cells: str, intensity: str = "intensity_meas", sigma: str = "intensity_sigma") -> list[str]:
    """Return a block as dials.export writes it for the mmCIF dictionary of unmerged data."""
    tags = ("ordinal", "wavelength", *(f"cell_{name}" for name in ("length_a", "length_b", "length_c")))
    tags += tuple(f"cell_angle_{name}" for name in ("alpha", "beta", "gamma"))
    head = ["data_dials", "loop_", *(f"{UNMERGED}cell.{tag}" for tag in tags)]
    body = [f"{number} 0.0251 {cell}" for number, cell in enumerate(cells, 1)]
    names = ("scan_id", "index_h", "index_k", "index_l", "scale_value", intensity, sigma)
    rows = [f"{n % 2} {h} {k} {l} 0.5 {i} {s}" for n, ((h, k, l), i, s) in enumerate(ROWS)]
    return [*head, *body, "loop_", *(f"{UNMERGED}refln.{name}" for name in names), *rows]


@pytest.mark.parametrize("kind", ["intensity_meas", "intensity_prf", "intensity_sum"])
def test_unmerged_data_of_the_newer_mmcif_are_read(tmp_path: Path, kind: str) -> None:
    sigma = "intensity_sigma" if kind == "intensity_meas" else f"{kind}_sigma"
    path = written(tmp_path / "a.cif", *unmerged_mmcif("5 6 7 90 95 90", intensity=kind, sigma=sigma))
    same(path)
    table = read_intensity_file(path)
    assert table.unit_cell == UnitCell.of((5, 6, 7, 90, 95, 90))
    assert table.wavelength_angstrom == 0.0251
    assert table.data.crystal.tolist() == [0, 1, 0]


def test_of_crystals_with_cells_of_their_own_none_is_guessed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.cif", *unmerged_mmcif("5 6 7 90 95 90", "5.1 6 7 90 95 90"))
    assert read_intensity_file(path).unit_cell is None


def test_what_a_cif_states_is_taken(tmp_path: Path) -> None:
    stated = (
        "_space_group_name_H-M_alt 'P 1 21/c 1'\n_chemical_formula_sum 'C2 H3 O'\n"
        "_diffrn_radiation_probe electron\n_diffrn_radiation_wavelength 0.0251"
    )
    hkl = [line(row) for row in ROWS]
    table = read_intensity_file(written(tmp_path / "a.cif", "data_a", CELL, stated, "_shelx_hkl_file", ";", *hkl, ";"))
    same(tmp_path / "a.cif")
    assert table.unit_cell == UnitCell.of((5, 6, 7, 90, 95, 90))
    assert (table.space_group, table.composition, table.probe) == ("P 1 21/c 1", "C2 H3 O1", "electron")
    beam = stated_beam(tmp_path / "a.cif", table, None, None)
    assert beam.energy_kev == pytest.approx(199.7, abs=0.3)  # 0.025079 A is 200 keV
    assert stated_beam(tmp_path / "a.cif", table, None, 300.0).wavelength_angstrom == pytest.approx(0.019687, abs=1e-6)


def test_of_several_blocks_one_must_be_named(tmp_path: Path) -> None:
    tags = f"{REFLN}_refln_F_squared_meas\n_refln_F_squared_sigma"
    rows = [f"{h} {k} {l} {intensity} {error}" for (h, k, l), intensity, error in ROWS]
    path = written(tmp_path / "a.cif", "data_global", "data_one", tags, "1 1 1 9 1", "data_two", tags, *rows)
    with pytest.raises(SourceError, match="several data blocks hold reflections: one, two"):
        read_intensity_file(path)
    with pytest.raises(SourceError, match="no reflections in a data block 'three'"):
        read_intensity_file(path, block="three")
    same(path, block="two")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_a\n_cell_length_a 5", "holds no reflections"),
        ("data_a\nloop_\n_refln_index_h\n1 2 (", "not a readable CIF|holds no reflections"),
        (f"data_a\n{REFLN}_refln_F_squared_meas\n1 1 1 5", "no _refln_ or _diffrn_refln_ loop with sigmas"),
        (f"data_a\n{REFLN}_refln_F_meas\n_refln_F_sigma\n1 1 x 5 1", "_refln_index_l: 'x' is no number"),
        (f"data_a\n{REFLN}_refln_F_meas\n_refln_F_sigma\n1 1 0.5 5 1", "modulated"),
    ],
)
def test_a_cif_without_usable_reflections_says_so(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read_intensity_file(written(tmp_path / "a.cif", text))


def test_amplitudes_are_squared_with_their_errors(tmp_path: Path) -> None:
    text = f"data_a\n{REFLN}_refln_F_meas\n_refln_F_sigma\n1 0 0 10 0.5"
    table = read_intensity_file(written(tmp_path / "a.fcf", text))
    assert table.data.intensity.tolist() == [100.0]
    assert table.data.sigma.tolist() == [10.25]
    assert "squared" in table.warnings[0]


def test_lists_of_twin_domains_keep_the_sums_as_measured_and_share_them_out_to_solve(tmp_path: Path) -> None:
    rows = [
        line(((1, 0, 0), 100.0, 2.0)), line(((2, 0, 0), 80.0, 2.0), -2), line(((0, 0, 2), 80.0, 2.0), 1),
        line(((0, 3, 0), 9.0, 1.0), 2), line(((1, 1, 0), 30.0, 1.0)),
    ]  # fmt: skip
    table = read_intensity_file(written(tmp_path / "a.hkl", *rows))
    assert table.overlaps is not None
    assert table.overlaps.intensity.tolist() == [100.0, 80.0, 9.0, 30.0]
    assert table.overlaps.domain.tolist() == [1, 2, 1, 2, 1]
    assert table.overlaps.observation.tolist() == [0, 1, 1, 2, 3]
    assert table.data.hkl.tolist() == [[1, 0, 0], [2, 0, 0], [0, 0, 2], [0, 3, 0], [1, 1, 0]]
    assert "HKLF 5: 1 of 4 observations are of several reflections of 2 domains" in table.warnings[0]


def test_negative_batches_of_a_test_set_are_no_twin(tmp_path: Path) -> None:
    same(written(tmp_path / "a.hkl", line(ROWS[0]), line(ROWS[1], -1), line(ROWS[2])))


@pytest.mark.parametrize(
    "head", ["# h, k, l, I, sigI", "h;k;l;Fobs^2;sig(I)", "H\tK\tL\tIobs\tsigma", "# h k l F2 esd"]
)
def test_tables_with_named_columns_are_read(tmp_path: Path, head: str) -> None:
    between = next((sign for sign in (",", ";", "\t") if sign in head), " ")
    rows = [between.join(str(value) for value in (*hkl, intensity, error)) for hkl, intensity, error in ROWS]
    head = head.replace("Fobs^2", "F2obs")
    same(written(tmp_path / "a.csv", head, "# a comment" if between == "," else rows[0], *rows[between != "," :]))


def test_tables_without_sigmas_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no column of sigmas among h k l I"):
        read_intensity_file(written(tmp_path / "a.csv", "h,k,l,I", "1,0,0,5"))
    three = "   1   0   0  10.0   1   0   1  20.0   1   1   0  30.0"
    with pytest.raises(SourceError, match="3 reflections without sigmas"):
        read_intensity_file(written(tmp_path / "b.hkl", three, three))
    with pytest.raises(SourceError, match="line 3: '1,0,x,1,1' has not the columns"):
        read_intensity_file(written(tmp_path / "c.csv", "h,k,l,I,sigma", "1,0,0,1,1", "1,0,x,1,1"))


def test_instructions_describe_the_list_beside_them(tmp_path: Path) -> None:
    hkl = written(tmp_path / "a.hkl", *map(line, ROWS))
    ins = tmp_path / "a.ins"
    ins.write_text(INS.format(hklf="4"))
    same(ins)
    same(hkl)
    table = read_intensity_file(hkl)
    assert (table.space_group, table.composition, table.wavelength_angstrom) == ("P 1 21/c 1", "C8 H12 O4", 0.0251)
    assert read_with(ins) == (ins, hkl)
    assert read_with(hkl) == (hkl, ins)
    assert read_with(hkl, alone=True) == (hkl,)
    assert read_intensity_file(hkl, alone=True).unit_cell is None
    hkl.unlink()
    with pytest.raises(SourceError, match=r"there is no a\.hkl beside it"):
        read_intensity_file(ins)


def test_scale_and_matrix_of_the_instructions_are_applied(tmp_path: Path) -> None:
    written(tmp_path / "a.hkl", *map(line, ROWS))
    (tmp_path / "a.ins").write_text(INS.format(hklf="4 2 0 1 0 1 0 0 0 0 -1"))
    data = read_intensity_file(tmp_path / "a.ins").data
    assert data.hkl.tolist() == [[0, 1, 0], [2, 0, 0], [0, -1, -3]]
    assert data.intensity.tolist() == [200.0, 101.0, 14.5]
    (tmp_path / "a.ins").write_text(INS.format(hklf="4 1 0.5 0 0 0 1 0 0 0 1"))
    halved = read_intensity_file(tmp_path / "a.ins")
    assert halved.data.hkl.tolist() == [[0, 2, 0]]
    assert "2 reflections left out" in halved.warnings[0]
    (tmp_path / "a.ins").write_text(INS.format(hklf="3"))
    assert read_intensity_file(tmp_path / "a.ins").data.intensity.tolist() == [value**2 for _, value, _ in ROWS]
    (tmp_path / "a.ins").write_text(INS.format(hklf="2"))
    with pytest.raises(SourceError, match="HKLF 2 is not read"):
        read_intensity_file(tmp_path / "a.ins")


def test_a_group_chosen_by_a_person_is_taken_unless_told_otherwise(tmp_path: Path) -> None:
    hkl, intensity = monoclinic()
    rows = [
        f"{h:4d}{k:4d}{l:4d}{value:8.2f}{1.0:8.2f}" for (h, k, l), value in zip(hkl.tolist(), intensity, strict=True)
    ]
    written(tmp_path / "a.hkl", *rows)
    (tmp_path / "a.ins").write_text(INS.format(hklf="4"))
    taken = reflections_from_file(tmp_path / "a.ins", cell=None, workdir=tmp_path)
    assert taken.space_group == "P 1 21/c 1"
    assert any("taken from the file" in text for text in taken.warnings)
    table = read_intensity_file(tmp_path / "a.ins")
    beam = stated_beam(tmp_path / "a.ins", table, None, None)
    free = reflections_of_table(tmp_path / "a.ins", table, cell=None, space_group="auto", beam=beam, workdir=tmp_path)
    assert not any("taken from the file" in text for text in free.warnings)


def test_xrays_without_a_wavelength_are_asked_for(tmp_path: Path) -> None:
    text = f"data_a\n{CELL}_diffrn_radiation_type 'MoK\\a'\n{REFLN}_refln_F_meas\n_refln_F_sigma\n1 0 0 10 0.5"
    path = written(tmp_path / "a.cif", text)
    with pytest.raises(SettingsError, match="no wavelength"):
        stated_beam(path, read_intensity_file(path), None, None)


def monoclinic() -> tuple[np.ndarray, np.ndarray]:
    cell = gemmi.UnitCell(5, 6, 7, 90, 95, 90)
    hkl = gemmi.make_miller_array(cell, gemmi.SpaceGroup("P -1"), 0.9)
    rng = np.random.default_rng(1)
    unique, back = np.unique(np.stack([hkl[:, 0], np.abs(hkl[:, 1]), hkl[:, 2]], axis=1), axis=0, return_inverse=True)
    return hkl, rng.exponential(100.0, len(unique))[back.ravel()] + 5


@pytest.mark.needs_shared
@pytest.mark.parametrize(
    ("name", "block", "count", "group", "energy_kev"),
    [
        ("dynamical/jana2006_albite.cif", "albite_kinematical", 2434, "P -1", 200),
        ("dynamical/pets2_albite.cif_pets", None, 8615, None, 200),
        ("luag/jana2020_LuAG.cif", None, 21544, "I a -3 d", 200),
        ("sucrose/DK_Zucker2_0m.cif", None, 119065, "P 1 21 1", 17.445),
        ("cinchonine/DemoData/Cinchonine/shelxl/shelxl.cif", None, 1946, "P 1 21 1", 200),
        ("cinchonine/DemoData/Cinchonine/xds/INTEGRATE.HKL", None, 2012, None, 200),
        ("tyrosine/2.ins", None, 6260, "P 21 21 21", 200),
    ],
)
def test_files_that_other_programs_wrote(
    shared_data: Path, name: str, block: str | None, count: int, group: str | None, energy_kev: float
) -> None:
    path = shared_data / name
    table = read_intensity_file(path, block=block)
    assert len(table.data.hkl) == count
    assert table.space_group == group
    assert table.unit_cell is not None
    assert stated_beam(path, table, None, None).energy_kev == pytest.approx(energy_kev, rel=0.002)


@pytest.mark.needs_shared
def test_an_embedded_list_equals_the_file_that_was_embedded(shared_data: Path) -> None:
    alone = read_intensity_file(shared_data / "l-alanine/iam.hkl", alone=True).data
    embedded = read_intensity_file(shared_data / "l-alanine/iam.cif").data
    assert np.array_equal(alone.hkl, embedded.hkl)
    assert np.array_equal(alone.intensity, embedded.intensity)
