"""The manifests: what is right is read, what is wrong is named."""

import copy
import json
from pathlib import Path

import pytest

from tasks.ingest.contracts import RotationSeriesManifest, TiltSeriesManifest
from tasks.ingest.manifest import completeness, load_manifest
from tasks.ingest.source import read_source
from tasks.model import SourceError

TILT = {
    "format": "4D-STEM tilt series",
    "version": 1,
    "sample": "UiO-66 cluster 3",
    "composition": "C48 H28 O32 Zr6",
    "beam": {"energy_kev": 300.0},
    "detector": {
        "name": "4D Camera",
        "shape_px": [576, 576],
        "pixel_size_mm": 0.01,
        "camera_length_mm": 110.0,
        "direct_beam_px": [287.5, 287.5],
    },
    "scan": {"shape": [64, 64], "step_nm": 10.0, "flyback_columns": 1, "rotation_deg": 0.0},
    "tilt_axis": [1.0, 0.0, 0.0],
    "scans": [{"file": "a_1.h5", "tilt_deg": -60.0, "bytes": 10}, {"file": "a_2.h5", "tilt_deg": -59.5, "bytes": 12}],
    "notes": {"operator": "anything", "nested": {"list": [1, None]}},
}
ROTATION = {
    "format": "rotation series",
    "version": 1,
    "sample": "cinchonine",
    "composition": "C19 H22 N2 O",
    "beam": {"energy_kev": 200.0},
    "detector": {
        "name": "Cheetah",
        "shape_px": [512, 512],
        "pixel_size_mm": 0.055,
        "camera_length_mm": 436.1,
        "direct_beam_px": [253.6, 256.4],
        "gain": 16.0,
        "pedestal": 0.0,
        "saturation": 65535.0,
    },
    "rotation_axis": [0.7933, 0.6088, 0.0],
    "oscillation": {"start_deg": -50.46, "width_deg": 0.2522},
    "files": "*.tif",
}
ABSENT = object()


def write(folder: Path, content: dict, name: str = "tilt_series.json") -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder


def changed(content: dict, place: str, value: object) -> dict:
    result = copy.deepcopy(content)
    *path, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    here = result
    for part in path:
        here = here[part]
    if value is ABSENT:
        del here[last]
    else:
        here[last] = value
    return result


def test_the_manifests_of_the_specification_are_read(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "r").mkdir()
    tilt = load_manifest(write(tmp_path / "t", TILT))
    rotation = load_manifest(write(tmp_path / "r", ROTATION, "rotation_series.json"))

    assert isinstance(tilt, TiltSeriesManifest)
    assert tilt.detector.direct_beam_px == (287.5, 287.5)
    assert [scan.tilt_deg for scan in tilt.scans] == [-60.0, -59.5]
    assert isinstance(rotation, RotationSeriesManifest)
    assert rotation.detector.gain == 16.0
    assert sum(x * x for x in rotation.rotation_axis) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("place", ["composition", "detector.direct_beam_px", "notes"])
def test_what_is_optional_may_be_absent(tmp_path: Path, place: str) -> None:
    assert load_manifest(write(tmp_path, changed(TILT, place, ABSENT)))


@pytest.mark.parametrize("place", ["composition", "detector.direct_beam_px"])
def test_what_is_optional_may_be_null(tmp_path: Path, place: str) -> None:
    assert load_manifest(write(tmp_path, changed(TILT, place, None)))


REQUIRED = [
    "format", "version", "sample", "beam", "beam.energy_kev", "detector", "detector.name", "detector.shape_px",
    "detector.pixel_size_mm", "detector.camera_length_mm", "scan", "scan.shape", "scan.step_nm",
    "scan.flyback_columns", "scan.rotation_deg", "tilt_axis", "scans", "scans.1.file", "scans.1.tilt_deg",
    "scans.1.bytes",
]  # fmt: skip
REQUIRED_OF_ROTATION = [
    "detector.gain", "detector.pedestal", "detector.saturation", "rotation_axis", "oscillation",
    "oscillation.start_deg", "oscillation.width_deg", "files", "detector.camera_length_mm",
]  # fmt: skip


def shown(place: str) -> str:
    """Return a dotted path as messages show it: scans.1.file is scans[1].file."""
    parts = [f"[{part}]" if part.isdigit() else f".{part}" for part in place.split(".")]
    return "".join(parts).lstrip(".")


