"""HyperSpy's signals, as .hspy (HDF5) and .zspy (Zarr) lay them out alike: data, axes, metadata.

Source: HyperSpy's description of the format; what RosettaSciIO writes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adapters.formats.frame_header import FrameHeader, checked_shape, statements
from tasks.model import SourceError

MICROSCOPES = ("TEM", "SEM")
EXPERIMENTS_MOST = 100
"""Signals in one file that are looked at. Chosen, not measured: there is one."""


class Signal(NamedTuple):
    """One signal: its shape and type, whether each axis is one of navigation, and numbers of the metadata.

    ``numbers``: by the path below ``metadata/Acquisition_instrument/``.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    navigate: Sequence[bool]
    numbers: Mapping[str, float | None]
    others: int = 0


WANTED = tuple(
    f"{microscope}/{name}"
    for microscope in MICROSCOPES
    for name in ("beam_energy", "camera_length", "Stage/tilt_alpha")
)
"""Numbers of the metadata that are asked for: kV, mm, degrees."""


def signal_header(path: Path, signal: Signal, kind: str) -> FrameHeader:
    """Return what a signal says as frames.

    Raises
    ------
    SourceError
        If it holds spectra, or no numbers.
    """
    images = len(signal.shape) >= 2 and not any(signal.navigate[-2:]) and all(signal.navigate[:-2])
    if not images or signal.dtype.kind not in "uif":
        raise SourceError(
            f"{path.name}: {signal.name} is no stack of images: {signal.dtype} of {signal.shape}",
            "save the signal of the frames by itself",
        )
    count = int(np.prod(signal.shape[:-2], dtype=object))
    navigation = signal.shape[:-2]

    def first(name: str) -> float | None:
        values = (signal.numbers.get(f"{microscope}/{name}") for microscope in MICROSCOPES)
        return next((value for value in values if value is not None), None)

    tilt = first("Stage/tilt_alpha")
    return FrameHeader(
        format=f"HyperSpy ({kind})",
        shape=checked_shape(path, count, *signal.shape[-2:]),
        dtype=signal.dtype,
        stated=statements(energy_kev=first("beam_energy"), camera_length_mm=first("camera_length")),
        angles_deg=() if tilt is None else (tilt,),
        scan=(navigation[0], navigation[1]) if len(navigation) == 2 and min(navigation) > 1 else None,
        notes=(f"{signal.others} other signals of the file are not used",) if signal.others else (),
    )
