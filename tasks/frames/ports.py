"""What the frames stage needs from the outside: a reader of image files."""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class FrameReader(Protocol):
    """Reads the images of one file."""

    @property
    def engine(self) -> str:
        """Name of the engine."""
        ...

    def read(self, path: Path, *, shape: tuple[int, int]) -> NDArray[np.number]:
        """Return all images of a file, (n, slow, fast), in the type in which they are stored.

        Raises
        ------
        SourceError
            If the file is damaged, of an unknown format, or its images are not of this shape.
        """
        ...
