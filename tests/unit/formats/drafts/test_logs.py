"""cRED logs, PETS inputs, mdoc files and tables: what they state, and what they do not."""

import math
import time
from pathlib import Path

import numpy as np
import pytest

from adapters.formats.drafts.cred_log import read_cred_log
from adapters.formats.drafts.mdoc import read_mdoc
from adapters.formats.drafts.pets_input import read_pets
from adapters.formats.drafts.sources import source_of
from adapters.formats.drafts.statements import SCALE, StatedFile
from adapters.formats.drafts.tilt_table import read_tilt_table
from adapters.formats.drafts.xds_inp import read_xds_inp
from adapters.programs.export import export_pets
from tasks.model import SourceError
from tasks.model.experiment import energy_of_wavelength_kev
from tests.synthetic.draft_sources import INSTAMATIC, MDOC, PETS
from tests.synthetic.frame_stack import series_of


def values(stated: StatedFile) -> dict[str, object]:
    found = {statement.field: statement.value for statement in stated.statements}
    assert len(found) == len(stated.statements)
    return found


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_instamatics_log_with_its_quirks(tmp_path: Path) -> None:
    stated = read_cred_log(written(tmp_path, "cRED_log.txt", INSTAMATIC))
    found = values(stated)
    assert found["beam.energy_kev"] == pytest.approx(energy_of_wavelength_kev(0.0251), rel=1e-8)
    assert found["detector.pixel_size_mm"] == 0.055
    assert found[SCALE] == 0.003868
    assert found["oscillation.start_deg"] == 50.12
    assert found["oscillation.width_deg"] == -0.25
    assert "detector.camera_length_mm" not in found
    assert any("250 mm is what the microscope shows" in remark for remark in stated.remarks)


def test_instamatics_axis_and_turn_are_those_it_tells_xds(tmp_path: Path) -> None:
    """It gives XDS the axis (cos, -sin, 0), turned round when the angles fall, and a positive width."""
    found = values(read_cred_log(written(tmp_path, "cRED_log.txt", INSTAMATIC)))
    phi = -2.24 + math.pi
    theirs = np.array([math.cos(phi), -math.sin(phi), 0.0]) * [1, -1, -1] * 0.25
    ours = np.array(found["rotation_axis"]) * found["oscillation.width_deg"]
    np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_the_real_log_of_another_program_leaves_the_axis_open(shared_data: Path) -> None:
    stated = read_cred_log(shared_data / "cinchonine" / "DemoData" / "Cinchonine" / "cRED_log.txt")
    found = values(stated)
    assert found["beam.energy_kev"] == pytest.approx(200.0, abs=0.1)
    assert found["detector.pixel_size_mm"] == 0.055
    assert (found["oscillation.start_deg"], found["oscillation.width_deg"]) == (-50.46, 0.2522)
    assert found["number of frames"] == 405
    assert "rotation_axis" not in found
    assert any("Rotation axis: -128 degree" in remark for remark in stated.remarks)


@pytest.mark.parametrize(
    ("line", "changed", "told"),
    [
        ("Number of frames: 400", "Number of frames: 380", "contradicts itself: 380 frames"),
        ("Physical pixelsize: 0.055 um", "Physical pixelsize: 0.055", "0.055 without a unit is no size"),
        ("Pixelsize: 0.003868 px", "Pixelsize: 1 px", "no calibration of a diffraction pattern"),
        ("Wavelength: 0.0251 Ang", "Wavelength: 2.51 Ang", "no wavelength of electrons"),
        ("Stretch amplitude: 0.0", "Stretch amplitude: 2.1", "elliptic distortion"),
        ("Starting angle: 50.12 degrees\n", "", "its sense is open"),
    ],
)
def test_what_a_log_cannot_say_is_told(tmp_path: Path, line: str, changed: str, told: str) -> None:
    assert line in INSTAMATIC
    stated = read_cred_log(written(tmp_path, "cRED_log.txt", INSTAMATIC.replace(line, changed)))
    assert any(told in remark for remark in stated.remarks), stated.remarks


def test_pixels_of_55_um_are_not_millimetres(tmp_path: Path) -> None:
    text = INSTAMATIC.replace("Physical pixelsize: 0.055 um", "Physical pixelsize: 55 um")
    assert values(read_cred_log(written(tmp_path, "cRED_log.txt", text)))["detector.pixel_size_mm"] == 0.055


