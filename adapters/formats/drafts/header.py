"""What the header of a frame or scan states, from what `inspect` says of it."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from adapters.formats.drafts.statements import (
    ListedTilt,
    StatedFile,
    FieldStatement,
    Value,
    beam_statements,
    stated_number,
)
from adapters.formats.file_format import Inspection
from tasks.model import SourceError

FIELDS = {
    "energy_kev": "beam.energy_kev",
    "convergence_mrad": "beam.convergence_mrad",
    "pixel_size_mm": "detector.pixel_size_mm",
    "camera_length_mm": "detector.camera_length_mm",
    "direct_beam_px": "detector.direct_beam_px",
    "gain": "detector.gain",
    "pedestal": "detector.pedestal",
    "saturation": "detector.saturation",
    "rotation_axis": "rotation_axis",
    "start_deg": "oscillation.start_deg",
    "width_deg": "oscillation.width_deg",
    "step_nm": "scan.step_nm",
    "rotation_deg": "scan.rotation_deg",
    "flyback_columns": "scan.flyback_columns",
    "tilt_axis": "tilt_axis",
}
"""Fields of a manifest by the last part of their name, as readers say them."""
TEXTS = {"sample": "sample", "detector_name": "detector.name", "name": "detector.name"}
TILT = "tilt_deg"
PLACE = "header"


def read_header(path: Path, inspection: Inspection, number: int | None) -> StatedFile:
    """Return what a header states; `number` is the frame's, at whose beginning the rotation starts."""
    statements: list[FieldStatement] = []
    remarks: list[str] = []
    said = _flat(inspection.metadata)
    for name, field in FIELDS.items():
        value = said.get(name, said.get(field))
        rounded = _number(value) if not isinstance(value, list | tuple) else _numbers(value)
        if rounded is None:
            continue
        frame = number if name == "start_deg" else None
        statements.append(FieldStatement(field, rounded[0], f"{PLACE}, {name}", rounded[1], of_frame=frame))
    wavelength = _number(said.get("wavelength_angstrom"))
    if wavelength is not None and "energy_kev" not in said and isinstance(wavelength[0], int | float):
        beam, remarks = beam_statements((wavelength[0], wavelength[1]), f"{PLACE}, wavelength_angstrom")
        statements += beam
    for name, field in TEXTS.items():
        value = said.get(field, said.get(name))
        if (
            isinstance(value, str)
            and 0 < len(value.strip()) <= 200
            and not any(one.field == field for one in statements)
        ):
            statements.append(FieldStatement(field, value.strip(), f"{PLACE}, {name}"))
    shape = inspection.shape
    if len(shape) >= 2 and inspection.kind in {"frames", "scan"}:
        statements.append(FieldStatement("detector.shape_px", (shape[-2], shape[-1]), f"{PLACE}, shape"))
    if len(shape) == 4 and inspection.kind == "scan":
        statements.append(FieldStatement("scan.shape", (shape[0], shape[1]), f"{PLACE}, shape"))
    return StatedFile(path, inspection.format, tuple(statements), tuple(remarks))


def tilt_of_header(path: Path, inspect: Callable[[Path], Inspection]) -> StatedFile | None:
    """Return the stage tilt that the header of a scan states; None if it states none, or cannot be read."""
    try:
        inspection = inspect(path)
    except SourceError:
        return None
    found = _number(_flat(inspection.metadata).get(TILT))
    if found is None or not isinstance(found[0], int | float):
        return None
    listed = ListedTilt(path.name, float(found[0]), f"{PLACE}, {TILT}")
    return StatedFile(path, inspection.format, (), (), (path.name,), (listed,))


def _flat(metadata: Mapping[str, object]) -> dict[str, object]:
    """Return the entries by the last part of their name: ``detector: {gain}`` and ``detector.gain`` are both gain."""
    found: dict[str, object] = {}
    for name, value in metadata.items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": one for key, one in value.items()} | dict(value)
        else:
            found[name] = value
            found.setdefault(name.rpartition(".")[2], value)
    return found


def _number(value: object) -> tuple[Value, float] | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return (value, 0.5) if isinstance(value, int) else stated_number(value)


def _numbers(values: list[object] | tuple[object, ...]) -> tuple[Value, float] | None:
    parts = [_number(value) for value in values]
    if not 2 <= len(parts) <= 3:
        return None
    known = [part for part in parts if part is not None and isinstance(part[0], int | float)]
    if len(known) < len(parts):
        return None
    return tuple(float(value) for value, _ in known if not isinstance(value, str | tuple)), max(
        half for _, half in known
    )
