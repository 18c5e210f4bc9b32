"""Manifests and their drafts, read as one more file that states something: what a person wrote is compared too."""

import json
import math
from pathlib import Path
from typing import Any

from adapters.formats.drafts.statements import (
    FieldStatement,
    ListedTilt,
    StatedFile,
    possible,
    read_text,
    stated_number,
)
from tasks.ingest import MANIFEST_NAMES, RotationSeriesManifest, TiltSeriesManifest
from tasks.model import SourceError

FORMAT = "manifest"
MODELS: dict[str, type[TiltSeriesManifest | RotationSeriesManifest]] = {
    "rotation series": RotationSeriesManifest,
    "4D-STEM tilt series": TiltSeriesManifest,
}
BLOCKS = ("beam", "detector", "scan", "oscillation")
NOT_COMPARED = {"format", "version", "notes", "files", "scans", "complete"}


def is_manifest(path: Path, begin: bytes) -> bool:
    """Tell a manifest, or the draft of one, by its name, or by its first field."""
    if path.name in MANIFEST_NAMES:
        return True
    compact = b"".join(begin[:1000].split())
    return path.suffix.lower() == ".json" and any(
        f'"format":"{kind}"'.replace(" ", "").encode() in compact for kind in MODELS
    )


def manifest_content(path: Path) -> dict[str, Any]:
    """Return the JSON object of a manifest, right or wrong.

    Raises
    ------
    SourceError
        If it is no JSON object of finite numbers.
    """
    try:
        content = json.loads(read_text(path), parse_constant=_refused, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path.name}: not valid JSON: {str(error)[:200]}", "correct the manifest") from error
    if not isinstance(content, dict):
        raise SourceError(f"{path.name}: holds no JSON object", "correct the manifest")
    return content


def read_manifest_file(path: Path) -> StatedFile:
    """Return what a manifest, or the draft of one, states; null states nothing.

    Raises
    ------
    SourceError
        If it is no JSON object of finite numbers.
    """
    content = manifest_content(path)
    statements = []
    for name, value in content.items():
        if name in BLOCKS and isinstance(value, dict):
            statements += [_statement(f"{name}.{key}", one) for key, one in value.items()]
        elif name not in NOT_COMPARED:
            statements.append(_statement(name, value))
    pattern, scans = content.get("files"), content.get("scans")
    names = (pattern.rpartition("/")[2],) if isinstance(pattern, str) else ()
    tilts = tuple(_tilt(scan) for scan in scans if _is_scan(scan)) if isinstance(scans, list) else ()
    return StatedFile(path, FORMAT, tuple(one for one in statements if one is not None), (), names, tilts)


def _is_scan(scan: object) -> bool:
    tilt = scan.get("tilt_deg") if isinstance(scan, dict) else None
    return isinstance(tilt, int | float) and not isinstance(tilt, bool) and possible(tilt)


def _tilt(scan: dict[str, Any]) -> ListedTilt:
    name = scan.get("file")
    return ListedTilt(name.rpartition("/")[2] if isinstance(name, str) else "", float(scan["tilt_deg"]), "scans")


def _statement(field: str, value: object) -> FieldStatement | None:
    """Return a value as a statement; None for what is open, or no value of a field."""
    if isinstance(value, str):
        return FieldStatement(field, value, field)
    listed = value if isinstance(value, list) else [value]
    if field == "detector.bad_rectangles_px":
        listed = [one for part in listed if isinstance(part, list) for one in part]
    parts = [one for one in listed if isinstance(one, int | float) and not isinstance(one, bool) and possible(one)]
    if not parts or len(parts) < len(listed):
        return None
    rounding = max(0.0 if isinstance(one, int) else stated_number(one)[1] for one in parts)
    if not isinstance(value, list):
        return FieldStatement(field, parts[0], field, rounding)
    whole = field in {"detector.shape_px", "scan.shape"}
    return FieldStatement(field, tuple(int(one) if whole else float(one) for one in parts), field, rounding)


def _refused(name: str) -> float:
    raise ValueError(f"{name} is not a number that can be used")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refused(text[:20])
