"""HKLF 4, MTZ and XDS_ASCII files as they occur, and what is said of damaged ones."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.formats.hklf4 import read_hklf
from adapters.formats.mtz import read_mtz
from adapters.formats.read_intensities import read_intensity_file, reflections_from_file
from adapters.formats.stated_beam import wavelength_of
from adapters.formats.xds_ascii import read_xds_ascii
from tasks.integrate.hklf4 import hklf4_text, scale_for
from tasks.integrate.reflection_file import read_merged, read_unmerged
from tasks.model import SettingsError, SourceError, UnitCell

MONOCLINIC = UnitCell(a=10.732, b=7.283, c=11.107, alpha=90, beta=108.06, gamma=90)


@pytest.fixture
def xds_ascii(shared_data: Path) -> Path:
    """File of a real run of XDS on cinchonine."""
    return shared_data / "cinchonine/DemoData/Cinchonine/xds/XDS_ASCII.HKL"


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_fixed_columns_without_blanks_between_them(tmp_path: Path) -> None:
    data = read_hklf(
        written(tmp_path / "a.hkl", "-123-214-13999999.99-9999.99  -2\n   1   2   3    1234     100\n")
    ).data
    assert data.hkl.tolist() == [[-123, -214, -139], [1, 2, 3]]
    assert data.intensity.tolist() == [99999.99, 12.34]
    assert data.sigma.tolist() == [-9999.99, 1.0]


@pytest.mark.parametrize(
    "line", ["   1   2   3   12345.678       9.120   2", "1 2 3 12345.678 9.12 2", "    1    2    3  12345.678   9.12"]
)
def test_wide_or_free_columns(tmp_path: Path, line: str) -> None:
    data = read_hklf(written(tmp_path / "a.hkl", f"{line}\n{line}\n   0   0   0   0.0   0.0\n")).data
    assert data.hkl.tolist() == [[1, 2, 3]] * 2
    assert data.intensity.tolist() == [12345.678] * 2
    assert data.sigma.tolist() == [9.12] * 2


@pytest.mark.parametrize("end", ["   0   0   0    0.00    0.00", "", "_computing_structure_solution 'x'", "; text"])
def test_text_after_the_end_is_not_read(tmp_path: Path, end: str) -> None:
    text = f"   1   0   0   10.00    1.00   3\n   2   0   0   20.00    1.00   7\n{end}\n\nnot a 'reflection'\n"
    data = read_hklf(written(tmp_path / "a.hkl", text)).data
    assert data.intensity.tolist() == [10.0, 20.0]
    assert data.crystal.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("   0   0   0    0.00    0.00\n", "holds no reflections"),
        ("   1   0   0   10.00    1.00\n   2   0   0   2x.00    1.00\n", "line 2"),
        ("   1   0   0   10.00    1.00\n   2   0   0\n", "line 2"),
        ("   1   0   0     nan    1.00\n", "line 1"),
    ],
)
def test_a_damaged_hkl_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        read_hklf(written(tmp_path / "bad.hkl", text))
    assert "bad.hkl" in caught.value.message


def test_what_is_written_comes_back_to_seven_characters(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    hkl = rng.integers(-40, 41, size=(500, 3)).astype(np.int32) + np.array([41, 0, 0], dtype=np.int32)
    intensity = rng.lognormal(3, 3, size=500) * rng.choice([-1, 1], size=500, p=[0.1, 0.9])
    sigma = rng.lognormal(0, 1, size=500)
    scale = scale_for(intensity, sigma)
    data = read_hklf(written(tmp_path / "a.hkl", hklf4_text(hkl, intensity, sigma))).data
    assert np.array_equal(data.hkl, hkl)
    assert np.allclose(data.intensity, intensity * scale, rtol=2e-4, atol=6e-5)
    assert np.allclose(data.sigma, sigma * scale, rtol=2e-4, atol=6e-5)
    assert np.abs(data.intensity).max() > 999


def test_unknown_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.hkl").write_bytes(b"\x00\x01\x02" * 50)
    with pytest.raises(SourceError, match="no reflections in a format that is known"):
        read_intensity_file(tmp_path / "a.hkl")
    with pytest.raises(SourceError, match="no such file"):
        read_intensity_file(tmp_path / "absent.hkl")
    (tmp_path / "b.mtz").write_bytes(b"MTZ " + b"\x00" * 100)
    with pytest.raises(SourceError, match=r"b\.mtz"):
        read_mtz(tmp_path / "b.mtz")


def test_settings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.hkl", "   1   0   0   10.00    1.00\n")
    with pytest.raises(SettingsError, match="no unit cell"):
        reflections_from_file(path, cell=None, energy_kev=200, workdir=tmp_path)
    with pytest.raises(SettingsError, match="P 99"):
        reflections_from_file(path, cell=MONOCLINIC, space_group="P 99", energy_kev=200, workdir=tmp_path)
    with pytest.raises(SettingsError, match="impossible with the cell"):
        reflections_from_file(path, cell=MONOCLINIC, space_group="P m m m", energy_kev=200, workdir=tmp_path)


def test_intensities_without_signal_are_refused(tmp_path: Path) -> None:
    rows = [f"{h:4d}{k:4d}{l:4d}{-1.0:8.2f}{1.0:8.2f}" for h in range(5) for k in range(5) for l in range(1, 5)]
    path = written(tmp_path / "noise.hkl", "\n".join(rows))
    with pytest.raises(SourceError, match=r"noise\.hkl.*zero or negative"):
        reflections_from_file(path, cell=MONOCLINIC, energy_kev=200, workdir=tmp_path)


def test_wavelengths() -> None:
    assert wavelength_of(300, "electron") == pytest.approx(0.019687, abs=1e-6)
    assert wavelength_of(17.479, "xray") == pytest.approx(0.7093, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "cell", "laue", "space_group"),
    [
        ("natrolite/natrolite_kin.hkl", (18.268, 18.636, 6.614, 90, 90, 90), "F m m m", "F d d 2"),
        ("tyrosine/2.hkl", (6.008, 7.025, 21.69, 90, 90, 90), "P m m m", "P 21 21 21"),
        ("luag/LuAG_allframes.hkl", (11.9104,) * 3 + (90,) * 3, "I m -3 m", "I a -3 d"),
        ("cinchonine/DemoData/Cinchonine/shelxl/shelxl.hkl", MONOCLINIC.parameters, "P 1 2/m 1", "P 1 21 1"),
        ("cinchonine/DemoData/Cinchonine/xds/XDS_ASCII.HKL", None, "P 1 2/m 1", "P 1 21 1"),
        ("cinchonine/dials_baseline/scaled.mtz", None, "P 1 2/m 1", "P 1 21 1"),
        ("cinchonine/dials_baseline/merged.mtz", None, "P 1 2/m 1", "P 1 21 1"),
        ("l-alanine/iam.hkl", (5.7913, 5.9401, 12.2743, 90, 90, 90), "P m m m", "P 21 21 21"),
    ],
)
def test_published_data_give_the_published_symmetry(
    shared_data: Path, tmp_path: Path, name: str, cell: tuple[float, ...] | None, laue: str, space_group: str
) -> None:
    given = UnitCell.of(cell) if cell else None
    found = reflections_from_file(shared_data / name, cell=given, energy_kev=200, workdir=tmp_path)
    assert (found.laue_group, found.space_group) == (laue, space_group)
    if given:
        assert found.unit_cell.parameters == pytest.approx(given.parameters)
    assert len(read_merged(found.merged).hkl) == found.overall.unique
    assert len(read_unmerged(found.unmerged).hkl) == found.overall.observations
    back = gemmi.read_mtz_file(str(found.mtz.path))
    assert back.nreflections == found.overall.unique
    assert back.spacegroup.xhm() == space_group
    assert len(read_hklf(found.hklf4.path).data.hkl) == found.overall.observations


def test_statistics_agree_with_what_dials_printed(shared_data: Path, tmp_path: Path) -> None:
    """The last line of dials.scale's table: 1535 668 2.30 70.54 ... 31.3 ... 0.094 0.063 ... 0.995."""
    found = reflections_from_file(
        shared_data / "cinchonine/dials_baseline/scaled.mtz", cell=None, energy_kev=200, workdir=tmp_path
    ).overall
    assert (found.observations, found.unique) == (1535, 668)
    assert found.i_over_sigma == pytest.approx(31.3, abs=0.06)
    assert found.r_meas == pytest.approx(0.094, abs=0.0006)
    assert found.r_pim == pytest.approx(0.063, abs=0.0006)
    assert found.cc_half == pytest.approx(0.995, abs=0.002)
    assert found.completeness == pytest.approx(0.7054, abs=0.005)


