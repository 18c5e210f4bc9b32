"""The files that a manifest names: confined to the source folder, numbered, complete."""

import re
from itertools import pairwise
from pathlib import Path

from tasks.model import SourceError

LARGEST_FILE_COUNT = 20000
"""As many as a tilt series may list (`TiltSeriesManifest.scans`), or a full turn in steps of 0.018 degrees. Chosen, not
measured: a pattern that matches more matches something else."""


PARTS = (
    (re.compile(r"(.+)_master(\.h5|\.hdf5|\.nxs)", re.IGNORECASE), r"_data_\d+"),
    (re.compile(r"(.+)_000(\.tvips)", re.IGNORECASE), r"_\d{3}"),
)
"""Names of files whose frames lie in others beside them, and what those are called in place of ``_master`` or ``_000``:
DECTRIS' FileWriter and TVIPS' recorder name them so."""
STORES = {".zspy", ".zarr"}
"""Suffixes of folders that count as one file."""


def parts_of(path: Path) -> tuple[Path, ...]:
    """Return the files beside `path` that hold frames of it by their names: a master's data files, a stream's parts."""
    for whole, rest in PARTS:
        name = whole.fullmatch(path.name)
        if name is not None:
            part = re.compile(re.escape(name.group(1)) + rest + re.escape(name.group(2)), re.IGNORECASE)
            found = (file for file in path.parent.iterdir() if file != path and part.fullmatch(file.name))
            return tuple(sorted(file for file in found if file.is_file()))
    return ()


def size_problem(source: Path, name: str, listed_bytes: int) -> str | None:
    """Say why a listed file is not what the manifest says; None if it is.

    Raises
    ------
    SourceError
        If the file lies outside the source folder.
    """
    path = confined(source, name)
    if path.is_dir():
        return "the file is absent: this is a folder, and a scan is listed by one file"
    if not path.is_file():
        return "the file is absent"
    size = path.stat().st_size
    return None if size == listed_bytes else f"the file has {size} bytes, the manifest says {listed_bytes}"


def confined(source: Path, name: str) -> Path:
    """Return the file `name` of a source, symbolic links resolved.

    Raises
    ------
    SourceError
        If it lies outside the folder.
    """
    try:
        root = source.resolve()
        path = (root / name).resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: what Python 3.11 makes of a link to itself
        raise SourceError(f"{source}: {name} cannot be followed: {error}", "put the file itself there") from error
    if not path.is_relative_to(root):
        raise SourceError(f"{source}: {name} lies outside the source folder", "put the file itself into the folder")
    return path


def numbered_frames(source: Path, pattern: str, mask: str | None = None) -> list[tuple[int, Path]]:
    """Return the files that match a glob, with the number in each name, sorted by it; not that of ``detector.mask``.

    The number is the last group of digits that differs between the names (``cryst2_0001_a.tif``: 1). Data files of a
    master that matches too, and parts of a stream, are no frames of their own.

    Raises
    ------
    SourceError
        If nothing matches, a name has no number, or two have the same.
    """
    try:
        stated = mask_place(mask)
        kept_out = None if stated is None else source / stated[0]
        matching = {path for path in source.glob(pattern) if _is_one(path) and path != kept_out}
        paths = sorted(matching - {part for path in matching for part in parts_of(path)})
    except (ValueError, NotImplementedError, OSError) as error:
        raise SourceError(f"{source}: files: {pattern!r} is not a pattern: {error}") from error
    if not paths or len(paths) > LARGEST_FILE_COUNT:
        raise SourceError(f"{source}: files: {len(paths)} files match {pattern!r}", "check the pattern")
    for file in (*paths, *(held for path in paths for held in files_of(path))):
        confined(source, file.relative_to(source).as_posix())
    groups = [re.findall(r"\d+", path.stem) for path in paths]
    depth = min(len(group) for group in groups)
    if depth == 0 and len(paths) > 1:
        name = next(path.name for path, group in zip(paths, groups, strict=True) if not group)
        raise SourceError(f"{source}: {name} has no number", "the frames are sorted by the number in their names")
    varying = [i for i in range(-depth, 0) if len({group[i] for group in groups}) > 1]
    place = varying[-1] if varying else -1
    found = sorted((int(group[place]) if group else 0, path) for path, group in zip(paths, groups, strict=True))
    for (number, first), (following, second) in pairwise(found):
        if number == following:
            raise SourceError(f"{source}: {first.name} and {second.name} have the same number {number}")
    return found


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files that hold what `path` is: itself and its parts, or all files of a folder that counts as one."""
    if path.is_dir():
        return tuple(sorted(file for file in path.rglob("*") if file.is_symlink() or not file.is_dir()))
    return (path, *parts_of(path))


def _is_one(path: Path) -> bool:
    return path.is_file() or (path.suffix.lower() in STORES and path.is_dir())


def mask_place(mask: str | None) -> tuple[str, str | None] | None:
    """Return the file that ``detector.mask`` names and the dataset in it, if it is HDF5; None if no mask is stated."""
    if mask is None:
        return None
    file, _, dataset = mask.partition(":")
    return file, dataset or None


def mask_file(source: Path, mask: str | None) -> Path | None:
    """Return the file that ``detector.mask`` names; None if no mask is stated.

    Raises
    ------
    SourceError
        If it is absent, or lies outside the folder.
    """
    place = mask_place(mask)
    if place is None:
        return None
    path = confined(source, place[0])
    if not path.is_file():
        raise SourceError(f"{source}: detector.mask: {place[0]}: the file is absent", "copy it, or state no mask")
    return path
