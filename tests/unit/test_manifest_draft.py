"""`apertura manifest` and `apertura schema --manifest`, as a user meets them."""

import json
import os
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from flows.cli import app
from flows.manifest_draft import draft_of, write_draft
from tasks.ingest import RotationSeriesManifest, TiltSeriesManifest, load_manifest
from tasks.model import SettingsError, SourceError
from tests.synthetic.draft_sources import INSTAMATIC

PAGE = Path(__file__).resolve().parents[2] / "tasks" / "ingest" / "README.md"


def run(*argv: str) -> tuple[str, str]:
    """Return stdout and stderr of a command that ends well."""
    found = CliRunner().invoke(app, list(argv), catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout, found.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    (data / "tiff").mkdir(parents=True)
    for number in range(1, 5):
        tifffile.imwrite(data / "tiff" / f"{number:05d}.tiff", np.full((8, 6), number, dtype=np.uint16))
    (data / "cRED_log.txt").write_text(INSTAMATIC)
    return data


def test_the_draft_goes_to_stdout_and_what_to_know_of_it_to_stderr(folder: Path) -> None:
    out, told = run("manifest", str(folder))
    draft = json.loads(out)
    assert draft["files"] == "tiff/*.tiff"
    assert draft["oscillation"] == {"start_deg": 50.12, "width_deg": -0.25}
    assert draft["sample"] is None
    for part in (
        "4 frames: tiff/*.tiff, numbers 1 to 4",
        "cRED_log.txt, line 13, Wavelength (from the wavelength 0.0251 A)",
        "CONTRADICTIONS",
        "400 by cRED_log.txt, line 18, Number of frames",
        "250 mm is what the microscope shows, not a calibration",
        "LEFT OPEN: fill these in:",
        "detector.gain: detector units per electron",
    ):
        assert part in told
    assert sorted(path.name for path in folder.iterdir()) == ["cRED_log.txt", "tiff"]


def test_an_open_draft_is_no_manifest_whatever_its_name(folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"rotation_series\.json: .*leaves open: sample, detector\.name"):
        write_draft(draft_of(folder)[1], folder / "rotation_series.json")
    out, _ = run("manifest", str(folder), "--out", str(folder / "rotation_series.draft.json"))
    written = Path(out.strip())
    with pytest.raises(SourceError, match=r"neither of tilt_series\.json and rotation_series\.json"):
        load_manifest(folder)
    written.rename(folder / "rotation_series.json")
    with pytest.raises(SourceError) as caught:
        load_manifest(folder)
    assert "detector.gain: null: a value is required" in caught.value.message
    assert caught.value.advice.startswith("the draft leaves open: sample, ")
    assert "apertura schema --manifest rotation" in caught.value.advice


def test_nothing_is_overwritten(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("mine")
    with pytest.raises(SettingsError, match="is there already"):
        write_draft(draft_of(folder)[1], tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text() == "mine"


def test_several_series_are_listed_and_chosen(folder: Path) -> None:
    (folder / "other").mkdir()
    for number in (1, 2):
        tifffile.imwrite(folder / "other" / f"x_{number}.tif", np.zeros((8, 6), dtype=np.uint16))
    with pytest.raises(SettingsError) as caught:
        draft_of(folder)
    assert re.search(r"other/\*\.tif: 2 .*\n.*tiff/\*\.tiff: 4 ", caught.value.message)
    assert "--files 'other/*.tif'" in caught.value.advice
    assert draft_of(folder, files="tiff/*.tiff")[0].frames == 4
    assert draft_of(folder, files="other/x_1.tif")[0].frames == 2
    with pytest.raises(SettingsError, match="none of its series fits"):
        draft_of(folder, files="*.cbf")


def test_the_log_of_another_crystal_is_not_taken(folder: Path) -> None:
    """Each crystal's own folder holds its log; that of a sibling says nothing."""
    crystals = folder.parent / "both"
    for name, wavelength in (("a", "0.0251"), ("b", "0.0197")):
        (crystals / name / "tiff").mkdir(parents=True)
        for number in (1, 2):
            tifffile.imwrite(crystals / name / "tiff" / f"{number}.tif", np.zeros((8, 6), dtype=np.uint16))
        (crystals / name / "cRED_log.txt").write_text(INSTAMATIC.replace("0.0251", wavelength))
    _, draft = draft_of(crystals, files="b/tiff/*.tif")
    assert draft.manifest["beam"]["energy_kev"] == pytest.approx(300.0, abs=1.0)
    assert {origin.partition(",")[0] for _, _, origin in draft.origins} <= {"b/cRED_log.txt", "b/tiff/1.tif"}


def test_names_and_logs_that_no_terminal_should_see(folder: Path) -> None:
    """Bytes that are no text in a name, and escape sequences in a log."""
    for path in (folder / "tiff").iterdir():
        path.rename(path.with_name(os.fsdecode(b"\xff" + os.fsencode(path.name))))
    text = INSTAMATIC.replace("250 mm", "250 \x1b[31mmm").replace("-2.24 radians", "-2 \x1b]0;x\x07")
    (folder / "cRED_log.txt").write_text(text)
    (folder / "tiff").rename(folder / "ti\nff")
    out, told = run("manifest", str(folder))
    assert json.loads(out)["files"].endswith("*.tiff")
    assert "\x1b" not in out + told
    (folder / "b_1.tif").write_bytes(b"x")
    (folder / "b_2.tif").write_bytes(b"x")
    with pytest.raises(SettingsError) as caught:
        draft_of(folder)
    assert str(caught.value).encode("utf-8")


@pytest.mark.parametrize("make", ["nothing", "absent"])
def test_a_folder_without_a_series_is_an_error(tmp_path: Path, make: str) -> None:
    if make == "nothing":
        (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SourceError):
        draft_of(tmp_path if make == "nothing" else tmp_path / "absent")


def examples(page: Path) -> list[dict]:
    """Return the manifests that a page shows."""
    blocks = re.findall(r"```json\n(\{.*?\})\n```", page.read_text(), re.DOTALL)
    return [found for block in blocks if "format" in (found := json.loads(block))]


def schema_of(example: dict) -> dict:
    kind = "tilt" if example["format"].startswith("4D") else "rotation"
    return json.loads(run("schema", "--manifest", kind)[0])


def test_the_pages_examples_fit_the_schemas_and_changed_ones_do_not() -> None:
    shown = examples(PAGE)
    assert [example["format"] for example in shown] == ["4D-STEM tilt series", "rotation series"]
    for example in shown:
        schema = schema_of(example)
        jsonschema.Draft202012Validator.check_schema(schema)
        check = jsonschema.Draft202012Validator(schema)
        check.validate(example)
        wrong = [
            {**example, "extra": 1},
            {key: value for key, value in example.items() if key != "beam"},
            {**example, "beam": {"energy_kev": "300"}},
            {**example, "beam": {"energy_kev": None}},
            {**example, "beam": {"energy_kev": 0}},
            {**example, "detector": {**example["detector"], "shape_px": [576]}},
            {**example, "detector": {**example["detector"], "pixel_size_mm": -1}},
            {**example, "version": 2},
        ]
        assert [check.is_valid(one) for one in wrong] == [False] * len(wrong)


def test_the_acquisitions_own_examples_fit_the_schemas(shared_data: Path) -> None:
    (page,) = shared_data.parent.glob("acquisition.*")
    shown = examples(page)
    assert len(shown) == 2
    for example in shown:
        jsonschema.Draft202012Validator(schema_of(example)).validate(example)


def fields(schema: dict) -> dict[str, str]:
    """Return every field of a schema with its description."""
    definitions = [schema, *schema.get("$defs", {}).values()]
    return {
        f"{definition.get('title')}.{name}": field.get("description", "")
        for definition in definitions
        for name, field in definition.get("properties", {}).items()
    }


UNITS = {
    "_deg": "degrees", "_mm": "mm", "_nm": "nm", "_px": "p", "_kev": "keV", "_mrad": "mrad", "_A2": "angstrom",
    "bytes": "bytes", "gain": "detector units", "pedestal": "detector units", "saturation": "detector units",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["tilt", "rotation"])
def test_every_field_of_a_manifest_has_a_description_and_its_unit(kind: str) -> None:
    described = fields(json.loads(run("schema", "--manifest", kind)[0]))
    assert len(described) > 20
    assert [name for name, text in described.items() if len(text) < 10] == []
    unit_missing = [
        name
        for name, text in described.items()
        for suffix, unit in UNITS.items()
        if name.endswith(suffix) and unit not in text
    ]
    assert unit_missing == []


def test_the_schema_of_a_manifest_that_there_is_not_is_refused() -> None:
    for argv in (["--manifest", "stills"], ["--manifest", "tilt", "--simulation"]):
        found = CliRunner().invoke(app, ["schema", *argv])
        assert isinstance(found.exception, SettingsError)


def test_the_page_has_a_line_for_every_field() -> None:
    """Names as the page writes them: `beam.energy_kev`, or the last part in a list of its block."""
    page = PAGE.read_text()
    for model in (TiltSeriesManifest, RotationSeriesManifest):
        names = {name.partition(".")[2] for name in fields(model.model_json_schema())}
        assert sorted(name for name in names if not re.search(rf"[`.\"]{re.escape(name)}[`\"]", page)) == []
