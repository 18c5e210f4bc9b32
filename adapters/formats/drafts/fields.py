"""The fields of the two manifests that a draft fills, and what no manifest may hold."""

import copy
import json
from typing import Any

from pydantic import ValidationError

from adapters.formats.drafts.agreement import FieldChoice, shown
from tasks.ingest import RotationSeriesManifest, TiltSeriesManifest

ROTATION_FIELDS = (
    *("sample", "composition", "beam.energy_kev", "detector.name", "detector.shape_px", "detector.pixel_size_mm"),
    *("detector.camera_length_mm", "detector.direct_beam_px", "detector.gain", "detector.pedestal"),
    *("detector.saturation", "rotation_axis", "oscillation.start_deg", "oscillation.width_deg"),
)
"""In the order of a manifest."""
TILT_FIELDS = (
    *("sample", "composition", "beam.energy_kev", "detector.name", "detector.shape_px", "detector.pixel_size_mm"),
    *("detector.camera_length_mm", "detector.direct_beam_px", "scan.shape", "scan.step_nm", "scan.flyback_columns"),
    *("scan.rotation_deg", "tilt_axis"),
)
OPTIONAL_FIELDS = ("beam.convergence_mrad", "detector.bad_rectangles_px")
"""Written only where a file states them."""
NULLABLE = {"composition", "detector.direct_beam_px", "detector.saturation"}
"""Fields that a complete manifest may leave null."""
STAND_INS: dict[str, object] = {
    "sample": "x",
    "beam.energy_kev": 200.0,
    "detector.name": "x",
    "detector.shape_px": [65536, 65536],
    "detector.pixel_size_mm": 0.05,
    "detector.camera_length_mm": 500.0,
    "detector.gain": 1.0,
    "detector.pedestal": 0.0,
    "rotation_axis": [1.0, 0.0, 0.0],
    "oscillation.start_deg": 0.0,
    "oscillation.width_deg": 1.0,
    "scan.shape": [1, 1],
    "scan.step_nm": 1.0,
    "scan.flyback_columns": 0,
    "scan.rotation_deg": 0.0,
    "tilt_axis": [1.0, 0.0, 0.0],
}
"""Possible values for what is open, with which what is stated can be checked; they go into no draft."""


def take_out_impossible(
    model: type[RotationSeriesManifest | TiltSeriesManifest], manifest: dict[str, Any], choices: dict[str, FieldChoice]
) -> list[str]:
    """Take out the values that no manifest may hold, and return what is wrong with them."""
    told: list[str] = []
    while blamed := _blamed(model, manifest, choices):
        for field, said in blamed.items():
            told.append(f"{field}: {shown(choices[field].value)} in {choices[field].origins[0].origin}: {said}")
            choices[field] = FieldChoice(None, ())
            _take_out(manifest, field)
    return told


def _blamed(
    model: type[RotationSeriesManifest | TiltSeriesManifest], manifest: dict[str, Any], choices: dict[str, FieldChoice]
) -> dict[str, str]:
    """Return the fields whose values are refused, each with the reason."""
    try:
        model.model_validate_json(json.dumps(filled(manifest)), strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False)
    else:
        return {}
    found: dict[str, str] = {}
    for problem in problems:
        place = ".".join(part for part in problem["loc"] if isinstance(part, str))
        stated = [field for field in choices if place in {field, field.partition(".")[0]} and choices[field].origins]
        said = problem["msg"].removeprefix("Value error, ")
        named = [field for field in stated if field == place or field.rpartition(".")[2] in said]
        found |= dict.fromkeys(named or stated, said)
    return found


def _take_out(manifest: dict[str, Any], field: str) -> None:
    """Leave a field open, or out if it may be absent."""
    if field in OPTIONAL_FIELDS:
        block, _, last = field.rpartition(".")
        manifest.get(block, manifest).pop(last, None)
    else:
        put(manifest, field, None)


def filled(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a copy in which nothing is open."""
    whole = copy.deepcopy(manifest)
    for field, value in STAND_INS.items():
        block, _, last = field.rpartition(".")
        place = whole.get(block, {}) if block else whole
        if last in place and place[last] is None:
            place[last] = value
    for number, scan in enumerate(whole.get("scans", [])):
        scan["repeat"] = number
        scan["tilt_deg"] = 0.0 if scan["tilt_deg"] is None else scan["tilt_deg"]
    return whole


def put(manifest: dict[str, Any], field: str, value: object) -> None:
    """Set a field of a manifest by its dotted name."""
    *parents, last = field.split(".")
    place = manifest
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
