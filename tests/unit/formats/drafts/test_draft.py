"""Drafts of manifests from whole folders: origins, contradictions, choices, and nothing that no file states."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from adapters.formats.drafts.draft import ManifestDraft, draft_manifest
from adapters.formats.drafts.folder import FoundSeries, find_series, find_sources
from adapters.formats.drafts.header import read_header
from adapters.formats.file_format import Inspection
from tasks.ingest import RotationSeriesManifest, TiltSeriesManifest
from tasks.model import Beam, SourceError
from tests.synthetic.draft_sources import INSTAMATIC, MDOC, PETS, XDS_INP


def inspect(path: Path) -> Inspection:
    """Say of frames and scans what a reader would; the files are empty."""
    if path.suffix == ".h5":
        return Inspection(file=path.name, format="stempy HDF5", kind="scan", shape=(8, 9, 24, 24))
    return Inspection(file=path.name, format="SMV (ADSC)", kind="frames", shape=(1, 512, 516))


def touched(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")


def only_draft(folder: Path) -> tuple[FoundSeries, ManifestDraft]:
    (series,) = find_series(folder, inspect)
    stated, unreadable = find_sources(folder)
    assert unreadable == []
    return series, draft_manifest(folder, series, stated)


@pytest.fixture
def instamatic(tmp_path: Path) -> Path:
    """The folder that Instamatic leaves, with four frames of its 400."""
    touched(tmp_path / "SMV" / "data", *(f"{number:05d}.img" for number in range(1, 5)))
    (tmp_path / "SMV" / "XDS.INP").write_text(XDS_INP)
    (tmp_path / "cRED_log.txt").write_text(INSTAMATIC)
    return tmp_path


def test_instamatics_log_and_xds_inp_make_one_draft(instamatic: Path) -> None:
    """Both describe one rotation, though with opposite axes; XDS's zero is another and told."""
    series, draft = only_draft(instamatic)
    found = draft.manifest
    assert series.pattern == "SMV/data/*.img" == found["files"]
    assert found["rotation_axis"] == pytest.approx([0.6204, 0.7843, 0.0], abs=1e-4)
    assert found["oscillation"] == {"start_deg": -50.12, "width_deg": 0.25}
    assert found["detector"]["camera_length_mm"] == 566.51
    assert found["detector"]["shape_px"] == [512, 516]
    assert found["detector"]["bad_rectangles_px"] == [[0, 255, 511, 260]]
    assert found["beam"]["energy_kev"] == pytest.approx(199.717, abs=1e-3)
    assert [found["sample"], found["detector"]["gain"], found["detector"]["pedestal"]] == [None] * 3
    assert {field for field, _ in draft.open_fields} == {
        "sample",
        "detector.name",
        "detector.gain",
        "detector.pedestal",
    }
    assert draft.contradictions == (
        "frames: 4 by the files SMV/data/*.img, 400 by cRED_log.txt, line 18, Number of frames: 396 apart",
    )
    assert any("counts from another zero" in remark for remark in draft.remarks)


def test_a_filled_draft_is_a_manifest(instamatic: Path) -> None:
    _, draft = only_draft(instamatic)
    found = draft.manifest
    found["sample"] = "x"
    found["detector"] |= {"name": "Timepix", "gain": 1.0, "pedestal": 0.0}
    RotationSeriesManifest.model_validate_json(json.dumps(found), strict=True)


def test_contradictions_leave_the_field_open_and_are_told_with_their_size(instamatic: Path) -> None:
    text = XDS_INP.replace("0.0251 ", "0.0197 ").replace("+566.51", "580").replace("0.6204 -0.7843", "0.7 -0.7141")
    (instamatic / "SMV" / "XDS.INP").write_text(text)
    _, draft = only_draft(instamatic)
    assert draft.manifest["beam"]["energy_kev"] is None
    assert draft.manifest["rotation_axis"] is None
    told = "\n".join(draft.contradictions)
    assert "beam.energy_kev: " in told
    assert "apart (50 %)" in told
    assert "rotation_axis: " in told
    assert "6.09 degrees apart" in told
    energy = next(meaning for field, meaning in draft.open_fields if field == "beam.energy_kev")
    assert "keV" in energy


