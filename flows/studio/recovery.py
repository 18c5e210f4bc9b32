"""Unsaved work: kept beside the aperture file at each change, one file for each session, until it is saved."""

import fcntl
import io
import json
import math
import os
import secrets
import threading
import time
import zipfile
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from flows.storage import named_storage_errors
from tasks.drawing import Drawing, DrawingCrystal
from tasks.model import InputError

INTERVAL_S = 2.0
"""Between two writings. Chosen, not measured: what a crash may cost; a file of 81 masks of 256 x 256 takes 20 ms."""
FOLDER = "unsaved"


class UnsavedWork(NamedTuple):
    """What a session that ended has left unsaved."""

    drawing: Drawing
    changes: tuple[str, ...]
    when: str
    """ISO 8601, UTC."""
    parent: str | None
    """SHA-256 of the aperture file that it was drawn upon; None: there was none."""


class UnsavedKeeper:
    """Keeps the unsaved drawing of one session, and finds those of sessions that ended.

    A session holds the lock of its file as long as it lives: the work of a living one is offered to nobody.
    """

    def __init__(self, work: Path) -> None:
        self._folder = work / FOLDER
        self._stem = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        self._guard = threading.Lock()
        self._held: IO[bytes] | None = None
        self._waiting: UnsavedWork | None = None
        self._timer: threading.Timer | None = None
        self._last_s = -math.inf
        self._offered: Path | None = None
        self._closed = False
        self.failure: InputError | None = None
        """Why the last writing failed; None if it did not."""

    def keep(self, drawing: Drawing, changes: tuple[str, ...], *, parent: str | None) -> None:
        """Keep a drawing, within INTERVAL_S; of several meanwhile the last."""
        when = datetime.now(UTC).isoformat(timespec="seconds")
        with self._guard:
            self._waiting = UnsavedWork(drawing, changes, when, parent)
            if self._timer is None and not self._closed:
                wait = max(0.0, self._last_s + INTERVAL_S - time.monotonic())
                self._timer = threading.Timer(wait, self._write_quietly)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Write at once what waits to be.

        Raises
        ------
        InputError
            If the disk is full or cannot be written.
        """
        with self._guard:
            self._end_timer()
            self._write()

    def unsaved(self) -> UnsavedWork | None:
        """Return the latest that ended sessions have left; None if they left nothing, or nothing readable."""
        with self._guard:
            for path in sorted(self._folder.glob("*.npz"), reverse=True):
                if path.stem != self._stem and _is_free(path.with_suffix(".lock")):
                    found = _read(path)
                    if found is not None:
                        self._offered = path
                        return found
        return None

    def discard_offered(self) -> None:
        """Remove what `unsaved` returned last: it was taken up, or is not wanted."""
        with self._guard:
            if self._offered is not None:
                _remove(self._offered)
                self._offered = None

    def saved(self) -> None:
        """Forget what this session has kept: it is in the aperture file now."""
        with self._guard:
            self._end_timer()
            self._waiting = None
            _remove(self._path)
            if self._held is not None:
                self._held.close()
                self._held = None

    def close(self) -> None:
        """End the session: what is unsaved is written, and offered to the next."""
        with self._guard:
            self._end_timer()
            self._closed = True
            try:
                self._write()
            except InputError as error:
                self.failure = error
            if self._held is not None:
                self._held.close()
                self._held = None

    @property
    def _path(self) -> Path:
        return self._folder / f"{self._stem}.npz"

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _write_quietly(self) -> None:
        with self._guard:
            self._timer = None
            if self._closed:
                return
            try:
                self._write()
                self.failure = None
            except InputError as error:
                self.failure = error

    def _write(self) -> None:
        if self._waiting is None:
            return
        with named_storage_errors(self._folder.parent):
            self._folder.mkdir(exist_ok=True)
            if self._held is None:
                self._held = self._path.with_suffix(".lock").open("a+b")
                fcntl.flock(self._held.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            temporary = self._folder / f".{self._stem}.tmp"
            try:
                temporary.write_bytes(_packed(self._waiting))
                temporary.replace(self._path)
            finally:
                temporary.unlink(missing_ok=True)
        self._waiting = None
        self._last_s = time.monotonic()


def _packed(work: UnsavedWork) -> bytes:
    crystals = work.drawing.crystals
    head = {
        "when": work.when,
        "parent": work.parent,
        "changes": work.changes,
        "crystals": [
            {"id": one.id, "name": one.name, "origin": one.origin, "state": one.state, "scan_shape": one.scan_shape}
            for one in crystals
        ],
    }
    arrays: dict[str, Any] = {"head": np.frombuffer(json.dumps(head).encode(), np.uint8)}
    for one in crystals:
        arrays |= {one.id: np.packbits(one.masks, axis=None), f"{one.id}-tilts": np.int64(len(one.planes))}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def _read(path: Path) -> UnsavedWork | None:
    """Return what a file holds; None if it is damaged: a crash may have cut it off."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            head = json.loads(file["head"].tobytes())
            crystals = []
            for one in head["crystals"]:
                shape = (int(file[f"{one['id']}-tilts"]), *one["scan_shape"])
                masks = np.unpackbits(file[one["id"]], count=int(np.prod(shape))).reshape(shape).astype(bool)
                made = DrawingCrystal.of(one["id"], masks, name=one["name"], origin=one["origin"], state=one["state"])
                crystals.append(made)
            return UnsavedWork(Drawing(tuple(crystals)), tuple(head["changes"]), head["when"], head["parent"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _is_free(lock: Path) -> bool:
    """Tell whether no living session holds a lock."""
    try:
        with lock.open("rb") as stream:
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _remove(path: Path) -> None:
    for file in (path, path.with_suffix(".lock")):
        if os.access(file.parent, os.W_OK):
            file.unlink(missing_ok=True)
