"""`apertura manifest`: the draft of a manifest from what the files of a folder state."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import cast, get_args

from adapters.formats.drafts.draft import ManifestDraft, draft_manifest
from adapters.formats.drafts.folder import FoundSeries, SeriesKind, find_series, find_sources
from adapters.formats.drafts.header import read_header, tilt_of_header
from adapters.formats.drafts.statements import StatedFile
from adapters.formats.inspect_file import inspect_file
from tasks.ingest import MANIFEST_NAMES
from tasks.model import SettingsError, SourceError

SERIES_SHOWN = 20
"""Candidates listed, the others counted. Chosen, not measured: more fill a screen."""


def draft_of(folder: Path, *, files: str | None = None, kind: str | None = None) -> tuple[FoundSeries, ManifestDraft]:
    """Return the series in a folder and the draft of its manifest.

    Parameters
    ----------
    files
        Glob in the folder that chooses one of several series.
    kind
        ``tilt`` or ``rotation``, where the files do not tell it.

    Raises
    ------
    SourceError
        If there is no such folder, or no series in it.
    SettingsError
        If there are several and none is chosen, the choice fits none, or there is no such kind.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder", "give the folder that holds the frames or scans")
    if kind is not None and kind not in get_args(SeriesKind):
        raise SettingsError(f"--kind {kind!r}: must be tilt or rotation", "leave it out where the files tell it")
    found = find_series(folder, inspect_file, cast("SeriesKind | None", kind))
    if not found:
        raise SourceError(
            f"{folder}: no series of frames or scans in it",
            "give the folder that holds the image files; `apertura inspect FILE` tells what a file is",
        )
    series = _chosen(folder, found, files, kind)
    stated, unreadable = find_sources(folder)
    nearest = [one for one in stated if _belongs(one.path, series, found)]
    draft = draft_manifest(folder, series, [*_headers(series), *nearest])
    return series, draft._replace(remarks=(*draft.remarks, *unreadable))


def write_draft(draft: ManifestDraft, out: Path) -> None:
    """Write a draft to a new file.

    Raises
    ------
    SettingsError
        If the file is there, or is named as a complete manifest while fields are open.
    """
    if out.name in MANIFEST_NAMES and draft.open_fields:
        fields = ", ".join(field for field, _ in draft.open_fields)
        raise SettingsError(
            f"{out}: a file of this name is a complete manifest, and the draft leaves open: {fields}",
            f"write {out.stem}.draft.json, fill them in, and rename it",
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("x", encoding="utf-8") as stream:
            stream.write(manifest_text(draft) + "\n")
    except FileExistsError:
        raise SettingsError(f"{out}: is there already", "name a new file: nothing is overwritten") from None
    except OSError as error:
        raise SettingsError(
            f"{out}: cannot be written: {error.strerror}", "name a file in a folder of yours"
        ) from error


def manifest_text(draft: ManifestDraft) -> str:
    """Return a draft as JSON, with the lists of numbers on one line each."""
    return "{\n" + ",\n".join(f" {json.dumps(key)}: {_inline(value)}" for key, value in draft.manifest.items()) + "\n}"


def told(folder: Path, series: FoundSeries, draft: ManifestDraft) -> str:
    """Return what a person has to know of a draft: origins, contradictions, what was not taken, what is open."""
    span = f", numbers {series.numbers[0]} to {series.numbers[-1]}" if series.numbers else ""
    what = "frames" if series.kind == "rotation" else "scans"
    width = max((len(field) for field, _, _ in draft.origins), default=0)
    lines = [f"{folder}: {series.frames} {what}: {series.pattern}{span}"]
    lines += _block("stated", [f"{field:{width}}  {value}   {origin}" for field, value, origin in draft.origins])
    lines += _block("CONTRADICTIONS (the field is left open)", list(draft.contradictions))
    lines += _block("said, but not taken", list(draft.remarks))
    lines += _block("LEFT OPEN: fill these in", [f"{field}: {meaning}" for field, meaning in draft.open_fields])
    lines += _block("may stay null", [f"{field}: {meaning}" for field, meaning in draft.null_fields])
    if not draft.open_fields:
        lines.append("complete: check it, then put it beside the data")
    return "\n".join(_on_a_terminal(line) for line in lines)


def _on_a_terminal(text: str) -> str:
    """Return a line without control characters and broken names, which logs and folders may hold."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _block(title: str, lines: list[str]) -> list[str]:
    return [f"{title}:", *(f"  {line}" for line in lines)] if lines else []


def _inline(value: object) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n  " + ",\n  ".join(json.dumps(one) for one in value) + "\n ]"
    return json.dumps(value)


def _chosen(folder: Path, found: list[FoundSeries], files: str | None, kind: str | None) -> FoundSeries:
    if files is None and len(found) == 1:
        return found[0]
    fitting, matched = found, set[Path]()
    if files is not None:
        try:
            matched = set(folder.glob(files))
        except (ValueError, NotImplementedError) as error:
            raise SettingsError(f"--files {files!r}: not a pattern in the folder: {error}", "") from error
        fitting = [one for one in found if one.pattern == files or matched.intersection(one.paths)]
    if len(fitting) == 1:
        return fitting[0]
    if files is not None and kind == "tilt" and fitting:
        paths = tuple(sorted(path for one in fitting for path in one.paths if path in matched))
        return FoundSeries("tilt", files, paths, (), len(paths), fitting[0].inspection)
    listed = [
        _on_a_terminal(f"  {one.pattern}: {one.frames} {one.inspection.format} {one.kind}") for one in fitting or found
    ]
    more = [f"  and {len(listed) - SERIES_SHOWN} more"] if len(listed) > SERIES_SHOWN else []
    said = "none of its series fits --files" if not fitting else f"{len(fitting)} series"
    raise SettingsError(
        "\n".join([f"{folder}: {said}:", *listed[:SERIES_SHOWN], *more]),
        f"choose one by --files '{_on_a_terminal((fitting or found)[0].pattern)}', or give its own folder; stacks that "
        "are scans of one tilt series: --kind tilt",
    )


def _belongs(path: Path, series: FoundSeries, found: list[FoundSeries]) -> bool:
    """Tell whether no other series lies nearer to a log: shares more of the folders above it."""

    def shared(one: FoundSeries) -> int:
        return len(Path(os.path.commonpath([path.parent, one.folder])).parts)

    return shared(series) == max(shared(one) for one in found)


def _headers(series: FoundSeries) -> list[StatedFile]:
    """Return what headers state: of the first and last frame, or of the first scan and the tilts of all."""
    first, last = series.paths[0], series.paths[-1]
    if series.kind == "tilt":
        tilts = (tilt_of_header(path, inspect_file) for path in series.paths)
        return [read_header(first, series.inspection, None), *(one for one in tilts if one is not None)]
    if not series.numbers:
        return [read_header(first, series.inspection, None)]
    found = [read_header(first, series.inspection, series.numbers[0])]
    with suppress(SourceError):  # a damaged last frame costs only that frame
        found.append(read_header(last, inspect_file(last), series.numbers[-1]))
    return found