def test_a_value_that_no_manifest_may_hold_is_told_and_left_open(instamatic: Path) -> None:
    (instamatic / "cRED_log.txt").unlink()
    text = XDS_INP.replace("0.6204 -0.7843 0.0000", "0 0 1").replace("ORGX= 252.50", "ORGX= 2525")
    (instamatic / "SMV" / "XDS.INP").write_text(text)
    _, draft = only_draft(instamatic)
    assert draft.manifest["rotation_axis"] is None
    assert draft.manifest["detector"]["direct_beam_px"] is None
    assert draft.manifest["detector"]["camera_length_mm"] == 566.51
    told = "\n".join(draft.contradictions)
    assert "rotation_axis: [0, 0, -1] in SMV/XDS.INP, line 15, ROTATION_AXIS" in told
    assert "lies along the beam" in told
    assert "detector.direct_beam_px: [259.25, 2524] in SMV/XDS.INP" in told
    assert "rotation_axis" in {field for field, _ in draft.open_fields}


def test_a_camera_length_needs_the_wavelength(instamatic: Path) -> None:
    (instamatic / "SMV" / "XDS.INP").unlink()
    _, draft = only_draft(instamatic)
    wavelength = Beam(energy_kev=draft.manifest["beam"]["energy_kev"]).wavelength_angstrom
    assert draft.manifest["detector"]["camera_length_mm"] == pytest.approx(0.055 / (0.003868 * wavelength))
    (instamatic / "cRED_log.txt").write_text(INSTAMATIC.replace("Wavelength", "Wave"))
    _, draft = only_draft(instamatic)
    assert draft.manifest["detector"]["camera_length_mm"] is None
    assert any("with beam.energy_kev it gives the camera length" in remark for remark in draft.remarks)


def test_the_flipped_mrc_images_of_instamatic_have_no_axis(tmp_path: Path) -> None:
    touched(tmp_path / "RED", "00001.mrc", "00002.mrc")
    (tmp_path / "cRED_log.txt").write_text(INSTAMATIC)
    _, draft = only_draft(tmp_path)
    assert draft.manifest["rotation_axis"] is None
    assert any("may be flipped" in remark for remark in draft.remarks)


def test_a_start_is_moved_to_the_first_frame_that_is_there(instamatic: Path) -> None:
    (instamatic / "cRED_log.txt").unlink()
    (instamatic / "SMV" / "data" / "00001.img").unlink()
    _, draft = only_draft(instamatic)
    assert draft.manifest["oscillation"] == {"start_deg": 50.37, "width_deg": 0.25}


def test_what_speaks_of_other_frames_is_not_taken(instamatic: Path) -> None:
    (instamatic / "pets.pts2").write_text(PETS.replace("lambda 0.0251", "lambda 0.0197"))
    _, draft = only_draft(instamatic)
    assert draft.manifest["beam"]["energy_kev"] == pytest.approx(199.717, abs=1e-3)
    assert any("pets.pts2: speaks of other files (0001.tiff, 0002.tiff)" in remark for remark in draft.remarks)


def test_headers_are_asked_too(instamatic: Path) -> None:
    said = {"energy_kev": 300.0, "tilt_deg": 50.12, "oscillation": {"width_deg": 0.25}, "camera_length_mm": 566.51}
    inspection = inspect(instamatic / "SMV" / "data" / "00001.img").model_copy(update={"metadata": said})
    stated = read_header(instamatic / "SMV" / "data" / "00001.img", inspection, 1)
    found = {statement.field: statement.value for statement in stated.statements}
    assert found == {
        "beam.energy_kev": 300.0,
        "detector.camera_length_mm": 566.51,
        "oscillation.width_deg": 0.25,
        "oscillation.start_deg": 50.12,
        "detector.shape_px": (512, 516),
    }
    shown = read_header(instamatic / "x", inspection.model_copy(update={"format": "TVIPS stream"}), 1)
    assert any("566.51 mm is what the microscope shows" in remark for remark in shown.remarks)


