"""DigitalMicrograph's .dm3 and .dm4: RosettaSciIO walks their tags in another process, the pixels are mapped here.

A damaged tag can claim a text of 2^60 characters, which it would read one by one: hence the process and its limit.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adapters.formats.frame_damage import damage_named
from adapters.formats.frame_header import FrameHeader, VendorFrames, checked_shape, images_for, statements
from adapters.formats.vendors.apart import apart, optional
from tasks.frames import FrameImages
from tasks.model import SourceError

SUFFIXES = {".dm3", ".dm4"}
VERSIONS = (b"\0\0\0\3", b"\0\0\0\4")
"""How files begin: the version, big endian."""


class DmLayout(NamedTuple):
    """The header, and the byte at which the pixels begin."""

    header: FrameHeader
    begin: int


def is_dm(path: Path, begin: bytes) -> bool:
    """Tell whether a file is one of DigitalMicrograph's: by its version, and its name, as that alone is little."""
    return begin.startswith(VERSIONS) and path.suffix.lower() in SUFFIXES


def dm_header(path: Path) -> FrameHeader:
    """Return what a file of DigitalMicrograph says.

    Raises
    ------
    SourceError
        If it is damaged, or holds no images of numbers.
    ProgramNotFoundError
        If RosettaSciIO is not installed.
    """
    return apart(dm_layout, path).header


def read_dm(path: Path, shape: tuple[int, int]) -> FrameImages:
    """Return the images of a file of DigitalMicrograph, mapped from it.

    Raises
    ------
    SourceError
        If it is damaged, holds no images of numbers, or images of another shape.
    ProgramNotFoundError
        If RosettaSciIO is not installed.
    """
    header, begin = apart(dm_layout, path)
    images = np.memmap(path, dtype=header.dtype, mode="r", offset=begin, shape=header.shape)
    return images_for(path, VendorFrames(header, images), shape)


def dm_layout(path: Path) -> DmLayout:
    """Return how the largest stack of a file lies in it. Called in the other process.

    Raises
    ------
    SourceError
        If the file is damaged, or holds no images of numbers.
    """
    reader = optional("rsciio.digitalmicrograph", "files of DigitalMicrograph")
    with damage_named(path):
        try:
            signals = [signal for signal in reader.file_reader(str(path), lazy=True) if _is_stack(signal)]
        except ValueError as error:
            if "RGB" not in str(error):
                raise
            raise SourceError(
                f"{path.name}: holds colour images, which are pictures and not counts", "save the frames by themselves"
            ) from error
        if not signals:
            raise SourceError(f"{path.name}: holds no images of numbers", "save the stack of the frames by itself")
        signal = max(signals, key=lambda found: found["data"].size)
        data, image = signal["data"], _image(signal)
        begin = int(image["ImageData"]["Data"]["offset"])
        count = int(np.prod(data.shape[:-2], dtype=object))
        shape = checked_shape(path, count, *data.shape[-2:])
        if begin + data.size * data.dtype.itemsize > path.stat().st_size:
            raise SourceError(f"{path.name}: ends before its {count} images do", "copy the file again")
        navigation = data.shape[:-2]
        header = FrameHeader(
            format="DigitalMicrograph",
            shape=shape,
            dtype=np.dtype(data.dtype),
            stated=_stated(image),
            scan=(navigation[0], navigation[1]) if len(navigation) == 2 and min(navigation) > 1 else None,
            notes=(f"{len(signals) - 1} other images of the file are not used",) if len(signals) > 1 else (),
        )
        return DmLayout(header, begin)


def _is_stack(signal: dict[str, Any]) -> bool:
    data = signal["data"]
    return data.ndim in (2, 3, 4) and data.dtype.kind in "uif" and "offset" in _image(signal)["ImageData"]["Data"]


def _image(signal: dict[str, Any]) -> dict[str, Any]:
    return signal["original_metadata"]["ImageList"]["TagGroup0"]


def _stated(image: dict[str, Any]) -> dict[str, float]:
    """Return energy and camera length; the latter is that of scanning, as no tag is for other diffraction."""
    words = image.get("ImageTags", {}).get("Microscope Info", {})
    if not isinstance(words, dict):
        return {}
    scanning = str(words.get("Illumination Mode", "")).startswith("STEM")
    tension, length = (
        float(value) if isinstance(value := words.get(name), int | float) else None
        for name in ("Voltage", "STEM Camera Length")
    )
    return statements(
        energy_kev=None if tension is None else tension / 1e3, camera_length_mm=length if scanning else None
    )