def test_xds_ascii_agrees_with_gemmi(xds_ascii: Path) -> None:
    table = read_xds_ascii(xds_ascii)
    other = gemmi.read_xds_ascii(str(xds_ascii))
    keep = np.array(other.sigma_array) > 0
    assert np.array_equal(table.data.hkl, np.array(other.miller_array)[keep])
    assert np.allclose(table.data.intensity, np.array(other.iobs_array)[keep], rtol=1e-6)
    assert table.unit_cell == MONOCLINIC
    assert table.wavelength_angstrom == pytest.approx(0.02508)
    assert len(table.data.hkl) == 1958
    assert "54 of 2012" in table.warnings[0]
    assert table.data.angle_deg.min() == pytest.approx(-50.46 + 0.2522 * 4, abs=2)
    assert table.data.angle_deg.max() == pytest.approx(-50.46 + 0.2522 * 403, abs=2)


def test_a_cut_or_damaged_xds_file_is_named(xds_ascii: Path, tmp_path: Path) -> None:
    lines = xds_ascii.read_text().splitlines()
    cut = written(tmp_path / "cut.HKL", "\n".join(lines[:500]))
    with pytest.raises(SourceError, match="cut off"):
        read_xds_ascii(cut)
    lines[600] = lines[600][:30]
    with pytest.raises(SourceError, match="line 601"):
        read_xds_ascii(written(tmp_path / "bad.HKL", "\n".join(lines)))


@pytest.mark.parametrize(("types", "message"), [("FQ", None), ("F", "amplitudes with sigmas"), ("I", "amplitudes")])
def test_amplitudes_of_an_mtz_file_are_squared(tmp_path: Path, types: str, message: str | None) -> None:
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = gemmi.SpaceGroup("P 21 21 21"), gemmi.UnitCell(6, 7, 21, 90, 90, 90)
    mtz.add_dataset("crystal")
    for number, kind in enumerate(types):
        mtz.add_column(f"odd{number}", kind)
    rows = [[1, 0, 0, 10.0, 0.5], [0, 2, 0, 4.0, 0.25]]
    mtz.set_data(np.array([row[: 3 + len(types)] for row in rows], dtype=np.float32))
    mtz.write_to_file(str(tmp_path / "a.mtz"))
    if message is not None:
        with pytest.raises(SourceError, match=message):
            read_mtz(tmp_path / "a.mtz")
        return
    table = read_mtz(tmp_path / "a.mtz")
    assert sorted(table.data.intensity.tolist()) == [16.0, 100.0]
    assert sorted(table.data.sigma.tolist()) == [2.0625, 10.25]
    assert "squared" in table.warnings[0]
