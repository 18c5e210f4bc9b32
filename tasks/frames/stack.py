"""The file of a stack of frames: written frame by frame, read whole or one by one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from tasks.model import FileRef

COMPRESSION = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
"""Every build of HDF5 has gzip. 40 frames of `python -m tests.benchmarks.integrate monoclinic-1.0` take 2.0 % of their
raw size and 2 ms each; level 4 makes that 1.4 % and 3 ms, level 9 1.0 % and 20 ms (h5py's `create_dataset`)."""


def write_stack(
    path: Path,
    frames: Iterable[NDArray[np.unsignedinteger]],
    *,
    count: int,
    mask: NDArray[np.bool_],
    dtype: type[np.unsignedinteger],
    halves: Iterable[NDArray[np.unsignedinteger]] | None = None,
    masks: tuple[NDArray[np.bool_], NDArray[np.int64]] | None = None,
    beside: Mapping[str, Sequence[NDArray[np.float32]] | Sequence[NDArray[np.bool_]]] | None = None,
) -> FileRef:
    """Write `count` frames of the shape of `mask`, (slow, fast); equal frames give equal bytes.

    Parameters
    ----------
    masks
        Where frames differ in their valid pixels: the different masks (k, slow, fast), and which is that of a frame.
    beside
        Further images of every frame, by the name of their data set.

    Raises
    ------
    ValueError
        If a pixel does not fit into `dtype`.
    """
    with h5py.File(path, "w") as file:
        file.create_dataset("mask", data=mask)
        if masks is not None:
            file.create_dataset("masks", data=masks[0], chunks=(1, *mask.shape), **COMPRESSION)
            file.create_dataset("mask_of_frame", data=masks[1].astype(np.int32))
        for name, images in (("frames", frames), ("half", halves)):
            if images is not None:
                chunks = (1, *mask.shape)
                stack = file.create_dataset(name, (count, *mask.shape), dtype=dtype, chunks=chunks, **COMPRESSION)
                for index, image in enumerate(images):
                    if int(image.max()) > np.iinfo(dtype).max:
                        raise ValueError(f"frame {index}: a pixel of {int(image.max())} does not fit into {dtype}")
                    stack[index] = image
        for name, others in (beside or {}).items():
            chunks = (1, *mask.shape)
            kind = others[0].dtype
            stack = file.create_dataset(name, (count, *mask.shape), dtype=kind, chunks=chunks, **COMPRESSION)
            for index, other in enumerate(others):
                stack[index] = other
    return FileRef.of(path)


def stored(stack: FileRef, name: str) -> NDArray[np.unsignedinteger]:
    """Return one data set of a stack as stored: ``frames``, ``half`` or ``mask``.

    Raises
    ------
    KeyError
        If the stack has none of this name.
    """
    with h5py.File(stack.path, "r") as file:
        return np.asarray(file[name])


def stored_frame(stack: FileRef, frame: int) -> NDArray[np.unsignedinteger]:
    """Return one frame as stored, (slow, fast)."""
    with h5py.File(stack.path, "r") as file:
        return np.asarray(file["frames"][frame])


def holds(stack: FileRef, name: str) -> bool:
    """Tell whether a stack has a data set of this name."""
    with h5py.File(stack.path, "r") as file:
        return name in file


def each_corrected_frame(stack: FileRef) -> Iterator[NDArray[np.unsignedinteger]]:
    """Yield the frames one by one as programs of others are to see them: electrons that arrived, in whole numbers.

    Rounding carries what it leaves from pixel to pixel along the rows, so that the sum is kept to half an electron.
    """
    with h5py.File(stack.path, "r") as file:
        frames = file["frames"]
        for index in range(len(frames)):
            counts = np.asarray(frames[index])
            if "correction" not in file:
                yield counts
                continue
            running = np.rint(np.cumsum(counts * np.asarray(file["correction"][index], dtype=np.float64)))
            yield np.diff(running, prepend=0.0).reshape(counts.shape).astype(np.uint32)


def each_frame(stack: FileRef) -> Iterator[NDArray[np.unsignedinteger]]:
    """Yield the frames one by one, (slow, fast): for series that do not fit into memory."""
    with h5py.File(stack.path, "r") as file:
        frames = file["frames"]
        for index in range(len(frames)):
            yield np.asarray(frames[index])