def test_a_pets_file_of_instamatic(tmp_path: Path) -> None:
    stated = read_pets(written(tmp_path, "pets.pts2", PETS))
    found = values(stated)
    assert found["beam.energy_kev"] == pytest.approx(199.7, abs=0.1)
    assert found[SCALE] == 0.003868
    assert found["oscillation.width_deg"] == pytest.approx(-0.25)
    assert found["rotation_axis"] == pytest.approx((math.cos(math.radians(128.34)), -math.sin(math.radians(128.34)), 0))
    assert found["number of frames"] == 3
    assert not {"oscillation.start_deg", "detector.gain", "detector.pedestal"} & set(found)
    assert stated.frame_names == ("0001.tiff", "0002.tiff", "0003.tiff")


def test_the_omega_that_generate_pets_always_writes_is_not_taken(tmp_path: Path) -> None:
    text = PETS.replace("`instamatic`", "`generate_pets`").replace("omega -128.34", "omega 5.6545")
    stated = read_pets(written(tmp_path, "PETS.pts", text))
    assert "rotation_axis" not in values(stated)
    assert any("always writes" in remark for remark in stated.remarks)


@pytest.mark.parametrize(
    ("line", "changed", "told"),
    [
        ("phi 0.125", "phi 0.2", "contradicts itself"),
        ("geometry continuous", "geometry static", "did not turn"),
        ("49.8700", "49.7700", "steps differ"),
        ("bin 1", "bin 2", "binned pixels"),
    ],
)
def test_what_a_pets_file_cannot_say_is_told(tmp_path: Path, line: str, changed: str, told: str) -> None:
    stated = read_pets(written(tmp_path, "pets.pts2", PETS.replace(line, changed)))
    assert any(told in remark for remark in stated.remarks), stated.remarks


def test_our_own_pets_file_gives_back_what_a_pets_file_holds(tmp_path: Path) -> None:
    """Wavelength, scale and step to its digits; the axis is one of the two that its omega can mean."""
    series = series_of(tmp_path, frames=5, start_deg=-3.0, width_deg=0.4, axis=(0.6, 0.8, 0.0))
    export_pets(series, tmp_path / "out")
    stated = read_pets(tmp_path / "out" / f"{series.id}.pts")
    found = values(stated)
    assert found["beam.energy_kev"] == pytest.approx(series.beam.energy_kev, rel=1e-7)
    pixel, wavelength = series.detector.pixel_size_mm, series.beam.wavelength_angstrom
    assert pixel / (found[SCALE] * wavelength) == pytest.approx(series.detector.camera_length_mm, rel=1e-8)
    assert found["oscillation.width_deg"] == pytest.approx(0.4)
    assert found["detector.direct_beam_px"] == pytest.approx(series.direct_beam_px, abs=1e-3)
    told = next(remark for remark in stated.remarks if "omega" in remark)
    assert "(0.6, 0.8, 0)" in told
    assert "(0.6, -0.8, 0)" in told


def test_an_mdoc_states_tilts_energy_and_size_and_no_axis(tmp_path: Path) -> None:
    stated = read_mdoc(written(tmp_path, "series.mdoc", MDOC))
    found = values(stated)
    assert found["beam.energy_kev"] == 300.0
    assert found["detector.shape_px"] == (512, 1024)
    assert [(tilt.file, tilt.tilt_deg, tilt.dose_e_per_A2) for tilt in stated.tilts] == [
        ("scan_0001.h5", -60.01, 2.5),
        ("scan_0002.h5", -58.02, None),
    ]
    assert not {"tilt_axis", "rotation_axis", "detector.pixel_size_mm", "oscillation.start_deg"} & set(found)
    assert any("line 9, Tilt axis angle: -86.7" in remark for remark in stated.remarks)


EXPORTED = """Voltage = 200
ImageFile = crystal-01.mrc
ImageSize = 64 48

[T = diffraction of crystal-01, camera length 443 mm, pixel 0.055 mm, gain 2.5, pedestal 0]

[T = rotation axis 0.6 0.8 0: x right, y up with row 0 at the top, z towards the source]

[T = direct beam at row 22.25, column 30.75, from 0. TiltAngle: middle of the exposure]

[ZValue = 0]
TiltAngle = -2.8
RotationDuringExposure = 0.4

[ZValue = 1]
TiltAngle = -2.4
RotationDuringExposure = 0.4

[ZValue = 2]
TiltAngle = -2
RotationDuringExposure = 0.4
"""
"""Titles in which our own export of stacks says what SerialEM's keys cannot."""


