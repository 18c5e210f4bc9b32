"""The aperture file of the studio: the pipeline's own, written whole or not at all, never over another's save."""

import fcntl
import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from flows.storage import named_storage_errors
from tasks.apertures import ApertureNotes, read_aperture_notes, read_apertures, write_apertures
from tasks.drawing import Drawing, DrawingCrystal
from tasks.ingest import TiltSeries
from tasks.model import Document, InputError

CHANGES_SHOWN = 500
"""Changes kept in the file, the latest. Chosen, not measured: a day of drawing; HDF5 holds 64 kB in an attribute."""
CHANGE_CHARACTERS = 80
"""Of one of them, so that all stay below those 64 kB."""
WHO_CHARACTERS = 200
"""Of the name of who saved. Chosen, not measured: longer than any user name."""


class SavedByAnotherError(InputError):
    """The aperture file was saved by somebody else since it was read: nothing is written over it."""

    code = "I130"


class Saved(Document):
    """One save of an aperture file."""

    path: Path
    sha256: str
    who: str
    when: str = ""
    changes: tuple[str, ...] = ()
    parent: str = ""


def file_key(path: Path) -> str | None:
    """Return the SHA-256 of a file; None if there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def read_saved(path: Path) -> Saved | None:
    """Return who saved an aperture file, when, and what was changed; None if there is none, or nobody said."""
    key = file_key(path)
    if key is None:
        return None
    texts = read_aperture_notes(path).texts
    if "who" not in texts:
        return None
    changes = json.loads(texts.get("changes", "[]"))
    return Saved(
        path=path,
        sha256=key,
        who=texts["who"],
        when=texts.get("when", ""),
        changes=tuple(str(one) for one in changes),
        parent=texts.get("parent", ""),
    )


def read_drawing(path: Path, series: TiltSeries) -> Drawing:
    """Return what an aperture file holds, as a drawing.

    Raises
    ------
    InputError
        If it is unreadable, of another scan shape, or of other tilts.
    """
    masks = read_apertures(
        path,
        scan_shape=series.scan.shape,
        tilt_deg=[scan.tilt_deg for scan in series.scans],
        known_tilts=[scan.tilt_deg for scan in series.lost],
    )
    names = read_aperture_notes(path).names
    return Drawing(
        tuple(DrawingCrystal.of(key, mask, name=names.get(key, ""), origin="edited") for key, mask in masks.items())
    )


def save_drawing(
    drawing: Drawing, series: TiltSeries, path: Path, *, who: str, changes: Sequence[str], expected: str | None
) -> Saved:
    """Write a drawing as the pipeline's aperture file, in place of the one whose SHA-256 is `expected`.

    Crystals that were rejected or hold no position are left out. The file is written beside its place, read back, and
    renamed: the one that was there stays whole if anything fails.

    Raises
    ------
    SavedByAnotherError
        If the file is not `expected` (None: there was none).
    InputError
        If nothing is drawn, or the disk is full or cannot be written.
    """
    masks = drawing.masks()
    if not masks:
        raise InputError("no crystal is drawn: there is nothing to save", "draw one, or take a proposal")
    when = datetime.now(UTC).isoformat(timespec="seconds")
    kept = [change[:CHANGE_CHARACTERS] for change in changes][-CHANGES_SHOWN:]
    texts = {"who": who[:WHO_CHARACTERS], "when": when, "changes": json.dumps(kept), "parent": expected or ""}
    names = {one.id: one.name for one in drawing.crystals if one.id in masks and one.name}
    content = io.BytesIO()
    tilts = [scan.tilt_deg for scan in series.scans]
    write_apertures(masks, tilts, content, notes=ApertureNotes({**texts, "program": "apertura studio"}, names))
    data = content.getvalue()
    with named_storage_errors(path.parent), _only_one(path):
        _refuse_foreign(path, expected)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            _write_through(temporary, data)
            _check_read_back(temporary, masks, series)
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    key = hashlib.sha256(data).hexdigest()
    return Saved(path=path, sha256=key, who=texts["who"], when=when, changes=tuple(kept), parent=expected or "")


def copy_name(path: Path, who: str) -> Path:
    """Return a name beside a file that is not taken, for a copy of somebody."""
    stem = "".join(char if char.isalnum() or char in "-_" else "-" for char in who)[:40] or "copy"
    numbered = (path.with_name(f"{path.stem}-{stem}-{number}{path.suffix}") for number in range(1, 10_000))
    free = next((candidate for candidate in numbered if not candidate.exists()), None)
    if free is None:
        raise InputError(f"{path.parent}: holds 10,000 copies of {who}", "remove some")
    return free


def _refuse_foreign(path: Path, expected: str | None) -> None:
    if file_key(path) == expected:
        return
    if not path.is_file():
        raise SavedByAnotherError(f"{path}: was removed since it was read: not saved", "save a copy")
    found = read_saved(path)
    whose = f"{found.who} at {found.when}" if found is not None else "another program"
    raise SavedByAnotherError(
        f"{path}: was saved by {whose} since it was read here: not saved over it",
        "save a copy, or open the place again to go on from theirs",
    )


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold the lock of saves of a file, among processes and threads."""
    with path.with_name(f".{path.name}.lock").open("a+b") as lock:
        fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
        yield


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_read_back(path: Path, masks: dict[str, np.ndarray], series: TiltSeries) -> None:
    tilts = [scan.tilt_deg for scan in series.scans]
    back = read_apertures(path, scan_shape=series.scan.shape, tilt_deg=tilts)
    if back.keys() != masks.keys() or any(not np.array_equal(back[key], masks[key]) for key in masks):
        raise InputError(f"{path}: what was written is not what was drawn: not saved", "is the disk sound? save a copy")
