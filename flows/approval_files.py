"""What lies in the folder of a run that waits for a person; nothing here needs Prefect, whose import takes a second."""

import re
from pathlib import Path

from tasks.model import Document, FileRef, InputError

WAITING_NAME = "approval.json"
APERTURES = "apertures"
"""The key of the question about apertures."""
ACCEPTED = re.compile(r"studio/accepted-([0-9a-f]{16})\.h5")
"""Of a corrected aperture file, by its place in the run folder: the number begins the SHA-256 of its bytes."""


class WaitingApproval(Document):
    """Lies in the folder of a run that waits for a person: which run it is, and what is asked."""

    flow_run: str
    asked: str


def accepted_file(run: Path, name: str) -> FileRef:
    """Return the corrected aperture file of an answer.

    Raises
    ------
    InputError
        If it is not one that the studio put into this run folder, or its bytes are not those that were accepted.
    """
    found = ACCEPTED.fullmatch(name)
    if found is None:
        raise InputError(f"corrected: {name!r}: not an aperture file of this run", "leave it empty, or use the studio")
    path = run / name
    if path.is_symlink() or not path.is_file():
        raise InputError(f"corrected: {path}: no such file", "accept it again in the studio")
    file = FileRef.of(path)
    if not file.sha256.startswith(found.group(1)):
        raise InputError(f"corrected: {path}: changed since it was accepted", "accept it again in the studio")
    return file
