"""Telling what a file is: the formats of all readers in one table, asked in order."""

from pathlib import Path

from adapters.formats.file_format import BEGIN_BYTES, FileFormat, Inspection
from tasks.model import SourceError

FORMATS: tuple[FileFormat, ...] = ()


def inspect_file(path: Path) -> Inspection:
    """Return what a file is; the first format that recognises it describes it.

    Raises
    ------
    SourceError
        If there is no such file, or it is damaged.
    """
    if not path.exists():
        raise SourceError(f"{path}: there is no such file")
    begin = b""
    if path.is_file():
        with path.open("rb") as stream:
            begin = stream.read(BEGIN_BYTES)
    for known in FORMATS:
        if known.recognises(path, begin):
            return known.describe(path)
    return Inspection(file=path.name, format="unknown", kind="unknown")
