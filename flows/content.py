"""What a data set holds, as a key of its bytes: by it an arrival is known again, and a run what it was asked for."""

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tasks.ingest import listed_files

PIECE_BYTES, PIECES = 2**20, 64
"""Of a file above 64 MiB, 64 pieces of 1 MiB make its key: 0.3 s at 200 MB/s where 20 GiB would take two minutes."""
NAMED = 3
"""Files that are named of those that changed: a line of a page."""


class Content(NamedTuple):
    """A complete data set: what it holds, and which delivery of it lies there."""

    key: str
    files: dict[str, str]
    """Digest of each file by its name: says later which of them is another."""
    delivery: str
    """Of the numbers and times of its files: files copied anew, of equal content, have another."""


def content_key(source: Path) -> str:
    """Return a key of what a source holds: names, sizes and contents of its manifest and of every file it lists.

    The same data set copied again has the same key; a changed one has another. Of a file above 64 MiB, 64 pieces of
    1 MiB are read, evenly spread from its first byte to its last.

    Raises
    ------
    SourceError
        If there is no manifest, or it is wrong.
    OSError
        If a listed file is not there or cannot be read.
    """
    return content_of(source).key


def content_of(source: Path) -> Content:
    """Return the key of what a source holds, with what each file adds to it. Raises as `content_key` does."""
    whole, where = hashlib.sha256(), hashlib.sha256()
    files = {}
    root = source.resolve()
    for path in listed_files(source):
        name = path.resolve().relative_to(root).as_posix()
        files[name] = _read(path, name, whole)
        found = path.stat()
        where.update(f"{name}\0{found.st_ino}\0{found.st_mtime_ns}\0".encode())
    return Content(whole.hexdigest()[:32], files, where.hexdigest()[:32])


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return in a line which files changed, came or went between two contents; nothing if none is known to have."""
    changed = [f"{name} is another" for name in before if name in now and now[name] != before[name]]
    gone = [f"{name} is gone" for name in before if name not in now]
    new = [f"{name} is new" for name in now if name not in before]
    found = [*changed, *gone, *new]
    more = len(found) - NAMED
    return "; ".join(found[:NAMED]) + (f"; and {more} more" if more > 0 else "")


def readable_content(source: Path, names: Mapping[str, str]) -> dict[str, str]:
    """Return the digests of those of the named files that can be read, whatever the others lack."""
    found = {}
    for name in names:
        with contextlib.suppress(OSError):
            found[name] = _read(source / name, name, hashlib.sha256())
    return found


def _read(path: Path, name: str, whole: "hashlib._Hash") -> str:
    """Add name, size and pieces of a file to a digest of all files; return the digest of this one alone."""
    size = path.stat().st_size
    head = f"{name}\0{size}\0".encode()
    own = hashlib.sha256(head)
    whole.update(head)
    with path.open("rb") as stream:
        for place in _pieces(size):
            stream.seek(place)
            piece = stream.read(PIECE_BYTES)
            whole.update(piece)
            own.update(piece)
    return own.hexdigest()[:16]


def _pieces(size: int) -> list[int]:
    """Return where the pieces of a file begin that its key is made of."""
    if size <= PIECES * PIECE_BYTES:
        return list(range(0, size, PIECE_BYTES))
    return [place * (size - PIECE_BYTES) // (PIECES - 1) for place in range(PIECES)]