def refusal(folder: Path, content: dict, name: str = "tilt_series.json") -> str:
    with pytest.raises(SourceError) as caught:
        load_manifest(write(folder, content, name))
    assert caught.value.advice
    assert name in caught.value.message
    assert "pydantic" not in str(caught.value)
    return caught.value.message


@pytest.mark.parametrize("place", REQUIRED)
def test_a_missing_field_is_named(tmp_path: Path, place: str) -> None:
    assert f"{shown(place)}: required field is missing" in refusal(tmp_path, changed(TILT, place, ABSENT))


@pytest.mark.parametrize("place", REQUIRED_OF_ROTATION)
def test_a_missing_field_of_a_rotation_series_is_named(tmp_path: Path, place: str) -> None:
    message = refusal(tmp_path, changed(ROTATION, place, ABSENT), "rotation_series.json")
    assert f"{shown(place)}: required field is missing" in message


@pytest.mark.parametrize("place", ["extra", "beam.extra", "detector.gain", "scan.extra", "scans.0.extra"])
def test_an_unknown_field_is_named(tmp_path: Path, place: str) -> None:
    assert f"{shown(place)}: unknown field" in refusal(tmp_path, changed(TILT, place, 1.0))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("beam.energy_kev", "300"),
        ("beam.energy_kev", True),
        ("beam.energy_kev", None),
        ("detector.shape_px", 576),
        ("detector.shape_px", [576.5, 576]),
        ("detector.camera_length_mm", [110.0]),
        ("scans.0.bytes", "10"),
        ("scans.0.bytes", 10.5),
        ("scans.0.tilt_deg", "-60"),
        ("scans", {}),
        ("tilt_axis", [1.0, 0.0]),
        ("sample", 3),
        ("composition", 3),
        ("notes", "text"),
        ("version", "1"),
        ("version", True),
        ("scan.flyback_columns", 1.5),
        ("scan.flyback_columns", True),
    ],
)
def test_a_wrong_type_is_named(tmp_path: Path, place: str, value: object) -> None:
    assert shown(place) in refusal(tmp_path, changed(TILT, place, value))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("version", 2),
        ("format", "rotation series"),
        ("sample", ""),
        ("beam.energy_kev", -300),
        ("beam.energy_kev", 0),
        ("beam.energy_kev", 3e5),
        ("detector.shape_px", [0, 576]),
        ("detector.shape_px", [576, -1]),
        ("detector.pixel_size_mm", 0),
        ("detector.camera_length_mm", -110),
        ("detector.camera_length_mm", 1e999),
        ("detector", {**TILT["detector"], "direct_beam_px": [-20.0, 287.5]}),
        ("scan.shape", [0, 64]),
        ("scan.shape", [100000, 100000]),
        ("scan.step_nm", 0),
        ("scan.flyback_columns", -1),
        ("tilt_axis", [0, 0, 0]),
        ("tilt_axis", [1, 1, 0]),
        ("tilt_axis", [0, 0, 1]),
        ("scans", []),
        ("scans.0.bytes", 0),
        ("scans.0.tilt_deg", 400),
        ("scans.0.file", "../a_1.h5"),
        ("scans.0.file", "/etc/passwd"),
        ("scans.0.file", "b/../../a.h5"),
        ("scans.0.file", ""),
        ("scans.0.file", "a\0.h5"),
        ("scans.0.file", "..\\a.h5"),
        ("composition", "sugar"),
        ("composition", "C12 Xx3"),
        ("composition", "C-3"),
        ("composition", ""),
        ("composition", "C0"),
    ],
)
def test_an_impossible_value_is_named(tmp_path: Path, place: str, value: object) -> None:
    assert shown(place) in refusal(tmp_path, changed(TILT, place, value))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("detector.gain", 0),
        ("detector", {**ROTATION["detector"], "saturation": 0.0}),
        ("oscillation.width_deg", 0),
        ("oscillation.width_deg", 400),
        ("rotation_axis", [0.5, 0.5, 0.0]),
        ("files", "../*.tif"),
        ("files", "/etc/*"),
    ],
)
def test_an_impossible_value_of_a_rotation_series_is_named(tmp_path: Path, place: str, value: object) -> None:
    assert shown(place) in refusal(tmp_path, changed(ROTATION, place, value), "rotation_series.json")


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("place", ["beam.energy_kev", "scans.0.tilt_deg", "notes.operator"])
def test_nan_and_infinity_are_refused(tmp_path: Path, word: str, place: str) -> None:
    text = json.dumps(changed(TILT, place, 12345.5)).replace("12345.5", word)
    (tmp_path / "tilt_series.json").write_text(text)
    with pytest.raises(SourceError, match="is not a number") as caught:
        load_manifest(tmp_path)
    assert f"{shown(place)}: " in caught.value.message