def test_titles_that_spell_out_the_geometry_are_taken_at_their_word(tmp_path: Path) -> None:
    stated = read_mdoc(written(tmp_path, "crystal-01.mrc.mdoc", EXPORTED))
    assert values(stated) == {
        "beam.energy_kev": 200.0,
        "detector.shape_px": (48, 64),
        "number of frames": 3,
        "detector.camera_length_mm": 443.0,
        "detector.pixel_size_mm": 0.055,
        "detector.gain": 2.5,
        "detector.pedestal": 0.0,
        "rotation_axis": (0.6, 0.8, 0.0),
        "detector.direct_beam_px": (22.25, 30.75),
        "oscillation.start_deg": -3.0,
        "oscillation.width_deg": 0.4,
    }
    assert stated.of_rotation == ()


@pytest.mark.parametrize(
    ("line", "changed"), [("TiltAngle: middle of the exposure", ""), ("TiltAngle = -2\n", "TiltAngle = -1\n")]
)
def test_without_the_title_or_with_a_gap_the_rotation_stays_open(tmp_path: Path, line: str, changed: str) -> None:
    stated = read_mdoc(written(tmp_path, "a.mdoc", EXPORTED.replace(line, changed)))
    assert not {"oscillation.start_deg", "oscillation.width_deg"} & set(values(stated))
    assert stated.of_rotation


def test_an_mdoc_beside_one_file_speaks_of_that_file(tmp_path: Path) -> None:
    text = "Voltage = 200\n[ZValue = 0]\nTiltAngle = 12.5\n"
    (tilt,) = read_mdoc(written(tmp_path, "scan_7.h5.mdoc", text)).tilts
    assert (tilt.file, tilt.tilt_deg) == ("scan_7.h5", 12.5)


@pytest.mark.parametrize(
    "text", ["a" * 300_000, " " * 300_000 + "=", "\n" * 300_000, "1" * 300_000 + "x", "ORGX" + " " * 300_000]
)
def test_endless_lines_take_no_time(tmp_path: Path, text: str) -> None:
    """A pattern that looks back would take the square of so many steps."""
    before = time.monotonic()
    for read in (read_cred_log, read_mdoc, read_pets, read_tilt_table, read_xds_inp):
        assert read(written(tmp_path, "x.txt", text)).statements == ()
    for name in ("x.txt", "x.pts", "x.INP", "x.csv"):
        assert source_of(written(tmp_path, name, text)) is None
    assert time.monotonic() - before < 20


def test_a_table_of_tilts(tmp_path: Path) -> None:
    stated = read_tilt_table(
        written(tmp_path, "t.csv", "Scan;Tilt [deg];note\na_1.h5;-60.5;x\nsub/a_2.h5;1e1;\nbad;;\n")
    )
    assert [(tilt.file, tilt.tilt_deg) for tilt in stated.tilts] == [("a_1.h5", -60.5), ("a_2.h5", 10.0)]


@pytest.mark.parametrize(
    ("name", "text", "format_"),
    [
        ("cRED_log.txt", INSTAMATIC, "cRED log"),
        ("a.pts", PETS, "PETS"),
        ("a.mdoc", MDOC, "SerialEM mdoc"),
        ("t.csv", "file,tilt_deg\na,1\n", "table of tilts"),
        ("t.csv", "x,y\n1,2\n", None),
        ("notes.txt", "Starting angle: about 50, see the book\n", None),
        ("results.json", "{}", None),
    ],
)
def test_a_source_is_told_by_what_it_holds(tmp_path: Path, name: str, text: str, format_: str | None) -> None:
    source = source_of(written(tmp_path, name, text))
    assert (source and source.name) == format_


def test_a_binary_log_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "cRED_log.txt").write_bytes(b"Starting angle: 1\n\0\0")
    with pytest.raises(SourceError, match="holds binary data"):
        read_cred_log(tmp_path / "cRED_log.txt")
