"""What a source folder holds: its manifest and the bytes of its files. The hashed input of a run."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import Field

from tasks.ingest.contracts import RotationSeriesManifest, ScanFile, TiltSeriesManifest
from tasks.ingest.files import confined, mask_file, numbered_frames, parts_of, size_problem
from tasks.ingest.manifest import load_manifest, manifest_path
from tasks.model import Document, FileRef, SourceError


class SourceFile(Document):
    """One data file of a source; `data` is None, and `problem` says why, where it cannot be used."""

    name: str
    data: FileRef | None
    problem: str | None = None
    number: int | None = Field(default=None, description="number in the name of a frame of a rotation series")
    parts: tuple[FileRef, ...] = Field(default=(), description="files beside it that hold frames of it")


class SourceDocument(Document):
    """A source folder, read: equal documents mean equal bytes, wherever the folder lies."""

    manifest: TiltSeriesManifest | RotationSeriesManifest = Field(discriminator="format")
    manifest_file: FileRef
    files: tuple[SourceFile, ...] = Field(description="tilt series: in the order of `scans`; frames: by number")
    mask: FileRef | None = Field(default=None, description="the file of `detector.mask`; None = not stated")

    @property
    def is_tilt_series(self) -> bool:
        """Whether the source holds scans (or else frames)."""
        return isinstance(self.manifest, TiltSeriesManifest)


def read_source(source: Path) -> SourceDocument:
    """Read the manifest and hash every file it names; a file that is absent or of the wrong size is recorded.

    Raises
    ------
    SourceError
        If the manifest is wrong, a file lies outside the folder, the mask is absent, or a rotation series has no
        frames.
    """
    manifest = load_manifest(source)
    mask = mask_file(source, manifest.detector.mask)
    if isinstance(manifest, TiltSeriesManifest):
        if not manifest.complete:
            raise SourceError(
                f"{manifest_path(source)}: complete is false: the series is still being measured",
                "run it when the manifest says complete",
            )
        with ThreadPoolExecutor(max_workers=4) as pool:
            files = tuple(pool.map(lambda scan: _scan_files(source, scan), manifest.scans))
    else:
        files = tuple(
            SourceFile(
                name=path.relative_to(source).as_posix(),
                data=FileRef.of(path),
                number=number,
                parts=tuple(FileRef.of(part) for part in parts_of(path)),
            )
            for number, path in numbered_frames(source, manifest.files, manifest.detector.mask)
        )
    return SourceDocument(
        manifest=manifest,
        manifest_file=FileRef.of(manifest_path(source)),
        files=files,
        mask=None if mask is None else _hashed(mask),
    )


def _hashed(mask: Path) -> FileRef:
    try:
        return FileRef.of(mask)
    except OSError as error:
        raise SourceError(f"{mask}: detector.mask cannot be read: {error.strerror}", "check its permissions") from error


def _scan_files(source: Path, scan: ScanFile) -> SourceFile:
    """Return a scan's file with those beside it, listed or known by their names.

    If a listed one cannot be used, the scan cannot.
    """
    found = _scan_file(source, scan.file, scan.bytes)
    listed = [_scan_file(source, part.file, part.bytes) for part in scan.beside]
    wrong = next((part for part in listed if part.data is None), None)
    if found.data is None:
        return found
    if wrong is not None:
        return SourceFile(name=scan.file, data=None, problem=f"{wrong.name} beside it: {wrong.problem}")
    parts = {part.data.path: part.data for part in listed if part.data is not None}
    root = source.resolve()
    named = [path.resolve() for path in parts_of(found.data.path)]
    for path in (path for path in named if path not in parts and path.is_relative_to(root)):
        try:
            parts[path] = FileRef.of(path)
        except OSError as error:
            problem = f"{path.name} beside it cannot be read: {error.strerror}"
            return SourceFile(name=scan.file, data=None, problem=problem)
    return found.model_copy(update={"parts": tuple(parts.values())})


def _scan_file(source: Path, name: str, listed_bytes: int) -> SourceFile:
    problem = size_problem(source, name, listed_bytes)
    if problem is not None:
        return SourceFile(name=name, data=None, problem=problem)
    try:
        return SourceFile(name=name, data=FileRef.of(confined(source, name)))
    except OSError as error:
        return SourceFile(name=name, data=None, problem=f"the file cannot be read: {error.strerror}")
