"""The mask that a manifest states: part of the source's identity, awaited, combined, and refused by its field."""

import json
from pathlib import Path

import numpy as np
import pytest

from adapters.formats.mask_reader import MaskFileReader
from tasks.ingest import completeness, listed_files, read_source, stated_mask
from tasks.model import SourceError
from tasks.stage import fingerprint

SHAPE = (24, 32)


def source(folder: Path, *, kind: str = "tilt", **detector: object) -> Path:
    """Write a source whose listed data files are there."""
    folder.mkdir(parents=True, exist_ok=True)
    stated = {"name": "camera", "shape_px": SHAPE, "pixel_size_mm": 0.01, "camera_length_mm": 100.0, **detector}
    content = {"version": 1, "sample": "s", "composition": None, "beam": {"energy_kev": 300.0}, "detector": stated}
    if kind == "tilt":
        (folder / "a.h5").write_bytes(b"0123")
        scan = {"shape": [4, 4], "step_nm": 1.0, "flyback_columns": 0, "rotation_deg": 0.0}
        scans = [{"file": "a.h5", "tilt_deg": 0.0, "bytes": 4}]
        content |= {"format": "4D-STEM tilt series", "scan": scan, "tilt_axis": [1.0, 0.0, 0.0], "scans": scans}
        (folder / "tilt_series.json").write_text(json.dumps(content))
        return folder
    stated |= {"gain": 1.0, "pedestal": 0.0, "saturation": None}
    (folder / "f_0001.tif").write_bytes(b"0123")
    turn = {"start_deg": 0.0, "width_deg": 0.1}
    content |= {"format": "rotation series", "rotation_axis": [1.0, 0.0, 0.0], "oscillation": turn, "files": "*.tif"}
    (folder / "rotation_series.json").write_text(json.dumps(content))
    return folder


def some() -> np.ndarray:
    bad = np.zeros(SHAPE, dtype=np.uint8)
    bad[3:5, 7:9] = 1
    return bad


@pytest.mark.parametrize("kind", ["tilt", "rotation"])
def test_the_mask_is_part_of_what_a_source_is(tmp_path: Path, kind: str) -> None:
    folder = source(tmp_path / "s", kind=kind, mask="mask.npy")
    assert completeness(folder) == ("mask.npy: the file is absent",)
    with pytest.raises(SourceError, match=r"detector.mask: mask.npy: the file is absent"):
        read_source(folder)
    np.save(folder / "mask.npy", some())
    assert completeness(folder) == ()
    assert folder / "mask.npy" in listed_files(folder)
    first = fingerprint({"source": read_source(folder)})
    np.save(folder / "mask.npy", some().T.reshape(SHAPE))
    assert fingerprint({"source": read_source(folder)}) != first


def test_a_mask_beside_the_frames_is_no_frame(tmp_path: Path) -> None:
    folder = source(tmp_path / "s", kind="rotation", mask="mask.tif")
    (folder / "mask.tif").write_bytes(b"mask")
    assert [file.name for file in read_source(folder).files] == ["f_0001.tif"]
    assert [path.name for path in listed_files(folder)] == ["rotation_series.json", "f_0001.tif", "mask.tif"]


def test_a_mask_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "other.npy", some())
    folder = source(tmp_path / "s", mask="mask.npy")
    (folder / "mask.npy").symlink_to(tmp_path / "other.npy")
    with pytest.raises(SourceError, match=r"mask.npy lies outside the source folder"):
        read_source(folder)
    with pytest.raises(SourceError, match=r"mask.npy lies outside the source folder"):
        listed_files(folder)


def test_mask_and_rectangles_add_up(tmp_path: Path) -> None:
    folder = source(tmp_path / "s", mask="mask.npy", bad_rectangles_px=[[0, 0, 0, 31], [20, 5, 23, 5]])
    np.save(folder / "mask.npy", some())
    bad = stated_mask(read_source(folder), MaskFileReader())
    expected = some().astype(bool)
    expected[0] = True
    expected[20:24, 5] = True
    np.testing.assert_array_equal(bad, expected)
    assert not stated_mask(read_source(source(tmp_path / "none")), None).any()


def test_a_detector_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    folder = source(tmp_path / "mask", mask="mask.npy")
    np.save(folder / "mask.npy", np.ones(SHAPE))
    with pytest.raises(SourceError, match=r"detector.mask mask.npy: masks every pixel"):
        stated_mask(read_source(folder), MaskFileReader())
    folder = source(tmp_path / "both", mask="mask.npy", bad_rectangles_px=[[0, 0, 11, 31]])
    bad = np.zeros(SHAPE)
    bad[12:] = 1
    np.save(folder / "mask.npy", bad)
    with pytest.raises(SourceError, match=r"detector.bad_rectangles_px: no pixel of the detector is left"):
        stated_mask(read_source(folder), MaskFileReader())