def test_two_scans_at_one_tilt_are_named(tmp_path: Path) -> None:
    message = refusal(tmp_path, changed(TILT, "scans.1.tilt_deg", -60.0))
    assert "scans: several scans at tilt -60 deg: a_1.h5, a_2.h5" in message


def with_scans(**fields: list[object]) -> dict:
    content = copy.deepcopy(TILT)
    for name, values in fields.items():
        for scan, value in zip(content["scans"], values, strict=True):
            scan[name] = value
    return content


def test_the_optional_fields_are_read(tmp_path: Path) -> None:
    content = with_scans(order=[1, 0], dose_e_per_A2=[0.5, 0.25], repeat=[0, 0])
    content["composition"], content["compositions"] = None, ["Si O2", "Na2 Al2 Si3 O12 H4"]
    content["beam"]["convergence_mrad"] = 0.5
    content["detector"] |= {
        "mask": "masks/dead.h5:/mask",
        "bad_rectangles_px": [[0, 0, 143, 575]],
        "camera_length_relative_error": 0.02,
        "counting": {"method": "local-maxima-3x3", "frames_per_position": 2},
    }
    manifest = load_manifest(write(tmp_path, content))
    assert manifest.detector.bad_rectangles_px == ((0, 0, 143, 575),)
    assert manifest.detector.counting.frames_per_position == 2
    assert [scan.order for scan in manifest.scans] == [1, 0]
    assert manifest.single_composition is None
    assert manifest.detector.described().camera_length_relative_error == 0.02


def test_several_scans_at_one_tilt_are_told_apart_by_their_repeat(tmp_path: Path) -> None:
    content = with_scans(tilt_deg=[-60.0, -60.0], repeat=[0, 1])
    assert [scan.repeat for scan in load_manifest(write(tmp_path, content)).scans] == [0, 1]
    for repeats in ([0, 0], [0, None]):
        message = refusal(tmp_path, with_scans(tilt_deg=[-60.0, -60.0], repeat=repeats))
        assert "scans: several scans at tilt -60 deg: a_1.h5, a_2.h5; each must state its own repeat" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_scans(order=[0, None]), "order: a_2.h5 has none"),
        (with_scans(order=[0, 0]), "order: two scans have the same"),
        (with_scans(dose_e_per_A2=[None, 0.5]), "dose_e_per_A2 of a_2.h5: needs the order of all scans"),
        ({**TILT, "compositions": ["Si O2"]}, "composition and compositions: give one of them"),
    ],
)
def test_fields_that_contradict_each_other_are_named(tmp_path: Path, content: dict, message: str) -> None:
    assert message in refusal(tmp_path, content)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("bad_rectangles_px", [[0, 0, 576, 5]], "bad_rectangles_px [0, 0, 576, 5]: must be first row"),
        ("bad_rectangles_px", [[5, 0, 4, 5]], "bad_rectangles_px [5, 0, 4, 5]: must be first row"),
        ("mask", "mask.pkl", "detector.mask: must be a .npy file, file.h5:/dataset or a TIFF"),
        ("mask", "mask.h5", "detector.mask: an HDF5 mask is written as file.h5:/dataset"),
        ("mask", "../mask.npy", "detector.mask: must be a name within the source folder"),
        ("counting", {"method": "median", "frames_per_position": 1}, "detector.counting.method"),
        ("counting", {"method": "ideal", "frames_per_position": 0}, "detector.counting.frames_per_position"),
        ("camera_length_relative_error", 0, "detector.camera_length_relative_error"),
    ],
)
def test_an_impossible_description_of_the_detector_is_named(
    tmp_path: Path, field: str, value: object, message: str
) -> None:
    assert message in refusal(tmp_path, changed(TILT, f"detector.{field}", value))


