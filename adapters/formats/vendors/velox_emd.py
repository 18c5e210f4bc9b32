"""Velox' EMD: images (slow, fast, n) below /Data/Image, the microscope's state as JSON for each image.

Source: the layout that RosettaSciIO reads; its texts are UTF-8 in bytes that end with zeros.
"""

import json
import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np

from adapters.formats.frame_header import FrameHeader, checked_shape, statements
from adapters.formats.vendors.confined_hdf5 import follow, stack_dataset
from adapters.formats.vendors.hdf5_stack import Hdf5Stack
from adapters.formats.vendors.hyperspy_tree import EXPERIMENTS_MOST
from tasks.model import SourceError

JSON_BYTES = 2**20
"""Of one image's state, which has 60 kB. Chosen, not measured: what claims more is damaged."""


def is_velox(file: h5py.File, opened: ExitStack) -> bool:
    """Tell whether a file is one of Velox'."""
    return isinstance(follow(file, "Data/Image", opened), h5py.Group)


def velox_stack(file: h5py.File, opened: ExitStack) -> Hdf5Stack:
    """Return the frames of the detector that has most of them.

    Raises
    ------
    SourceError
        If there are none.
    """
    path = Path(file.filename)
    group = follow(file, "Data/Image", opened)
    names = list(group)[:EXPERIMENTS_MOST] if isinstance(group, h5py.Group) else []
    found = [(name, stack_dataset(follow(file, f"Data/Image/{name}/Data", opened), opened)) for name in names]
    usable = [(name, data) for name, data in found if data is not None and data.ndim in (2, 3)]
    if not usable:
        raise SourceError(f"{path.name}: holds no images", "name the files of the frames")
    name, data = max(usable, key=lambda item: item[1].size)
    slow, fast, count = (*data.shape, 1)[:3]
    states = _states(follow(file, f"Data/Image/{name}/Metadata", opened), count)
    length = _number(states[:1], "Optics", "CameraLength")
    diffracting = _word(states[:1], "Optics", "ProjectorMode") != IMAGING
    tension = _number(states[:1], "Optics", "AccelerationVoltage")
    tilts = [_number([state], "Stage", "AlphaTilt") for state in states]
    header = FrameHeader(
        format="Velox EMD",
        shape=checked_shape(path, count, slow, fast),
        dtype=data.dtype,
        stated=statements(
            energy_kev=None if tension is None else tension / 1e3,
            camera_length_mm=None if length is None or not diffracting else length * 1e3,
        ),
        angles_deg=tuple(float(f"{math.degrees(tilt):.7g}") for tilt in tilts if tilt is not None),
        notes=(f"{len(found) - 1} other images or stacks of the file are not used",) if len(found) > 1 else (),
    )
    return Hdf5Stack(header, (data,), frames_last=True)


IMAGING = "2"
"""Of Optics.ProjectorMode: images; 1 is diffraction. The camera length of an image is not that of the frame."""


def _states(item: object, count: int) -> list[dict[str, object]]:
    """Return the state of the microscope for each image; empty ones where it cannot be read."""
    if not isinstance(item, h5py.Dataset) or item.ndim != 2 or item.dtype != np.uint8 or item.shape[0] > JSON_BYTES:
        return [{}]
    if item.is_virtual or item.external:
        return [{}]
    states: list[dict[str, object]] = []
    for index in range(min(count, item.shape[1])):
        try:
            content = json.loads(bytes(item[:, index]).rstrip(b"\0").decode("utf-8"))
        except (ValueError, RecursionError):
            content = {}
        states.append(content if isinstance(content, dict) else {})
    return states or [{}]


def _word(states: Sequence[dict[str, object]], block: str, name: str) -> str | None:
    inner = states[0].get(block)
    value = inner.get(name) if isinstance(inner, dict) else None
    return value if isinstance(value, str) else None


def _number(states: Sequence[dict[str, object]], block: str, name: str) -> float | None:
    try:
        value = float(_word(states, block, name) or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
