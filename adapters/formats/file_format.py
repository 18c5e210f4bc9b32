"""What a file is: the facts that `apertura inspect` prints, and the table entry by which a format is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, JsonValue

from tasks.model import Document

Kind = Literal["frames", "scan", "reflections", "structure", "manifest", "unknown"]
BEGIN_BYTES = 65536
"""Read to tell a format: a CIF may begin with a page of comments."""


class Inspection(Document):
    """What a file is, what it holds, and what a run would still have to be told."""

    file: str
    format: str = Field(description="as its makers call it; 'unknown' if it is none that is known")
    kind: Kind
    shape: tuple[int, ...] = Field(default=(), description="frames: (n, slow, fast); scan: (rows, columns, slow, fast)")
    dtype: str | None = Field(default=None, description="of pixels or counts, in numpy's words")
    metadata: dict[str, JsonValue] = Field(
        default={}, description="what the file states; by the manifest's names where it is a field of it"
    )
    lacks: tuple[str, ...] = Field(default=(), description="what a run needs and the file does not state")


class FileFormat(NamedTuple):
    """One format: how it is told by name and first bytes, and how one file of it is described.

    `describe` reads headers only, never the pixels of a large file; it raises SourceError for a damaged one.
    """

    name: str
    recognises: Callable[[Path, bytes], bool]
    describe: Callable[[Path], Inspection]
