"""Arrays of a series laid down in files, so that memory holds those of the scans in work and not of the series.

A file is read into memory anew every time that it is asked for, and never mapped: what is mapped counts as memory used.
It is deleted as soon as nothing names it any more, unless it is to be kept.
"""

import itertools
import shutil
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCANS = ".scans"
"""Folder, within that of a stage's files, of what no later stage needs."""


class Shelf:
    """A folder for arrays; without one they stay in memory. With `keep` they outlive what names them."""

    def __init__(self, folder: Path | None = None, *, keep: bool = False) -> None:
        self._folder, self._keep = folder, keep
        self._number = itertools.count()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def lay(self, arrays: Mapping[str, NDArray[Any]]) -> "Laid":
        """Lay arrays down together: one file."""
        if self._folder is None:
            return Laid(self, dict(arrays))
        path = self._folder / f"{next(self._number):06d}.npy"
        places: dict[str, int] = {}
        with path.open("wb") as file:
            for name, array in arrays.items():
                places[name] = file.tell()
                np.save(file, array, allow_pickle=False)
        return Laid(self, places, path, keep=self._keep)


@contextmanager
def shelf_in(workdir: Path) -> Iterator[Shelf]:
    """Give a shelf in a folder of `workdir` that is gone afterwards, whatever happened."""
    folder = workdir / SCANS
    try:
        yield Shelf(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Laid:
    """Arrays that were laid down together, each by its name. Those that stayed in memory are not to be changed."""

    def __init__(self, shelf: Shelf, places: "dict[str, Any]", path: Path | None = None, *, keep: bool = False) -> None:
        self.shelf = shelf
        self._places, self._path = places, path
        if path is not None and not keep:
            weakref.finalize(self, path.unlink, missing_ok=True)

    @property
    def names(self) -> tuple[str, ...]:
        """What was laid down."""
        return tuple(self._places)

    @property
    def where(self) -> tuple[Path, dict[str, int]]:
        """The file, and at which byte of it each array begins.

        Raises
        ------
        ValueError
            If they stayed in memory.
        """
        if self._path is None:
            raise ValueError("these arrays are in no file")
        return self._path, dict(self._places)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return one array.

        Raises
        ------
        KeyError
            If there is none of that name.
        """
        place = self._places[name]
        if self._path is None:
            return np.asarray(place)
        with self._path.open("rb") as file:
            file.seek(place)
            return np.asarray(np.load(file, allow_pickle=False))
