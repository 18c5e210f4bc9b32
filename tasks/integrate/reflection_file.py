"""The .npz files that a Reflections document names: unmerged and merged intensities."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.model import FileRef


class Unmerged(NamedTuple):
    """Observations on one scale: hkl (n, 3) int32, the rest (n,).

    ``counts``: Poisson counts whose sigmas these are, as expected and not as counted, infinite where they are many;
    None where no likelihood of counts was asked.
    """

    hkl: NDArray[np.int32]
    intensity: NDArray[np.float64]
    sigma: NDArray[np.float64]
    angle_deg: NDArray[np.float64]
    crystal: NDArray[np.int32]
    counts: NDArray[np.float64] | None = None


class Merged(NamedTuple):
    """Unique reflections: hkl (m, 3) int32 in the asymmetric unit of the Laue group, the rest (m,)."""

    hkl: NDArray[np.int32]
    intensity: NDArray[np.float64]
    sigma: NDArray[np.float64]
    multiplicity: NDArray[np.int32]


def write_reflections(table: Unmerged | Merged, path: Path) -> FileRef:
    """Write a table; equal tables give equal bytes."""
    with path.open("wb") as stream:
        np.savez(stream, **{name: column for name, column in table._asdict().items() if column is not None})
    return FileRef.of(path)


def read_unmerged(reference: FileRef) -> Unmerged:
    """Read the observations."""
    with np.load(reference.path, allow_pickle=False) as file:
        return Unmerged(**{name: file[name] for name in Unmerged._fields if name in file})


def joined_tables(tables: Sequence[Unmerged]) -> Unmerged:
    """Return the observations of several tables, one after the other."""
    columns = {
        name: np.concatenate([getattr(one, name) for one in tables]) for name in Unmerged._fields if name != "counts"
    }
    if all(one.counts is None for one in tables):
        return Unmerged(**columns)
    counts = [np.full(len(one.hkl), np.inf) if one.counts is None else one.counts for one in tables]
    return Unmerged(**columns, counts=np.concatenate(counts))


def read_merged(reference: FileRef) -> Merged:
    """Read the unique reflections."""
    with np.load(reference.path, allow_pickle=False) as file:
        return Merged(**{name: file[name] for name in Merged._fields})
