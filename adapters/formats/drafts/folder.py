"""What lies in a folder: series of frames or scans, and the files that state something of them."""

import glob
import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from adapters.formats.drafts.sources import SUFFIXES, source_of
from adapters.formats.drafts.statements import StatedFile
from adapters.formats.file_format import Inspection
from tasks.ingest import numbered_frames
from tasks.model import SourceError

DEPTH_MAX = 4
"""Folders below the one that is given, as in ``crystal/SMV/data``. Chosen, not measured: deeper lie other things."""
FILES_MAX = 200_000
"""Looked at in all: ten series as long as a manifest may list. Chosen, not measured: more is a whole archive, which
should not be walked for one draft."""
IMAGE_SUFFIXES = {".tif", ".tiff", ".mrc", ".mrcs", ".st", ".img", ".smv", ".cbf", ".edf"}
"""Frames even where no reader says so from their header."""
BINARY_SUFFIXES = IMAGE_SUFFIXES | {
    *(
        ".mib",
        ".tvips",
        ".ser",
        ".emd",
        ".dm3",
        ".dm4",
        ".hspy",
        ".zspy",
        ".blo",
        ".h5",
        ".hdf5",
        ".nxs",
        ".raw",
        ".xml",
    ),
    *(".tpx3", ".npy"),
}
"""Files that are inspected."""

Inspect = Callable[[Path], Inspection]
SeriesKind = Literal["rotation", "tilt"]


class FoundSeries(NamedTuple):
    """Files that belong together: frames of one rotation, or scans of one tilt series."""

    kind: SeriesKind
    pattern: str
    """Glob in the folder; of a stack the file's name."""
    paths: tuple[Path, ...]
    numbers: tuple[int, ...]
    frames: int
    """Images in all, as far as headers tell."""
    inspection: Inspection
    """Of the first file."""

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.paths[0].parent


def find_series(root: Path, inspect: Inspect, kind: SeriesKind | None = None) -> list[FoundSeries]:
    """Return the series in a folder and below it, by their names.

    Parameters
    ----------
    kind
        What all of them are, if a person says so: a stack of frames may be a rotation, or one scan of a tilt series.

    Raises
    ------
    SourceError
        If the folder holds more files than one should walk through.
    """
    groups: dict[tuple[Path, str, str], list[Path]] = {}
    for path in walk(root):
        if path.suffix.lower() in BINARY_SUFFIXES and not re.search(r"_data_\d+\.(h5|hdf5|nxs)$", path.name.lower()):
            groups.setdefault((path.parent, re.sub(r"\d+", "#", path.stem), path.suffix), []).append(path)
    found = []
    for group in groups.values():
        found += _series_of(root, sorted(group), inspect, kind)
    return sorted(found, key=lambda one: one.pattern)


def find_sources(root: Path) -> tuple[list[StatedFile], list[str]]:
    """Return what the logs and input files in a folder and below it state, and what is wrong with unreadable ones."""
    found: list[StatedFile] = []
    remarks = []
    for path in sorted(walk(root)):
        source = source_of(path) if path.suffix.lower() in SUFFIXES else None
        if source is None:
            continue
        try:
            found += source.read(path)
        except SourceError as error:
            remarks.append(f"{path.relative_to(root).as_posix()}: {error.message}; not taken")
    return found, remarks


def walk(root: Path) -> Iterator[Path]:
    """Yield the files in a folder and below it; no link that leads out of it, and nothing hidden.

    Raises
    ------
    SourceError
        If there are more than should be walked through.
    """
    count = 0
    resolved = root.resolve()
    for folder, names, files in os.walk(root):
        here = Path(folder)
        deep = len(here.relative_to(root).parts) >= DEPTH_MAX
        names[:] = [] if deep else sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            path = here / name
            count += 1
            if count > FILES_MAX:
                raise SourceError(f"{root}: more than {FILES_MAX} files", "give the folder of one series")
            if not name.startswith(".") and (not path.is_symlink() or _inside(path, resolved)) and path.is_file():
                yield path


def _inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # RuntimeError: what Python 3.11 makes of a link to itself
        return False


def _series_of(root: Path, paths: list[Path], inspect: Inspect, said: SeriesKind | None) -> list[FoundSeries]:
    """Return the series that files of one kind of name make: one together, or one each if they are stacks."""
    inspection = _inspected(paths[0], inspect)
    kind: SeriesKind
    if said is not None and inspection.kind in {"scan", "frames"}:
        kind = said
    elif inspection.kind == "scan":
        kind = "tilt"
    elif inspection.kind == "frames" or (inspection.kind == "unknown" and paths[0].suffix.lower() in IMAGE_SUFFIXES):
        kind = "rotation"
    else:
        return []
    if kind == "rotation" and (len(inspection.shape) == 4 or (len(inspection.shape) == 3 and inspection.shape[0] > 1)):
        return [_stack(root, path, inspection if path == paths[0] else _inspected(path, inspect)) for path in paths]
    if kind == "rotation" and len(paths) == 1:
        return []
    return [
        FoundSeries(
            kind,
            pattern,
            members,
            numbers,
            len(members),
            inspection if members[0] == paths[0] else _inspected(members[0], inspect),
        )
        for pattern, members, numbers in _numbered(root, paths)
    ]


def _stack(root: Path, path: Path, inspection: Inspection) -> FoundSeries:
    count = math.prod(inspection.shape[:-2])
    pattern = glob.escape(path.relative_to(root).as_posix())
    return FoundSeries("rotation", pattern, (path,), (), count, inspection)


def _inspected(path: Path, inspect: Inspect) -> Inspection:
    """Return what a file is; a damaged one is unknown, as running on it says what is wrong."""
    try:
        return inspect(path)
    except SourceError:
        return Inspection(file=path.name, format="unknown", kind="unknown")


def _numbered(root: Path, paths: list[Path]) -> list[tuple[str, tuple[Path, ...], tuple[int, ...]]]:
    """Return patterns with their files and numbers; files whose last numbers repeat are several series."""
    pattern = _pattern(root, paths)
    if len(paths) == 1:
        return [(pattern, tuple(paths), ())]
    try:
        found = numbered_frames(root, pattern)
    except SourceError:
        found = []
    if {path for _, path in found} == set(paths):
        return [(pattern, tuple(path for _, path in found), tuple(number for number, _ in found))]
    parts: dict[str, list[Path]] = {}
    for path in paths:
        parts.setdefault(re.sub(r"\d+(?=\D*$)", "#", path.stem), []).append(path)
    if len(parts) <= 1 or len(parts) == len(paths):
        return []
    return [one for part in parts.values() for one in _numbered(root, part)]


def _pattern(root: Path, paths: list[Path]) -> str:
    """Return a glob that matches these files: all of their kind in the folder, or by what their names share."""
    folder, suffix = paths[0].parent, paths[0].suffix
    inner = folder.relative_to(root).as_posix()
    prefix = "" if inner == "." else glob.escape(inner) + "/"
    if len(paths) == 1:
        return prefix + glob.escape(paths[0].name)
    alike = [path for path in folder.iterdir() if path.suffix == suffix]
    if len(alike) == len(paths):
        return f"{prefix}*{suffix}"
    pieces = [re.split(r"(\d+)", path.stem) for path in paths]
    columns = list(zip(*pieces, strict=True))
    stem = "".join(glob.escape(column[0]) if len(set(column)) == 1 else "*" for column in columns)
    return f"{prefix}{stem}{suffix}"