def test_a_series_that_is_still_measured_waits(tmp_path: Path) -> None:
    source = write(tmp_path, {**TILT, "complete": False})
    assert completeness(source) == ("tilt_series.json: the series is still being measured (complete is false)",)
    with pytest.raises(SourceError, match="complete is false"):
        read_source(source)


def test_a_file_listed_twice_is_named(tmp_path: Path) -> None:
    assert "a_1.h5 is listed 2 times" in refusal(tmp_path, changed(TILT, "scans.1.file", "./a_1.h5"))


def test_every_problem_has_its_own_line(tmp_path: Path) -> None:
    content = changed(changed(TILT, "sample", ABSENT), "beam.energy_kev", "x")
    lines = refusal(tmp_path, content).splitlines()
    assert len(lines) == 2
    assert all("tilt_series.json: " in line for line in lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[]", "no JSON object"),
        ("3", "no JSON object"),
        ("\xff\xfe", "not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"sample": "a", "sample": "b"}', "field 'sample' is given 2 times"),
        ('{"version": ' + "9" * 5000 + "}", "not valid JSON"),
        (" " * (16 * 2**20 + 1), "larger than"),
    ],
    ids=["empty", "cut", "list", "number", "bytes", "deep list", "deep object", "twice", "digits", "large"],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "tilt_series.json").write_text(text, encoding="latin-1")
    with pytest.raises(SourceError, match=message):
        load_manifest(tmp_path)


def test_deep_notes_are_refused_without_a_traceback(tmp_path: Path) -> None:
    text = json.dumps(TILT).replace('"anything"', "[" * 900 + "]" * 900)
    (tmp_path / "tilt_series.json").write_text(text)
    with pytest.raises(SourceError):
        load_manifest(tmp_path)


def test_a_folder_without_a_manifest_or_with_two_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        load_manifest(tmp_path / "nowhere")
    with pytest.raises(SourceError, match=r"neither of tilt_series.json and rotation_series.json"):
        load_manifest(tmp_path)
    write(write(tmp_path, TILT), ROTATION, "rotation_series.json")
    with pytest.raises(SourceError, match="both of"):
        load_manifest(tmp_path)


def test_a_source_is_complete_when_every_file_has_its_size(tmp_path: Path) -> None:
    write(tmp_path, TILT)
    (tmp_path / "a_1.h5").write_bytes(b"0" * 10)
    (tmp_path / "a_2.h5").write_bytes(b"0" * 7)
    assert completeness(tmp_path) == ("a_2.h5: the file has 7 bytes, the manifest says 12",)
    (tmp_path / "a_1.h5").unlink()
    assert completeness(tmp_path)[0] == "a_1.h5: the file is absent"
    (tmp_path / "a_1.h5").write_bytes(b"0" * 10)
    (tmp_path / "a_2.h5").write_bytes(b"0" * 12)
    assert completeness(tmp_path) == ()


def test_files_outside_the_source_are_refused_through_links_too(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (tmp_path / "secret").write_bytes(b"0" * 10)
    (source / "a_1.h5").symlink_to(tmp_path / "secret")
    (source / "a_2.h5").write_bytes(b"0" * 12)
    write(source, TILT)
    with pytest.raises(SourceError, match=r"a_1.h5 lies outside the source folder"):
        read_source(source)


def test_a_source_document_does_not_depend_on_the_folder(tmp_path: Path) -> None:
    keys = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        write(folder, TILT)
        (folder / "a_1.h5").write_bytes(b"0" * 10)
        keys.append([file.data.sha256 if file.data else file.problem for file in read_source(folder).files])
    assert keys[0] == keys[1]
    assert keys[0][1] == "the file is absent"


def test_frames_are_sorted_by_the_number_that_varies(tmp_path: Path) -> None:
    write(tmp_path, ROTATION, "rotation_series.json")
    for number in (10, 9, 100, 2):
        (tmp_path / f"cryst3_{number}_200kV.tif").write_bytes(b"x")
    document = read_source(tmp_path)
    assert [file.number for file in document.files] == [2, 9, 10, 100]
    assert not document.is_tilt_series


@pytest.mark.parametrize(
    ("names", "message"),
    [([], "0 files match"), (["a1.tif", "a01.tif"], "the same number 1"), (["a1.tif", "b.tif"], "b.tif has no number")],
)
def test_frames_that_cannot_be_numbered_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    write(tmp_path, ROTATION, "rotation_series.json")
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(SourceError, match=message):
        read_source(tmp_path)
