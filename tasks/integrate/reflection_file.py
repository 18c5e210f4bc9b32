"""The .npz files that a Reflections document names: unmerged and merged intensities."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.model import FileRef


class Unmerged(NamedTuple):
    """Observations on one scale: hkl (n, 3) int32, the rest (n,)."""

    hkl: NDArray[np.int32]
    intensity: NDArray[np.float64]
    sigma: NDArray[np.float64]
    angle_deg: NDArray[np.float64]
    crystal: NDArray[np.int32]


class Merged(NamedTuple):
    """Unique reflections: hkl (m, 3) int32 in the asymmetric unit of the Laue group, the rest (m,)."""

    hkl: NDArray[np.int32]
    intensity: NDArray[np.float64]
    sigma: NDArray[np.float64]
    multiplicity: NDArray[np.int32]


def write_reflections(table: Unmerged | Merged, path: Path) -> FileRef:
    """Write a table; equal tables give equal bytes."""
    with path.open("wb") as stream:
        np.savez(stream, **table._asdict())
    return FileRef.of(path)


def read_unmerged(reference: FileRef) -> Unmerged:
    """Read the observations."""
    with np.load(reference.path, allow_pickle=False) as file:
        return Unmerged(**{name: file[name] for name in Unmerged._fields})


def read_merged(reference: FileRef) -> Merged:
    """Read the unique reflections."""
    with np.load(reference.path, allow_pickle=False) as file:
        return Merged(**{name: file[name] for name in Merged._fields})
