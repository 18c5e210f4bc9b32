"""Folders, for `apertura inspect`: sources with a manifest, and those without one."""

from collections import Counter
from itertools import islice
from pathlib import Path

from pydantic import JsonValue

from adapters.formats.file_format import FileFormat, Inspection
from tasks.ingest import MANIFEST_NAMES, TiltSeriesManifest, completeness, listed_files, load_manifest
from tasks.model import SourceError

FOLDER_FILES_MOST = 100_000
"""Names of a folder that are counted. Chosen, not measured: the answer is to come in a second."""
SUFFIXES_SHOWN = 8
"""Kinds of files of a folder that are named, the commonest first. Chosen, not measured: a few lines."""


def describe_folder(path: Path) -> Inspection:
    """Return what lies in a folder that is no source: how many files of each suffix.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    try:
        first = islice(path.iterdir(), FOLDER_FILES_MOST)
        kinds = [one.suffix.lower() or "(none)" if one.is_file() else "(folders)" for one in first]
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}", "check its permissions") from error
    counts = Counter(kinds)
    files: dict[str, JsonValue] = dict(counts.most_common(SUFFIXES_SHOWN))
    return Inspection(
        file=path.resolve().name, format="folder", kind="unknown", metadata={"files": files}, lacks=("manifest",)
    )


def _is_source(path: Path, _: bytes) -> bool:
    """Tell whether a path is a folder that holds a manifest."""
    return path.is_dir() and any((path / name).is_file() for name in MANIFEST_NAMES)


def _describe_source(folder: Path) -> Inspection:
    manifest = load_manifest(folder)
    detector = manifest.detector
    facts: dict[str, JsonValue] = {"manifest": manifest.format, "sample": manifest.sample}
    facts |= {"energy_kev": manifest.beam.energy_kev, "camera_length_mm": detector.camera_length_mm}
    facts["pixel_size_mm"] = detector.pixel_size_mm
    if contents := manifest.contents:
        facts["composition"] = contents[0] if len(contents) == 1 else list(contents)
    rows, columns = detector.shape_px
    if isinstance(manifest, TiltSeriesManifest):
        tilts = [scan.tilt_deg for scan in manifest.scans]
        absent: list[str] = []
        facts |= {"scans": len(tilts), "tilt_deg": [min(tilts), max(tilts)]}
        shape: tuple[int, ...] = (len(tilts), *manifest.scan.shape, rows, columns)
    else:
        frames = _frames(folder)
        facts |= {"frames": frames, "oscillation": manifest.oscillation.model_dump(mode="json")}
        shape = (frames, rows, columns)
        absent = [] if frames else [f"frames: files finds none ({manifest.files})"]
    lacks = [*absent, *completeness(folder), *([] if contents else ["composition"])]
    return Inspection(
        file=folder.resolve().name,
        format="source folder",
        kind="manifest",
        shape=shape,
        metadata=facts,
        lacks=tuple(lacks),
    )


def _frames(folder: Path) -> int:
    """Return how many files the glob of a rotation series finds; none yet is no error here."""
    try:
        return len(listed_files(folder)) - 1
    except SourceError:
        return 0


SOURCE_FORMATS = (FileFormat("source folder", _is_source, _describe_source),)
"""What `apertura run` takes."""
