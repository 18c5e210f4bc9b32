"""Documents: the small, frozen models that cross task boundaries. Arrays stay in files that a FileRef names."""

import hashlib
import os
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, SerializationInfo, ValidationInfo, field_serializer, field_validator

from tasks.model.screen import on_a_screen

WHOLE = 200
"""Characters up to which a document is printed whole: two lines of a terminal."""


class Document(BaseModel):
    """A frozen, closed model. NaN and infinity are refused: what is unknown is None.

    A small one is printed whole, a large one as what fits on a screen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __repr__(self) -> str:
        whole = super().__repr__()
        return whole if len(whole) <= WHOLE else on_a_screen(self)

    def __str__(self) -> str:
        return repr(self)


class FileRef(Document):
    """A file, or a folder that counts as one, and the SHA-256 of its bytes.

    In memory the path is absolute. Serialised or validated with the context
    ``{"root": folder}`` it is relative to that folder, so that a run folder can be moved.
    """

    path: Path
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the reference of what exists, read once; a folder counts by the names and bytes of its files."""
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
            lines = [f"{cls.of(file).sha256} {file.relative_to(path).as_posix()}" for file in files]
            return cls(path=path.resolve(), sha256=hashlib.sha256("\n".join(lines).encode()).hexdigest())
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return cls(path=path.resolve(), sha256=digest)

    def unchanged(self) -> bool:
        """Tell whether the file is there with the same bytes."""
        return self.path.exists() and FileRef.of(self.path).sha256 == self.sha256

    @field_serializer("path")
    def _relative(self, path: Path, info: SerializationInfo) -> str:
        root = _root(info.context)
        return str(path) if root is None else os.path.relpath(path, root)

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: Path, info: ValidationInfo) -> Path:
        root = _root(info.context)
        return path if root is None or path.is_absolute() else Path(os.path.normpath(root / path))


def _root(context: Any) -> Path | None:
    return Path(context["root"]).resolve() if isinstance(context, dict) and "root" in context else None
