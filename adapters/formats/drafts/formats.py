"""`apertura inspect` of manifests, their drafts, and the logs and input files that a draft is made of."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import JsonValue, ValidationError

from adapters.formats.drafts.fields import NULLABLE, ROTATION_FIELDS, TILT_FIELDS
from adapters.formats.drafts.manifest_file import MODELS, manifest_content
from adapters.formats.drafts.sources import MANIFEST, SOURCES, GeometrySource
from adapters.formats.drafts.statements import StatedFile
from adapters.formats.file_format import FileFormat, Inspection

LACKS_MAX = 30
"""Missing fields listed of one manifest: it has as many, and one line for each of 20000 scans is no screen."""


def describe_manifest(path: Path) -> Inspection:
    """Return what a manifest states, and the fields that are missing, null or wrong.

    Raises
    ------
    SourceError
        If it is no JSON object.
    """
    content = manifest_content(path)
    kind = content.get("format")
    named = "rotation series" if path.name.startswith("rotation") else "4D-STEM tilt series"
    known = kind if isinstance(kind, str) and kind in MODELS else named
    lacks: tuple[str, ...] = ()
    try:
        MODELS[known].model_validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        lacks = tuple(dict.fromkeys(_problem(problem) for problem in error.errors(include_url=False)))[:LACKS_MAX]
    return Inspection(
        file=path.name, format=f"{known} manifest", kind="manifest", metadata=_metadata(content), lacks=lacks
    )


def _problem(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"] if not isinstance(part, int)) or "manifest"
    if problem["input"] is None or problem["type"] == "missing":
        return place
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}"


def _metadata(content: dict[str, Any]) -> dict[str, JsonValue]:
    """Return the values of a manifest by the last part of their names; of lists of objects their length."""
    found: dict[str, JsonValue] = {}
    for key, value in content.items():
        if key in {"format", "version", "notes"} or value is None:
            continue
        if isinstance(value, dict):
            found |= {name: one for name, one in value.items() if one is not None and not isinstance(one, dict)}
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            found[key] = len(value)
        else:
            found[key] = value
    return found


def _describe(source: GeometrySource, fields: tuple[str, ...]) -> Callable[[Path], Inspection]:
    def describe(path: Path) -> Inspection:
        stated = source.read(path)
        first = stated[0] if stated else StatedFile(path, source.name, ())
        metadata: dict[str, JsonValue] = {}
        for statement in first.statements:
            value = statement.value
            metadata[statement.field.rpartition(".")[2]] = list(value) if isinstance(value, tuple) else value
        if first.tilts:
            metadata["tilts"] = len(first.tilts)
        if first.remarks:
            metadata["remarks"] = list(first.remarks)
        named = {statement.field for statement in first.statements}
        lacks = tuple(field for field in fields if field not in named | NULLABLE)
        return Inspection(file=path.name, format=source.name, kind="manifest", metadata=metadata, lacks=lacks)

    return describe


MANIFEST_FORMATS: tuple[FileFormat, ...] = (
    FileFormat(MANIFEST.name, MANIFEST.recognises, describe_manifest),
    *(
        FileFormat(
            source.name,
            source.recognises,
            _describe(source, TILT_FIELDS if source.name in {"SerialEM mdoc", "table of tilts"} else ROTATION_FIELDS),
        )
        for source in SOURCES
        if source is not MANIFEST
    ),
)
