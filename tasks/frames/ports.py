"""What the frames stage needs from the outside: a reader of image files."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class FrameImages(NamedTuple):
    """All images of one file, (n, slow, fast), in the type in which they are stored."""

    images: NDArray[np.number]
    notes: tuple[str, ...] = ()
    """What a reader of the report must know: images that are lost, an old header that was believed."""
    stated: Mapping[str, float] = {}
    """What the file says of fields of the manifest, by their dotted names: ``beam.energy_kev``, ``detector.pedestal``,
    ``detector.direct_beam_px[0]``, ``oscillation.width_deg``."""
    angles_deg: tuple[float, ...] = ()
    """Of the goniometer as the file states them, one for each image; empty = it states none."""
    bad: NDArray[np.bool_] | None = None
    """(slow, fast): pixels that the file says are not to be used."""
    mark: float | None = None
    """The value that stands for "not measured": a pixel that always has it is not used, unless the manifest's
    saturation says that it is a valid one."""


class FrameReader(Protocol):
    """Reads the images of one file."""

    @property
    def engine(self) -> str:
        """Name of the engine."""
        ...

    def read(self, path: Path, *, shape: tuple[int, int]) -> FrameImages:
        """Return all images of a file and what it says of them.

        Raises
        ------
        SourceError
            If the file is damaged, of an unknown format, or its images are not of this shape.
        """
        ...
