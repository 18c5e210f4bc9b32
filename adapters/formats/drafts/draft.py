"""The draft of a manifest: every field that the files of a folder state, with its origin; null for what they do not."""

import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from adapters.formats.drafts.agreement import FieldChoice, NamedStatement, choose, shown
from adapters.formats.drafts.calibration import camera_lengths, started, turned_alike
from adapters.formats.drafts.fields import (
    NULLABLE,
    OPTIONAL_FIELDS,
    ROTATION_FIELDS,
    TILT_FIELDS,
    put,
    take_out_impossible,
)
from adapters.formats.drafts.folder import FoundSeries
from adapters.formats.drafts.statements import FRAME_COUNT, SCALE, StatedFile
from tasks.ingest import RotationSeriesManifest, TiltSeriesManifest


class ManifestDraft(NamedTuple):
    """A manifest in the making, and what a person has to know of it."""

    manifest: dict[str, Any]
    origins: tuple[tuple[str, str, str], ...]
    """Field, value, and where it is from."""
    contradictions: tuple[str, ...]
    remarks: tuple[str, ...]
    """What files say that is no field, or cannot be taken."""
    open_fields: tuple[tuple[str, str], ...]
    """Required fields that are null, each with what it means."""
    null_fields: tuple[tuple[str, str], ...]
    """Fields that may stay null, each with what null means."""


def draft_manifest(root: Path, series: FoundSeries, files: list[StatedFile]) -> ManifestDraft:
    """Return the draft for a series from what files state; the header of its first frame is one of the files."""
    remarks: list[str] = []
    used = []
    for stated in files:
        name = _name(root, stated.path)
        if not _speaks_of(stated, series):
            spoken = ", ".join(stated.frame_names[:2])
            remarks.append(f"{name}: speaks of other files ({spoken})")
            continue
        used.append(stated)
    used = turned_alike(used)
    for stated in used:
        told = (*stated.remarks, *(stated.of_rotation if series.kind == "rotation" else ()))
        remarks += [f"{_name(root, stated.path)}, {remark}" for remark in told]
    fields = (ROTATION_FIELDS if series.kind == "rotation" else TILT_FIELDS) + OPTIONAL_FIELDS
    choices, contradictions = _choices(root, series, used, fields, remarks)
    contradictions += _counted(root, series, used)
    manifest = _skeleton(series)
    for field in fields:
        if choices[field].value is not None or field not in OPTIONAL_FIELDS:
            put(manifest, field, _as_written(field, choices[field].value))
    if series.kind == "rotation":
        manifest["files"] = series.pattern
    else:
        scans, tilted, said = _scans(root, series, used)
        manifest["scans"] = scans
        contradictions += said
        remarks += tilted
    model = RotationSeriesManifest if series.kind == "rotation" else TiltSeriesManifest
    contradictions += take_out_impossible(model, manifest, choices)
    origins = [(field, shown(choice.value), _origin(choice)) for field, choice in choices.items() if choice.origins]
    empty = [field for field in fields if choices[field].value is None and field not in OPTIONAL_FIELDS]
    empty += ["scans.tilt_deg"] if any(scan["tilt_deg"] is None for scan in manifest.get("scans", [])) else []
    return ManifestDraft(
        manifest,
        tuple(origins),
        tuple(contradictions),
        tuple(dict.fromkeys(remarks)),
        tuple((field, described(model, field)) for field in empty if field not in NULLABLE),
        tuple((field, described(model, field)) for field in empty if field in NULLABLE),
    )


def _choices(
    root: Path, series: FoundSeries, used: list[StatedFile], fields: tuple[str, ...], remarks: list[str]
) -> tuple[dict[str, FieldChoice], list[str]]:
    """Return what is known of each field, and the contradictions; `remarks` grows by what is not of these files."""
    suffix = series.paths[0].suffix.lower()
    choices: dict[str, FieldChoice] = {}
    contradictions: list[str] = []
    for field in fields:
        named = []
        for stated in used:
            for statement in stated.statements:
                if statement.field != field:
                    continue
                if statement.images and suffix not in statement.images:
                    remarks.append(
                        f"{_name(root, stated.path)}, {statement.place}: not of {suffix} images, which may be flipped; "
                        f"{field} is left open"
                    )
                    continue
                named.append(NamedStatement(statement, _name(root, stated.path)))
        if field == "oscillation.start_deg":
            named = started(named, used, root, series.numbers[0] if series.numbers else None)
        if field == "detector.camera_length_mm":
            named += camera_lengths(root, used, choices)
        choices[field] = choose(field, named)
        contradictions += choices[field].contradictions
    if SCALE in {one.field for stated in used for one in stated.statements}:
        missing = [field for field in ("beam.energy_kev", "detector.pixel_size_mm") if choices[field].value is None]
        if missing:
            remarks.append(
                f"a scale in reciprocal angstrom is stated; with {' and '.join(missing)} it gives the camera length"
            )
    return choices, contradictions


