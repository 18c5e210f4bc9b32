"""What blocks log in other processes, told by the one that asked for them: files in the run folder, read as they grow.

A file is the one way that a process killed at any moment cannot break for others, and that all engines share.
"""

import contextlib
import contextvars
import json
import logging
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = ".notes"
POLL_S = 0.5
"""Chosen, not measured: a person reads no faster, and a look is one listing."""
OURS = "apertura"

_PLACE: contextvars.ContextVar[Path | None] = contextvars.ContextVar("apertura_notes", default=None)


class NoteWriter(logging.Handler):
    """Writes records as lines of JSON, into the folder of the block that is being done."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._latest: Path | None = None

    def turn_to(self, place: Path) -> None:
        """Take this folder for records of threads that do not know theirs."""
        self._latest = place

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; where nobody listens any more, nothing."""
        place = _PLACE.get() or self._latest
        if place is None:
            return
        note = {
            "name": record.name,
            "levelno": record.levelno,
            "levelname": record.levelname,
            "msg": record.getMessage(),
            "created": record.created,
        }
        with contextlib.suppress(OSError), (place / f"{socket.gethostname()}-{os.getpid()}").open("a") as file:
            file.write(json.dumps(note) + "\n")


_WRITER = NoteWriter()


@contextmanager
def noted_in(place: Path) -> Iterator[None]:
    """Let what apertura logs in this process be noted in a folder."""
    logger = logging.getLogger(OURS)
    if _WRITER not in logger.handlers:
        logger.addHandler(_WRITER)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    _WRITER.turn_to(place)
    token = _PLACE.set(place)
    try:
        yield
    finally:
        _PLACE.reset(token)


@contextmanager
def notes_told(run: Path) -> Iterator[Path]:
    """Give the folder for notes in a run folder, and log what comes there until the end of the context."""
    place = run.resolve() / FOLDER
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    ended = threading.Event()
    read: dict[Path, int] = {}

    def follow() -> None:
        while not ended.wait(POLL_S):
            _tell_new(place, read)

    follower = threading.Thread(target=contextvars.copy_context().run, args=(follow,), daemon=True)
    follower.start()
    try:
        yield place
    finally:
        ended.set()
        follower.join()
        _tell_new(place, read)
        shutil.rmtree(place, ignore_errors=True)


def _tell_new(place: Path, read: dict[Path, int]) -> None:
    for path in sorted(place.glob("*")):
        with contextlib.suppress(OSError), path.open("rb") as file:
            file.seek(read.get(path, 0))
            whole, _, _ = file.read().rpartition(b"\n")
            if whole:
                read[path] = read.get(path, 0) + len(whole) + 1
            for line in whole.splitlines():
                _tell(line)


def _tell(line: bytes) -> None:
    with contextlib.suppress(ValueError):
        note = json.loads(line)
        logger = logging.getLogger(note["name"])
        if logger.isEnabledFor(note["levelno"]):
            logger.handle(logging.makeLogRecord(note))
