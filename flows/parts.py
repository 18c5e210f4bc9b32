"""What a finished run holds of a crystal that was measured by parts, read without any engine that measures."""

from pathlib import Path

from tasks.integrate import JoinedParts
from tasks.stage import DOCUMENT_NAME, read_document

FOLDER = "parts"
"""Within the folder of a crystal."""
BY_PARTS = (
    "the crystal bends: the structure's intensities are those of {parts} parts joined, each in its own orientation; "
    "what is shown here is the whole crystal in one"
)


def joined_parts(folder: Path) -> JoinedParts | None:
    """Return what a finished run's crystal, of this folder, came to by parts; None if it was not measured so."""
    joined = folder / FOLDER / "joined"
    return read_document(joined, JoinedParts) if (joined / DOCUMENT_NAME).is_file() else None
