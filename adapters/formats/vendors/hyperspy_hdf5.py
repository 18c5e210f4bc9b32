"""HyperSpy's .hspy: one signal below /Experiments, never its pickled or ragged parts."""

from contextlib import ExitStack
from pathlib import Path

import h5py

from adapters.formats.vendors.confined_hdf5 import follow, stack_dataset
from adapters.formats.vendors.hdf5_stack import Hdf5Stack
from adapters.formats.vendors.hdf5_values import attribute_number
from adapters.formats.vendors.hyperspy_tree import EXPERIMENTS_MOST, WANTED, Signal, signal_header
from tasks.model import SourceError


def is_hyperspy(file: h5py.File, opened: ExitStack) -> bool:
    """Tell whether a file is one of HyperSpy's."""
    return isinstance(follow(file, "Experiments", opened), h5py.Group)


def hyperspy_stack(file: h5py.File, opened: ExitStack) -> Hdf5Stack:
    """Return the frames of the first signal that is a stack of images.

    Raises
    ------
    SourceError
        If there is none.
    """
    path = Path(file.filename)
    experiments = follow(file, "Experiments", opened)
    names = list(experiments)[:EXPERIMENTS_MOST] if isinstance(experiments, h5py.Group) else []
    found = [(name, stack_dataset(follow(file, f"Experiments/{name}/data", opened), opened)) for name in names]
    usable = [(name, data) for name, data in found if data is not None]
    if not usable:
        raise SourceError(f"{path.name}: holds no signal that is a stack of images", "save the signal of the frames")
    name, data = usable[0]
    header = signal_header(path, _signal(file, name, data, opened)._replace(others=len(found) - 1), "hspy")
    return Hdf5Stack(header, (data,))


def _signal(file: h5py.File, name: str, data: h5py.Dataset, opened: ExitStack) -> Signal:
    place = f"Experiments/{name}"
    axes = [follow(file, f"{place}/axis-{index}", opened) for index in range(data.ndim)]
    said = [None if axis is None else attribute_number(axis, "navigate") for axis in axes]
    expected = [index < data.ndim - 2 for index in range(data.ndim)]
    navigate = [known if flag is None else bool(flag) for flag, known in zip(said, expected, strict=True)]
    numbers: dict[str, float | None] = {}
    for wanted in WANTED:
        group, _, word = wanted.rpartition("/")
        item = follow(file, f"{place}/metadata/Acquisition_instrument/{group}", opened)
        numbers[wanted] = None if item is None else attribute_number(item, word)
    return Signal(name, data.shape, data.dtype, navigate, numbers)