def _counted(root: Path, series: FoundSeries, used: list[StatedFile]) -> list[str]:
    """Return the files whose number of frames is not that of the series, nor that of its numbers."""
    span = series.numbers[-1] - series.numbers[0] + 1 if series.numbers else series.frames
    what = "frames" if series.kind == "rotation" else "scans"
    return [
        f"{what}: {series.frames} by the files {series.pattern}, {statement.value} by {_name(root, stated.path)}, "
        f"{statement.place}: {abs(int(statement.value) - series.frames)} apart"
        for stated in used
        for statement in stated.statements
        if statement.field == FRAME_COUNT
        and isinstance(statement.value, int)
        and statement.value not in {series.frames, span}
    ]


def _speaks_of(stated: StatedFile, series: FoundSeries) -> bool:
    """Tell whether a file names no frames, or frames of this series."""
    if not stated.frame_names:
        return True
    names = {path.name for path in series.paths}
    if series.kind == "tilt" and {Path(name).stem for name in stated.frame_names} & {Path(name).stem for name in names}:
        return True
    plain = {name for name in stated.frame_names if not set(name) & set("?#*[")}
    if plain & names:
        return True
    patterns = [name.replace("[", "[[]").replace("#", "?") for name in stated.frame_names if name not in plain]
    patterns += [pattern.replace("??????", "master") for pattern in patterns]  # XDS's name of an HDF5 master
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns for name in names)


def _scans(
    root: Path, series: FoundSeries, used: list[StatedFile]
) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    """Return the listed scans, remarks, and contradictions: a tilt is taken from what names the scan's own file."""
    scans, contradictions, origins = [], [], set()
    for path in series.paths:
        stated = {
            (tilt.tilt_deg, f"{_name(root, one.path)}, {tilt.place}")
            for one in used
            for tilt in one.tilts
            if abs(tilt.tilt_deg) <= 180 and tilt.file and (tilt.file == path.name or Path(tilt.file).stem == path.stem)
        }
        angles = sorted({angle for angle, _ in stated})
        tilt = angles[0] if len(angles) == 1 else None
        if len(angles) > 1:
            told = ", ".join(f"{angle:g} by {origin}" for angle, origin in sorted(stated))
            contradictions.append(f"scans, {path.name}, tilt_deg: {told}: {angles[-1] - angles[0]:.4g} degrees apart")
        origins |= {origin.partition(",")[0] for _, origin in stated} if tilt is not None else set()
        name = path.relative_to(root).as_posix()
        scans.append({"file": name, "tilt_deg": tilt, "bytes": path.stat().st_size})
    known = sum(scan["tilt_deg"] is not None for scan in scans)
    remarks = [
        f"scans: {known} of {len(scans)} tilts are stated" + (f", by {', '.join(sorted(origins))}" if origins else "")
    ]
    return scans, remarks, contradictions


def _skeleton(series: FoundSeries) -> dict[str, Any]:
    kind = "rotation series" if series.kind == "rotation" else "4D-STEM tilt series"
    return {"format": kind, "version": 1}


def _as_written(field: str, value: object) -> object:
    """Return a value as JSON holds it: shapes are whole numbers, rectangles lists of four."""
    if not isinstance(value, tuple):
        return value
    if field == "detector.bad_rectangles_px":
        whole = [int(part) for part in value]
        return [whole[at : at + 4] for at in range(0, len(whole), 4)]
    return [int(part) if field in {"detector.shape_px", "scan.shape"} else part for part in value]


def _origin(choice: FieldChoice) -> str:
    best, *others = choice.origins
    files = list(dict.fromkeys(other.file for other in others if other.file != best.file))
    return best.origin + (f"; so says {', '.join(files)}" if files else "")


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def described(model: type[BaseModel], field: str) -> str:
    """Return the description of a field of a manifest."""
    text = ""
    found: Any = model
    for part in field.split("."):
        inner = found.model_fields[part]
        text = inner.description or text
        found = _model_in(inner.annotation)
    return text


def _model_in(annotation: Any) -> Any:
    """Return the model of an annotation, or of its members: ``tuple[ScanFile, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in getattr(annotation, "__args__", ()) if (found := _model_in(part)) is not None), None)
