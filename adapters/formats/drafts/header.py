"""What the header of a frame or scan states, from what `inspect` says of it."""

from collections.abc import Callable, Mapping
from pathlib import Path

from adapters.formats.drafts.statements import (
    FieldStatement,
    ListedTilt,
    StatedFile,
    Value,
    beam_statements,
    possible,
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
TEXTS = {
    "sample": "sample",
    "detector": "detector.name",
    "detector_name": "detector.name",
    "detector.name": "detector.name",
}
TILT = "tilt_deg"
EFFECTIVE = ("SMV", "CBF", "NXmx", "NeXus", "Eiger")
"""Formats whose distance is the effective one; microscopes' own files hold what they show, which is no calibration."""
PLACE = "header"


def read_header(path: Path, inspection: Inspection, number: int | None) -> StatedFile:
    """Return what a header states; `number` is the frame's, at whose beginning the rotation starts."""
    said = _flat(inspection.metadata)
    statements: list[FieldStatement] = []
    remarks: list[str] = []
    for name, field in FIELDS.items():
        value = said.get(name, said.get(field))
        rounded = _numbers(value) if isinstance(value, list | tuple) else _number(value)
        if rounded is None:
            continue
        if name == "camera_length_mm" and not any(word in inspection.format for word in EFFECTIVE):
            remarks.append(f"{PLACE}, {name}: {rounded[0]:g} mm is what the microscope shows, not a calibration")
            continue
        frame = number if name == "start_deg" else None
        statements.append(FieldStatement(field, rounded[0], f"{PLACE}, {name}", rounded[1], of_frame=frame))
    for found, words in (_texts(said), _angle(said, inspection, number), _wavelength(said), _shape(inspection)):
        statements += found
        remarks += words
    return StatedFile(path, inspection.format, tuple(statements), tuple(remarks))


def _texts(said: Mapping[str, object]) -> tuple[list[FieldStatement], list[str]]:
    found = {}
    for name, field in TEXTS.items():
        value = said.get(name)
        if isinstance(value, str) and 0 < len(value.strip()) <= 200:
            found[field] = FieldStatement(field, value.strip(), f"{PLACE}, {name}")
    return list(found.values()), []


def _angle(
    said: Mapping[str, object], inspection: Inspection, number: int | None
) -> tuple[list[FieldStatement], list[str]]:
    """Return where a frame begins that says how far it turned; the angle of another is told."""
    tilt = _number(said.get(TILT))
    if tilt is None or inspection.kind != "frames" or "start_deg" in said:
        return [], []
    if "width_deg" not in said:
        return [], [f"{PLACE}, {TILT}: {tilt[0]:g} degrees; whether the stage turned in the exposure is not said"]
    return [FieldStatement("oscillation.start_deg", tilt[0], f"{PLACE}, {TILT}", tilt[1], of_frame=number)], []


def _wavelength(said: Mapping[str, object]) -> tuple[list[FieldStatement], list[str]]:
    wavelength = _number(said.get("wavelength_angstrom"))
    if wavelength is None or "energy_kev" in said or not isinstance(wavelength[0], int | float):
        return [], []
    return beam_statements((wavelength[0], wavelength[1]), f"{PLACE}, wavelength_angstrom")


def _shape(inspection: Inspection) -> tuple[list[FieldStatement], list[str]]:
    """Return the shape of the frames; that of a scan is told, as it holds the flyback."""
    shape = inspection.shape
    if len(shape) < 2 or inspection.kind not in {"frames", "scan"}:
        return [], []
    pixels = FieldStatement("detector.shape_px", (shape[-2], shape[-1]), f"{PLACE}, shape")
    if len(shape) != 4:
        return [pixels], []
    told = (
        f"{PLACE}, shape: a scan of {shape[0]} x {shape[1]} positions with its flyback, if it has one: scan.shape is "
        f"[{shape[0]}, {shape[1]} - flyback_columns]"
    )
    return [pixels], [told]


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
    if isinstance(value, bool) or not isinstance(value, int | float) or not possible(value):
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
