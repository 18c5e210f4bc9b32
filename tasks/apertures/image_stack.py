"""Images of all tilts as one dataset of HDF5, written and compressed tilt by tilt."""

from collections.abc import Iterable

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray


def write_stack(
    group: h5py.Group,
    name: str,
    images: Iterable[NDArray[np.generic]],
    shape: tuple[int, int, int],
    dtype: DTypeLike,
    *,
    level: int = 4,
) -> None:
    """Write images (ny, nx) as a dataset (n_tilts, ny, nx), of which each tilt is a chunk: one is read by itself.

    Parameters
    ----------
    level
        Of the compression, 1 the quickest.
    """
    chunks = (1, *shape[1:]) if all(shape) else True
    dataset = group.create_dataset(name, shape, dtype, chunks=chunks, compression="gzip", compression_opts=level)
    for index, image in enumerate(images):
        dataset[index] = image
