"""What a user is told when a disk is full or a file cannot be used: a typed error instead of the system's."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.model import InputError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
UNUSABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOENT, errno.ENAMETOOLONG}
SPACE_BYTES = 2**20
"""Less than that is left only when a write has just failed for want of room."""
SHORT_WRITE = "requested and"
"""Numpy reports a write that was cut short without an error number."""


@contextmanager
def named_storage_errors(folder: Path) -> Iterator[None]:
    """Turn the system's errors about disk and files into typed ones; other errors pass.

    Raises
    ------
    InputError
        Naming the file, and what to do; the same run can go on afterwards.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL or SHORT_WRITE in str(error) or _no_space(folder):
            raise InputError(f"{folder}: the disk is full: {error}", "make room and retry: the run goes on") from error
        if error.errno in UNUSABLE:
            where = error.filename or folder
            raise InputError(f"{where}: {error.strerror}", "correct it and retry: the run goes on") from error
        raise


def _no_space(folder: Path) -> bool:
    return folder.is_dir() and shutil.disk_usage(folder).free < SPACE_BYTES
