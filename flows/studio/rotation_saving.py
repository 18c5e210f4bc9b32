"""Saving a detector's mask that was drawn: a new folder beside the run, never one of the data, and nothing replaced."""

import contextlib
import datetime as dt
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.storage import named_storage_errors
from tasks.ingest import SourceDocument
from tasks.model import FileRef, SettingsError, SourceError

MANIFEST_NAME = "rotation_series.json"
MOST_MASKS = 1000
"""Of one place, numbered from 1. Chosen, not measured: who has saved so many wants another folder."""


class SavedMask(NamedTuple):
    """A saved mask: ``mask-NN.npy``, a manifest that names it, and what was done, in a folder of their own."""

    mask: Path
    manifest: Path
    masked_px: int
    source: Path
    """The folder of the series, which was not touched."""

    @property
    def line(self) -> str:
        """The line that belongs into ``detector`` of the manifest."""
        return f'"mask": "{self.mask.name}"'

    @property
    def advice(self) -> str:
        """What to do with it by hand."""
        return (
            f"To use it in every run, copy {self.mask.name} into {self.source} and put {self.line} into detector of "
            f"its {MANIFEST_NAME}; {self.manifest} is that manifest with the line in it."
        )


class UnsavedMask:
    """A mask that is not saved yet, kept for the next start should the browser be closed."""

    def __init__(self, work: Path, document: SourceDocument) -> None:
        self._path = work / f"unsaved-mask-{document.manifest_file.sha256[:12]}.npy"

    def keep(self, bad: NDArray[np.bool_]) -> str | None:
        """Keep the mask (slow, fast); return why that could not be done."""
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                np.save(file, bad)
            temporary.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            return f"What you draw cannot be kept in {self._path.parent} ({error.strerror}): make room, then save it."
        return None

    def found(self, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
        """Return the mask that was kept; None if there is none of this shape."""
        try:
            kept = np.load(self._path, allow_pickle=False)
        except (OSError, ValueError):
            return None
        return kept if kept.shape == shape and kept.dtype == bool else None

    def forget(self) -> None:
        """Keep nothing."""
        self._path.unlink(missing_ok=True)


def save_mask(
    bad: NDArray[np.bool_], document: SourceDocument, work: Path, *, changes: Sequence[str], who: str
) -> SavedMask:
    """Write a mask as ``detector.mask`` takes it, with a copy of the manifest that names it.

    Parameters
    ----------
    bad
        (slow, fast), True = not to be used.
    work
        Folder that gets a new folder ``mask-NN``; not that of the data.
    changes
        What was done, in words; kept with the time and `who`.

    Raises
    ------
    SourceError
        If nothing is left of the detector.
    SettingsError
        If `work` lies in the folder of the data.
    InputError
        If it cannot be written; nothing of it is left then.
    """
    source = document.manifest_file.path.parent.resolve()
    if bad.all():
        raise SourceError("the mask covers the whole detector", "erase a part of it: True means not to be used")
    if work.resolve().is_relative_to(source):
        raise SettingsError(f"{work}: lies in the folder of the data", "name another folder by --work")
    with named_storage_errors(work):
        work.mkdir(parents=True, exist_ok=True)
        partial = work / f".mask-{os.getpid()}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            folder = _named(partial, work, bad, document, changes, who)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return SavedMask(folder / f"{folder.name}.npy", folder / MANIFEST_NAME, int(bad.sum()), source)


def with_mask(document: SourceDocument, mask: Path) -> SourceDocument:
    """Return a source that is to be run with a mask that lies elsewhere; its own mask is not used."""
    detector = document.manifest.detector.model_copy(update={"mask": mask.name})
    manifest = document.manifest.model_copy(update={"detector": detector})
    return document.model_copy(update={"manifest": manifest, "mask": FileRef.of(mask)})


def _named(
    partial: Path,
    work: Path,
    bad: NDArray[np.bool_],
    document: SourceDocument,
    changes: Sequence[str],
    who: str,
) -> Path:
    """Fill the folder and give it the next number that is free; two who save at once get two numbers."""
    manifest = json.loads(document.manifest_file.path.read_text(encoding="utf-8"))
    said = {
        "format": "apertura drawn mask",
        "source": str(document.manifest_file.path.parent.resolve()),
        "manifest_sha256": document.manifest_file.sha256,
        "saved_by": who,
        "saved_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "masked_px": int(bad.sum()),
        "changes": list(changes),
    }
    (partial / "drawn.json").write_text(json.dumps(said, indent=1), encoding="utf-8")
    for number in range(1, MOST_MASKS + 1):
        name = f"mask-{number:02d}"
        if (work / name).exists():
            continue
        for earlier in partial.glob("mask-*.npy"):
            earlier.unlink()
        np.save(partial / f"{name}.npy", bad.astype(np.uint8), allow_pickle=False)
        manifest["detector"]["mask"] = f"{name}.npy"
        (partial / MANIFEST_NAME).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        try:
            partial.rename(work / name)  # fails if another made it meanwhile: it holds files
        except OSError:
            if (work / name).exists():
                continue
            raise
        return work / name
    raise SettingsError(f"{work}: holds {MOST_MASKS} masks", "name another folder by --work")
