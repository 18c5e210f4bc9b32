"""The table of formats: what headers state under the manifest's names, and what a manifest needs beside it."""

from pathlib import Path

import fabio
import numpy as np
import pytest
import tifffile

from adapters.formats.file_format import Inspection
from adapters.formats.frame_header import NEEDED
from adapters.formats.vendors.frame_formats import FRAME_FORMATS, describe, format_of
from tasks.model import SourceError

SHAPE = (12, 17)
FRAME = np.random.default_rng(0).poisson(30.0, SHAPE).astype(np.uint16)


def inspected(path: Path) -> Inspection:
    known = format_of(path)
    assert known is not None
    return describe(known, path)


def test_the_comments_of_minicbf_are_statements(tmp_path: Path) -> None:
    path = tmp_path / "a.cbf"
    words = (
        "# Pixel_size 55e-6 m x 55e-6 m\r\n# Wavelength 0.0250793 A\r\n# Detector_distance 0.4361 m\r\n"
        "# Beam_xy (256.40, 253.60) pixels\r\n# Count_cutoff 65535 counts\r\n# Start_angle -50.4600 deg.\r\n"
        "# Angle_increment 0.2522 deg."
    )
    header = {"_array_data.header_convention": "PILATUS_1.2", "_array_data.header_contents": words}
    fabio.cbfimage.CbfImage(data=FRAME.astype(np.int32), header=header).write(str(path))
    found = inspected(path)
    assert (found.format, found.kind, found.shape, found.dtype) == ("CBF", "frames", (1, *SHAPE), "int32")
    assert found.metadata.pop("energy_kev") == pytest.approx(200.0, rel=1e-5)
    assert found.metadata == {
        "pixel_size_mm": 0.055, "camera_length_mm": 436.1, "saturation": 65535.0, "direct_beam_px": [253.6, 256.4],
        "oscillation": {"width_deg": 0.2522, "start_deg": -50.46},
    }  # fmt: skip
    assert found.lacks == ("detector.gain", "detector.pedestal", "rotation_axis")


def test_a_file_that_states_nothing_lacks_everything(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([FRAME] * 3), imagej=True)
    found = inspected(tmp_path / "a.tif")
    assert (found.format, found.shape, found.dtype) == ("TIFF, ImageJ", (3, *SHAPE), "uint16")
    assert found.lacks == NEEDED


def test_xray_wavelengths_are_no_energies_of_electrons(tmp_path: Path) -> None:
    path = tmp_path / "a.cbf"
    header = {"_array_data.header_contents": "# Wavelength 0.68937 A"}
    fabio.cbfimage.CbfImage(data=FRAME.astype(np.int32), header=header).write(str(path))
    assert "beam.energy_kev" in inspected(path).lacks


def test_damage_is_named_and_other_files_are_not_recognised(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"nothing")
    with pytest.raises(SourceError, match=r"a\.tif: cannot be read"):
        inspected(tmp_path / "a.tif")
    for name, content in (
        ("a.hkl", b"   1   0   0   12.00    1.00\n"),
        ("a.cif", b"data_x\n"),
        ("a.json", b"{\n"),
        ("a.h5", b"\x89HDF\r\n\x1a\n"),
    ):
        (tmp_path / name).write_bytes(content)
        assert format_of(tmp_path / name) is None, name
    assert format_of(tmp_path) is None


@pytest.mark.needs_shared
def test_no_two_formats_claim_one_file(shared_data: Path) -> None:
    paths = [path for folder in ("formats", "frames") for path in sorted((shared_data / folder).iterdir())]
    for path in paths:
        begin = path.read_bytes()[:65536]
        assert sum(known.recognises(path, begin) for known in FRAME_FORMATS) <= 1, path.name


@pytest.mark.needs_shared
def test_the_tags_of_tvips_are_statements(shared_data: Path, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(shared_data / "formats" / "TVIPS_bin4.zip") as archive:
        archive.extractall(tmp_path)
    found = inspected(tmp_path / "TVIPS_bin4.tif")
    assert found.format == "TIFF, TVIPS"
    assert found.metadata["energy_kev"] == 99.0
    assert found.metadata["pixel_size_mm"] == pytest.approx(0.0624)  # 15.6 um, binned by 4
    assert found.metadata["tilt_deg"] == pytest.approx(-0.007)
