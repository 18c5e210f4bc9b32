"""The files that documents of a run name: which of them are gone, or not what they were."""

import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from flows.run_folder import in_progress
from tasks.model import FileRef, SourceError

DAMAGE = (
    *(OSError, ValueError, KeyError, IndexError, TypeError, EOFError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)
"""What numpy and h5py raise on files that are gone, cut short or of other content."""


@contextmanager
def named_damage(folder: Path, *documents: BaseModel) -> Iterator[None]:
    """Name the file that an error came from, where one that the documents of a run name is not what it was.

    An error that no file explains is a bug, and goes on as it is.

    Raises
    ------
    SourceError
        If there is such a file.
    """
    try:
        yield
    except DAMAGE as error:
        if (found := first_damaged(folder, documents)) is None:
            raise
        raise _damaged(folder, found) from error


def first_damaged(folder: Path, values: Any, *, seen: dict[Path, bool] | None = None) -> Path | None:
    """Return the first file in the run's folder that is gone or not what documents say; None if there is none.

    `seen` keeps what is known of files, so that none is read twice.
    """
    known = {} if seen is None else seen
    for file in _files_of(values):
        if not file.path.is_relative_to(folder.resolve()):
            continue
        if file.path not in known:
            known[file.path] = file.unchanged()
        if not known[file.path]:
            return file.path
    return None


def first_gone(*documents: BaseModel | None) -> Path | None:
    """Return the first file that documents, or references to files, name and that is not there; None if all are."""
    return next((file.path for file in _files_of(documents) if not file.path.exists()), None)


def _damaged(folder: Path, path: Path) -> SourceError:
    if in_progress(folder):
        return SourceError(f"{path}: changes, as a run is going on there", "wait until it has ended")
    what = "damaged: not what its run wrote" if path.exists() else "gone"
    return SourceError(f"{path}: {what}", "delete the folder it lies in and repeat the run's command, or run it anew")


def _files_of(value: Any) -> Iterator[FileRef]:
    if isinstance(value, FileRef):
        yield value
    elif isinstance(value, BaseModel):
        yield from _files_of([getattr(value, name) for name in type(value).model_fields])
    elif isinstance(value, Mapping):
        yield from _files_of(value.values())
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for one in value:
            yield from _files_of(one)
