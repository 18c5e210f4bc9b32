"""Writing stempy's HDF5 files of electron-counted scans, in all three versions; see `adapters.formats.stempy_hdf5`."""

import os
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int]
EVENT_TYPE = h5py.vlen_dtype(np.uint32)
ENTRIES_PER_BLOCK = 1 << 16
"""Frames written or read at once; one h5py call each is slow, all at once takes memory. 262 144 frames of 100 electrons
are read in 0.47 CPU s with 2^16, 0.73 with 2^12, 0.68 with 2^20; written in 0.59, 0.54, 0.90."""


def write_scan(
    path: Path,
    offsets: NDArray[np.integer],
    events: NDArray[np.integer],
    *,
    scan_shape_with_flyback: Shape,
    frame_shape: Shape,
    frames_per_position: int = 1,
) -> None:
    """Write a scan as version 3, in place by an atomic rename; equal scans give equal bytes.

    Parameters
    ----------
    offsets
        (n_entries + 1,), starting at 0: entry i holds ``events[offsets[i]:offsets[i + 1]]``. The entries are
        scan-major: entry ``position * frames_per_position + k`` with position = row * columns + column, flyback
        columns included. A lost camera frame is an empty entry.
    events
        (n_events,) flat detector pixels row * n_columns + column; repeated values are several electrons.
    scan_shape_with_flyback
        (rows, columns), flyback columns included.
    frame_shape
        (rows, columns) of the detector.

    Raises
    ------
    ValueError
        If the shapes and the events contradict each other.
    """
    _check(offsets, events, scan_shape_with_flyback, frame_shape, frames_per_position)
    positions = np.arange(scan_shape_with_flyback[0] * scan_shape_with_flyback[1], dtype=np.uint32)
    _write(path, 3, offsets, events, positions, scan_shape_with_flyback, frame_shape)


def write_scan_version1(
    path: Path,
    offsets: NDArray[np.integer],
    events: NDArray[np.integer],
    *,
    scan_shape_with_flyback: Shape,
    frame_shape: Shape,
    frames_per_position: int = 1,
) -> None:
    """Write a scan as version 1: one entry for each position; which camera frame an electron came in is lost."""
    _check(offsets, events, scan_shape_with_flyback, frame_shape, frames_per_position)
    positions = np.arange(scan_shape_with_flyback[0] * scan_shape_with_flyback[1], dtype=np.uint32)
    _write(path, 1, offsets[::frames_per_position], events, positions, scan_shape_with_flyback, frame_shape)


def write_scan_version2(
    path: Path,
    offsets: NDArray[np.integer],
    events: NDArray[np.integer],
    *,
    scan_shape_with_flyback: Shape,
    frame_shape: Shape,
    frames_per_position: int = 1,
) -> None:
    """Write a scan as version 2: only camera frames that hold electrons, each with its position, as they come."""
    _check(offsets, events, scan_shape_with_flyback, frame_shape, frames_per_position)
    full = np.flatnonzero(np.diff(offsets) > 0)
    positions = (full // frames_per_position).astype(np.uint32)
    bounds = np.concatenate([np.asarray(offsets)[full], [len(events)]])
    _write(path, 2, bounds, events, positions, scan_shape_with_flyback, frame_shape)


WRITERS = {1: write_scan_version1, 2: write_scan_version2, 3: write_scan}
"""By the version of the layout that each writes."""


def _check(
    offsets: NDArray[np.integer], events: NDArray[np.integer], scan: Shape, frame_shape: Shape, frames: int
) -> None:
    entries = scan[0] * scan[1] * frames
    if len(offsets) != entries + 1 or int(offsets[0]) != 0 or int(offsets[-1]) != len(events):
        raise ValueError(f"{len(offsets)} offsets do not describe {entries} entries of {len(events)} events")
    if len(events) and not 0 <= int(events.min()) <= int(events.max()) < frame_shape[0] * frame_shape[1]:
        raise ValueError(f"an event lies outside a frame of {frame_shape}")


def _write(
    path: Path,
    version: int,
    offsets: NDArray[np.integer],
    events: NDArray[np.integer],
    positions: NDArray[np.uint32],
    scan: Shape,
    frame_shape: Shape,
) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with h5py.File(partial, "w", libver=("earliest", "v110")) as file:
        if version > 1:  # a file of version 1 does not say so
            file.attrs["version"] = version
        group = file.create_group("electron_events")
        _write_frames(group, np.asarray(offsets, dtype=np.int64), np.asarray(events, dtype=np.uint32), frame_shape)
        scan_positions = group.create_dataset("scan_positions", data=positions)
        scan_positions.attrs["Nx"] = scan[1]
        scan_positions.attrs["Ny"] = scan[0]
    os.replace(partial, path)  # noqa: PTH105 - pathlib's rename does not replace on every system


def _write_frames(
    group: h5py.Group, offsets: NDArray[np.int64], events: NDArray[np.uint32], frame_shape: tuple[int, int]
) -> None:
    entries = len(offsets) - 1
    frames = group.create_dataset("frames", (entries,), dtype=EVENT_TYPE)
    frames.attrs["Nx"] = frame_shape[0]
    frames.attrs["Ny"] = frame_shape[1]
    for begin in range(0, entries, ENTRIES_PER_BLOCK):
        end = min(begin + ENTRIES_PER_BLOCK, entries)
        lengths = np.diff(offsets[begin : end + 1])
        if (lengths == lengths[0]).all():
            # h5py would stack entries of one length to a table and then refuse it; it takes the table itself
            if lengths[0] > 0:
                frames[begin:end] = events[offsets[begin] : offsets[end]].reshape(end - begin, int(lengths[0]))
            continue
        block = np.empty(end - begin, dtype=object)
        for index in range(begin, end):
            block[index - begin] = events[offsets[index] : offsets[index + 1]]
        frames[begin:end] = block
