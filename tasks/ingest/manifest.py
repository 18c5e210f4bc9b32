"""Reading the manifest of a source folder, and telling whether the folder is complete."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tasks.ingest.contracts import RotationSeriesManifest, TiltSeriesManifest
from tasks.ingest.files import confined, files_of, mask_file, mask_place, numbered_frames, size_problem
from tasks.model import SourceError

__all__ = [
    "MANIFEST_NAMES",
    "RotationSeriesManifest",
    "TiltSeriesManifest",
    "completeness",
    "listed_files",
    "load_manifest",
]

TILT_SERIES_NAME = "tilt_series.json"
ROTATION_SERIES_NAME = "rotation_series.json"
MANIFEST_NAMES = (TILT_SERIES_NAME, ROTATION_SERIES_NAME)
LARGEST_MANIFEST_BYTES = 16 * 2**20
"""It is read as a whole. 20000 scans, the most allowed, are 1.2 MiB with names as in tasks/ingest/README.md, and 6 MiB
indented and with names of 255 characters (`json.dumps`)."""
PROBLEMS_SHOWN = 20
"""Wrong fields listed, the others counted. Chosen, not measured: a mistake repeated for every scan fills no screen."""


def manifest_path(source: Path) -> Path:
    """Return the one manifest of a source folder.

    Raises
    ------
    SourceError
        If the folder or the manifest is missing, if there are two, or if it is a link out of the folder.
    """
    if not source.is_dir():
        raise SourceError(f"{source}: no such folder", "give the folder that holds the manifest")
    found = [source / name for name in MANIFEST_NAMES if (source / name).is_file()]
    if len(found) != 1:
        what = "neither" if not found else "both"
        advice = "a source has one manifest" + ("" if found else f"; `apertura manifest {source}` drafts it")
        raise SourceError(f"{source}: {what} of {' and '.join(MANIFEST_NAMES)} found", advice)
    confined(source, found[0].name)
    return found[0]


def load_manifest(source: Path) -> TiltSeriesManifest | RotationSeriesManifest:
    """Read and check the manifest of a source folder.

    Raises
    ------
    SourceError
        Naming the file and every wrong field, one line each.
    """
    path = manifest_path(source)
    text = _manifest_text(path)
    model = TiltSeriesManifest if path.name == TILT_SERIES_NAME else RotationSeriesManifest
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        lines = [f"{path}: {problem}" for problem in _problems(error)]
        raise SourceError("\n".join(lines), _advice(model, _open_fields(error))) from None


def completeness(source: Path) -> tuple[str, ...]:
    """Return what a source still lacks, one text per file; empty when it can start.

    A wrong manifest has nothing to wait for, because it is written last: whoever takes it up says what is wrong.
    """
    try:
        manifest = load_manifest(source)
        lacking = _lacking_mask(source, manifest)
        if isinstance(manifest, RotationSeriesManifest):
            numbered_frames(source, manifest.files, manifest.detector.mask)
            return lacking
        if not manifest.complete:
            return (f"{TILT_SERIES_NAME}: the series is still being measured (complete is false)",)
        parts = [part for scan in manifest.scans for part in scan.every_file]
        sizes = [(part.file, size_problem(source, part.file, part.bytes)) for part in parts]
    except SourceError:
        return () if source.is_dir() else (f"{source}: no such folder",)
    return (*(f"{name}: {problem}" for name, problem in sizes if problem is not None), *lacking)


def _lacking_mask(source: Path, manifest: TiltSeriesManifest | RotationSeriesManifest) -> tuple[str, ...]:
    place = mask_place(manifest.detector.mask)
    if place is None or confined(source, place[0]).is_file():
        return ()
    return (f"{place[0]}: the file is absent",)


def listed_files(source: Path) -> tuple[Path, ...]:
    """Return the manifest of a source and every file that it lists, sorted.

    Raises
    ------
    SourceError
        If there is no manifest, it is wrong, the mask is absent, or a file lies outside the folder.
    """
    manifest = load_manifest(source)
    if isinstance(manifest, RotationSeriesManifest):
        frames = [path for _, path in numbered_frames(source, manifest.files, manifest.detector.mask)]
        found = [file for path in frames for file in files_of(path)]
    else:
        found = [confined(source, part.file) for scan in manifest.scans for part in scan.every_file]
    mask = mask_file(source, manifest.detector.mask)
    return manifest_path(source), *sorted({*found, *(() if mask is None else (mask,))})


def _manifest_text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_MANIFEST_BYTES:
            raise SourceError(f"{path}: larger than {LARGEST_MANIFEST_BYTES} bytes", "this is not a manifest")
        text = path.read_bytes().decode("utf-8")
        content = json.loads(text, object_pairs_hook=_unique)
        wrong = _not_finite(content)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}", "check its permissions") from error
    except RecursionError as error:
        raise SourceError(f"{path}: nested too deeply", "this is not a manifest") from error
    except ValueError as error:
        raise SourceError(f"{path}: not valid JSON: {error}", "correct the manifest") from error
    if not isinstance(content, dict):
        raise SourceError(f"{path}: holds no JSON object", "correct the manifest")
    if wrong:
        raise SourceError("\n".join(f"{path}: {problem}" for problem in wrong[:PROBLEMS_SHOWN]), "correct the manifest")
    return text


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, times in Counter(key for key, _ in pairs).items():
        if times > 1:
            raise ValueError(f"field {key[:80]!r} is given {times} times")
    return dict(pairs)


def _not_finite(value: object, place: str = "") -> list[str]:
    """Return the places of NaN and infinity anywhere in a JSON value."""
    if isinstance(value, float):
        return [] if math.isfinite(value) else [f"{place.lstrip('.')}: {value} is not a number that can be used"]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    shown = "[{}]" if isinstance(value, list) else ".{}"
    return [found for key, item in items for found in _not_finite(item, place + shown.format(key))]


def _open_fields(error: ValidationError) -> list[str]:
    """Return the required fields that are null, as a draft leaves them."""
    return [_place(problem["loc"]) for problem in error.errors(include_url=False) if problem["input"] is None]


def _advice(model: type[TiltSeriesManifest | RotationSeriesManifest], unfilled: list[str]) -> str:
    """Say what to do about a wrong manifest, in words that hold wherever apertura is installed."""
    kind = "tilt" if model is TiltSeriesManifest else "rotation"
    where = f"`apertura schema --manifest {kind}` prints what each field means and its unit"
    if not unfilled:
        return f"correct the manifest: {where}"
    more = len(unfilled) - PROBLEMS_SHOWN
    listed = ", ".join(unfilled[:PROBLEMS_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"the draft leaves open: {listed}. Fill them in: {where}"


def _place(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".") or "manifest"


def _problems(error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors(include_url=False):
        message = {"missing": "required field is missing", "extra_forbidden": "unknown field"}.get(
            problem["type"], problem["msg"].removeprefix("Value error, ")
        )
        if problem["input"] is None:
            message = "null: a value is required"
        scalar = isinstance(problem["input"], str | int | float | bool)
        got = f" (got {json.dumps(problem['input'])[:80]})" if scalar and problem["type"] != "extra_forbidden" else ""
        lines.append(f"{_place(problem['loc'])}: {message}{got}")
    more = len(lines) - PROBLEMS_SHOWN
    return lines if more <= 0 else [*lines[:PROBLEMS_SHOWN], f"and {more} problems more"]
