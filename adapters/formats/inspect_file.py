"""Telling what a file is: the formats of all readers in one table, asked in order."""

from pathlib import Path

from adapters.formats.drafts.formats import MANIFEST_FORMATS
from adapters.formats.file_format import BEGIN_BYTES, FileFormat, Inspection
from adapters.formats.reflection_formats import MARKED_FORMATS, TEXT_FORMATS
from adapters.formats.scans.scan_formats import SCAN_FORMATS
from adapters.formats.source_manifest import SOURCE_FORMATS, describe_folder
from adapters.formats.structure_formats import STRUCTURE_FORMATS
from adapters.formats.vendors.frame_formats import FRAME_FORMATS
from tasks.model import SourceError

FORMATS: tuple[FileFormat, ...] = (
    *MANIFEST_FORMATS,
    *SOURCE_FORMATS,
    *MARKED_FORMATS,
    *SCAN_FORMATS,
    *FRAME_FORMATS,
    *STRUCTURE_FORMATS,
    *TEXT_FORMATS,
)
"""All formats. Those that are sure of their files come first, the last takes any text that may be reflections."""
WRAPPINGS = (
    (b"\x1f\x8b", "compressed by gzip", "unpack it: gunzip"),
    (b"BZh", "compressed by bzip2", "unpack it: bunzip2"),
    (b"\xfd7zXZ", "compressed by xz", "unpack it: unxz"),
    (b"PK\3\4", "a zip archive", "unpack it, and give one of its files or the folder"),
    (b"JK\0\2", "the microscope's part of a series of FEI's TIA", "give the .ser beside it, which holds the images"),
    (b"\xff\xfe", "text in UTF-16, or none that is known", "save it as plain text: ASCII or UTF-8"),
    (b"\xfe\xff", "text in UTF-16, or none that is known", "save it as plain text: ASCII or UTF-8"),
)
"""First bytes of what is no format but hides one, what it is, and what to do."""
BEGINNING_SHOWN = 40
"""Bytes of an unknown file that are shown: a line. Chosen, not measured."""


def inspect_file(path: Path) -> Inspection:
    """Return what a file is; the first format that recognises it describes it.

    Raises
    ------
    SourceError
        If there is no such file, or it is damaged.
    """
    found = format_of(path)
    if found is not None:
        return found.describe(path)
    if path.is_dir():
        return describe_folder(path)
    size = path.stat().st_size
    with path.open("rb") as stream:
        begin = stream.read(BEGINNING_SHOWN)
    shown = "".join(char if char.isprintable() else "." for char in begin.decode("latin-1"))
    return Inspection(file=path.name, format="unknown", kind="unknown", metadata={"bytes": size, "begins": shown})


def format_of(path: Path) -> FileFormat | None:
    """Return the format of a file, None if it is none that is known.

    Raises
    ------
    SourceError
        If there is no such file, it cannot be read, or is compressed.
    """
    try:
        there = path.exists()
    except OSError as error:
        raise SourceError(f"{str(path)[:200]}: cannot be looked at: {error.strerror}", "check the name") from error
    if not there:
        raise SourceError(f"{path}: there is no such file", "check the name")
    begin = b""
    if path.is_file():
        try:
            with path.open("rb") as stream:
                begin = stream.read(BEGIN_BYTES)
        except OSError as error:
            raise SourceError(f"{path}: cannot be read: {error.strerror}", "check its permissions") from error
        if not begin:
            raise SourceError(f"{path}: is empty", "copy the file again")
    elif not path.is_dir():
        raise SourceError(f"{path}: is neither a file nor a folder", "give a file")
    found = next((known for known in FORMATS if known.recognises(path, begin)), None)
    wrapping = next(((what, todo) for mark, what, todo in WRAPPINGS if begin.startswith(mark)), None)
    if found is None and wrapping is not None:
        raise SourceError(f"{path}: is {wrapping[0]}", wrapping[1])
    return found
