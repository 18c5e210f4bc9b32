"""What a file is: the facts that `apertura inspect` prints, and the table entry by which a format is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, JsonValue

from adapters.formats.intensity_table import IntensityTable
from tasks.model import Document, SourceError

Kind = Literal["frames", "scan", "reflections", "structure", "manifest", "unknown"]
BEGIN_BYTES = 65536
"""Read to tell a format: a CIF may begin with a page of comments."""


class Choice(NamedTuple):
    """What a user says of a file of reflections."""

    block: str | None = None
    """The data block of a CIF, or the crystal or data set of an MTZ file, that is meant."""
    alone: bool = False
    """Whether a bare list of reflections is read without the SHELX instructions beside it."""


class SeveralBlocksError(SourceError):
    """A file holds several sets of reflections, and none was chosen."""

    def __init__(self, message: str, advice: str = "", names: tuple[str, ...] = ()) -> None:
        super().__init__(message, advice)
        self.args = (message, advice, names)  # what is pickled

    @property
    def names(self) -> tuple[str, ...]:
        """What may be chosen."""
        return tuple(self.args[2])


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

    `describe` reads headers only, never the pixels of a large file; it raises SourceError for a damaged one. `read`
    returns the intensities of a format that holds reflections.
    """

    name: str
    recognises: Callable[[Path, bytes], bool]
    describe: Callable[[Path], Inspection]
    read: Callable[[Path, Choice], IntensityTable] | None = None


def text_of(begin: bytes) -> str | None:
    """Return the first bytes of a file as text, None if they are none; a mark of the byte order is dropped."""
    return None if b"\0" in begin else begin.decode("utf-8", errors="replace").lstrip("\ufeff")