@pytest.mark.parametrize(("last_deg", "start_deg"), [(49.37, 50.12), (50.12, None)])
def test_the_header_of_the_last_frame_must_fit_the_first(
    instamatic: Path, last_deg: float, start_deg: float | None
) -> None:
    """Headers that all repeat one angle contradict a width."""
    headers = []
    for number, angle in ((1, 50.12), (4, last_deg)):
        path = instamatic / "SMV" / "data" / f"{number:05d}.img"
        said = {"oscillation": {"start_deg": angle, "width_deg": -0.25}}
        headers.append(read_header(path, inspect(path).model_copy(update={"metadata": said}), number))
    (series,) = find_series(instamatic, inspect)
    draft = draft_manifest(instamatic, series, headers)
    assert draft.manifest["oscillation"] == {"start_deg": start_deg, "width_deg": -0.25}
    assert len(draft.contradictions) == (start_deg is None)


def test_a_tilt_series_takes_tilts_from_the_mdoc_that_names_its_files(tmp_path: Path) -> None:
    touched(tmp_path, "scan_0001.h5", "scan_0002.h5", "scan_0003.h5")
    (tmp_path / "series.mdoc").write_text(MDOC)
    series, draft = only_draft(tmp_path)
    assert series.kind == "tilt"
    assert draft.manifest["scans"] == [
        {"file": "scan_0001.h5", "tilt_deg": -60.01, "bytes": 1},
        {"file": "scan_0002.h5", "tilt_deg": -58.02, "bytes": 1},
        {"file": "scan_0003.h5", "tilt_deg": None, "bytes": 1},
    ]
    assert draft.manifest["beam"]["energy_kev"] == 300.0
    assert draft.manifest["tilt_axis"] is None
    assert {"scans.tilt_deg", "scan.step_nm", "tilt_axis", "scan.rotation_deg"} <= {f for f, _ in draft.open_fields}
    filled = draft.manifest | {"sample": "x", "tilt_axis": [1.0, 0.0, 0.0]}
    filled["detector"] |= {"name": "d", "shape_px": [24, 24], "pixel_size_mm": 0.01, "camera_length_mm": 110.0}
    filled["scan"] = {"shape": [8, 8], "step_nm": 10.0, "flyback_columns": 1, "rotation_deg": 0.0}
    filled["scans"][2]["tilt_deg"] = 0.0
    TiltSeriesManifest.model_validate_json(json.dumps(filled), strict=True)


def test_two_files_that_disagree_about_a_tilt_leave_it_open(tmp_path: Path) -> None:
    touched(tmp_path, "scan_0001.h5", "scan_0002.h5")
    (tmp_path / "series.mdoc").write_text(MDOC)
    (tmp_path / "tilts.csv").write_text("file,tilt_deg\nscan_0001.h5,-61.0\nscan_0002.h5,-58.02\n")
    _, draft = only_draft(tmp_path)
    assert [scan["tilt_deg"] for scan in draft.manifest["scans"]] == [None, -58.02]
    assert any(
        "scan_0001.h5, tilt_deg: -61 by" in told and "0.99 degrees apart" in told for told in draft.contradictions
    )


def test_a_manifest_or_a_draft_that_is_there_is_compared(instamatic: Path) -> None:
    """What a person wrote fills what no log states, and what contradicts the logs is named."""
    mine = {"format": "rotation series", "version": 1, "sample": "zeolite", "beam": {"energy_kev": 300.0},
            "detector": {"name": "Timepix", "gain": 2, "pedestal": None, "camera_length_mm": 566.5}}  # fmt: skip
    (instamatic / "rotation_series.draft.json").write_text(json.dumps(mine))
    _, draft = only_draft(instamatic)
    assert draft.manifest["sample"] == "zeolite"
    assert draft.manifest["detector"]["gain"] == 2
    assert draft.manifest["detector"]["camera_length_mm"] == 566.51
    assert draft.manifest["beam"]["energy_kev"] is None
    assert any("300 in rotation_series.draft.json" in told for told in draft.contradictions)


