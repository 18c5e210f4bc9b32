"""Errors of disk and files become typed errors that say what to do."""

import errno
from pathlib import Path

import pytest

from flows.storage import named_storage_errors
from tasks.model import InputError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "events.npy"), "the disk is full"),
        (OSError("1024 requested and 0 written"), "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "events.npy"), r"events\.npy: Permission denied"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), "No such file"),
    ],
)
def test_a_storage_error_is_an_input_error(error: OSError, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said) as caught, named_storage_errors(tmp_path):
        raise error
    assert "retry" in caught.value.advice


def test_any_other_error_passes(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="damaged"), named_storage_errors(tmp_path):
        raise OSError("damaged HDF5")
    with pytest.raises(ValueError, match="bug"), named_storage_errors(tmp_path):
        raise ValueError("bug")
