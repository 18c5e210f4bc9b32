"""Scans as one four-dimensional dataset of an HDF5 file: HyperSpy (.hspy), py4DSTEM, and EMD of the Berkeley lab.

Source: the layouts that HyperSpy, emdfile and ncempy document, and real files. (rows, columns, slow, fast) in all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from adapters.formats.hdf5_summary import summarise
from adapters.formats.scans.dense_scan import DenseScan
from adapters.formats.scans.hdf5_safety import cube_blocks, is_hdf5, own, own_groups, own_numbers
from tasks.model import SourceError

HYPERSPY = "Experiments"
DEPTH_MOST = 5
"""Groups within groups that are looked through: py4DSTEM's first layout has its scan at the fourth level."""


def is_hyperspy_scan(path: Path, begin: bytes) -> bool:
    """Tell a scan of HyperSpy: one of its experiments has four dimensions."""
    return is_hdf5(begin) and _any(path, _hyperspy_cubes)


def is_emd_scan(path: Path, begin: bytes) -> bool:
    """Tell a scan in EMD of the Berkeley lab, of which py4DSTEM's files are a kind, by its marked groups."""
    return is_hdf5(begin) and _any(path, _emd_cubes)


@contextmanager
def open_hyperspy(path: Path) -> Iterator[DenseScan]:
    """Open the scan in a file of HyperSpy.

    Raises
    ------
    SourceError
        If there is none, or several.
    """
    with h5py.File(path, "r") as file:
        yield _scan(list(_hyperspy_cubes(file)), file, HYPERSPY)


@contextmanager
def open_emd(path: Path) -> Iterator[DenseScan]:
    """Open the scan in a file of py4DSTEM, or another EMD file with one.

    Raises
    ------
    SourceError
        If there is none, or several.
    """
    with h5py.File(path, "r") as file:
        cubes = list(_emd_cubes(file))
        yield _scan(cubes, file, *(cube.parent.name.strip("/") for cube in cubes[:1]))


def _scan(cubes: list[h5py.Dataset], file: h5py.File, *places: str) -> DenseScan:
    if len(cubes) != 1:
        names = ", ".join(cube.name for cube in cubes[:5])
        raise SourceError(f"the file holds {len(cubes)} scans: {names}" if cubes else "the file holds no scan")
    cube = cubes[0]
    rows, columns, slow, fast = cube.shape
    return DenseScan(
        rows * columns,
        (slow, fast),
        cube.dtype,
        "unknown",
        lambda: cube_blocks(cube),
        scan_shape=(rows, columns),
        metadata=summarise(file, places),
    )


def _hyperspy_cubes(file: h5py.File) -> Iterator[h5py.Dataset]:
    """Yield the experiments with two navigation axes before two signal axes."""
    experiments = own(file, HYPERSPY)
    if not isinstance(experiments, h5py.Group):
        return
    for _, experiment in own_groups(experiments):
        cube = own_numbers(experiment, "data", 4)
        if cube is None:
            continue
        axes = [own(experiment, f"axis-{number}") for number in range(4)]
        told = [
            None if axis is None else bool(np.all(axis.attrs.get("navigate", index < 2)))
            for index, axis in enumerate(axes)
        ]
        if told not in ([True, True, False, False], [None] * 4):
            raise SourceError(
                f"{experiment.name}: its axes are not (rows, columns, slow, fast)", "transpose the signal"
            )
        yield cube


def _emd_cubes(place: h5py.Group, depth: int = 0) -> Iterator[h5py.Dataset]:
    """Yield the four-dimensional datasets of groups that are marked as EMD's."""
    if "emd_group_type" in place.attrs:
        cube = own_numbers(place, "data", 4)
        if cube is not None:
            yield cube
            return
    if depth < DEPTH_MOST:
        for _, group in own_groups(place):
            yield from _emd_cubes(group, depth + 1)


def _any(path: Path, cubes: object) -> bool:
    try:
        with h5py.File(path, "r") as file:
            return next(iter(cubes(file)), None) is not None  # type: ignore[operator]
    except SourceError:
        return True
    except (OSError, RuntimeError, KeyError, ValueError, TypeError):
        return False