def test_stacks_are_scans_where_a_person_says_so(tmp_path: Path) -> None:
    touched(tmp_path, "a_1.mib", "a_2.mib")

    def stacks(path: Path) -> Inspection:
        return Inspection(file=path.name, format="Merlin MIB", kind="frames", shape=(8, 16, 16))

    assert [(one.pattern, one.kind, one.frames) for one in find_series(tmp_path, stacks)] == [
        ("a_1.mib", "rotation", 8),
        ("a_2.mib", "rotation", 8),
    ]
    (series,) = find_series(tmp_path, stacks, "tilt")
    assert (series.pattern, series.kind, series.numbers) == ("*.mib", "tilt", (1, 2))


def test_two_series_in_one_folder_are_told_apart_by_their_names(tmp_path: Path) -> None:
    touched(tmp_path, "cryst1_001.tif", "cryst1_002.tif", "cryst2_001.tif", "cryst2_002.tif", "alone.tif", "notes.txt")
    assert [series.pattern for series in find_series(tmp_path, inspect)] == ["cryst1_*.tif", "cryst2_*.tif"]


def test_names_with_glob_characters_keep_their_meaning(tmp_path: Path) -> None:
    touched(tmp_path / "run [1]", "a[x]_1.tif", "a[x]_2.tif", "b.tif")
    (series,) = find_series(tmp_path, inspect)
    assert sorted(tmp_path.glob(series.pattern)) == list(series.paths)


def test_no_link_out_of_the_folder_is_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    touched(outside, "a_1.tif", "a_2.tif")
    (outside / "cRED_log.txt").write_text(INSTAMATIC)
    inside = tmp_path / "inside"
    touched(inside, "a_1.tif", "a_2.tif")
    (inside / "cRED_log.txt").symlink_to(outside / "cRED_log.txt")
    (inside / "b").symlink_to(outside, target_is_directory=True)
    (inside / "loop_1.tif").symlink_to(inside / "loop_1.tif")
    (series,) = find_series(inside, inspect)
    assert series.paths == (inside / "a_1.tif", inside / "a_2.tif")
    assert find_sources(inside) == ([], [])


def test_an_unreadable_log_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.expt").write_text('{"__id__": "ExperimentList"')
    stated, unreadable = find_sources(tmp_path)
    assert stated == []
    assert unreadable[0].startswith("a.expt: a.expt: not valid JSON")


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.formats.drafts.folder.FILES_MAX", 3)
    touched(tmp_path, *(f"a_{number}.tif" for number in range(5)))
    with pytest.raises(SourceError, match="more than 3 files"):
        find_series(tmp_path, inspect)


def test_the_real_folder_of_cinchonine(shared_data: Path, tmp_path: Path) -> None:
    """Log and XDS.INP of the real series beside its 405 names; refined it is 436 mm, nominal are 300."""
    real = shared_data / "cinchonine" / "DemoData" / "Cinchonine"
    touched(tmp_path / "diff_corr", *(f"{number:04d}.tif" for number in range(1, 406)))
    shutil.copy(real / "cRED_log.txt", tmp_path)
    (tmp_path / "xds").mkdir()
    for name in ("XDS.INP", "XDSCONV.INP", "CORRECT.LP"):
        shutil.copy(real / "xds" / name, tmp_path / "xds")
    series, draft = only_draft_of_tiff(tmp_path)
    found = draft.manifest
    assert (series.frames, found["files"]) == (405, "diff_corr/*.tif")
    assert found["detector"]["camera_length_mm"] == 443.0
    assert found["detector"]["pixel_size_mm"] == 0.055
    assert found["rotation_axis"] == pytest.approx([0.7933, 0.6088, 0.0], abs=0.01)
    assert np.isclose(found["beam"]["energy_kev"], 200.0, atol=0.1)
    assert found["oscillation"] == {"start_deg": None, "width_deg": 0.2522}
    assert len(draft.contradictions) == 1
    assert "0.2522 degrees apart" in draft.contradictions[0]


def only_draft_of_tiff(folder: Path) -> tuple[FoundSeries, ManifestDraft]:
    def unknown(path: Path) -> Inspection:
        return Inspection(file=path.name, format="unknown", kind="unknown")

    (series,) = find_series(folder, unknown)
    return series, draft_manifest(folder, series, find_sources(folder)[0])
