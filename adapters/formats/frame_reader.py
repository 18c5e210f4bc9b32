"""Reading detector images for a run: by the table of formats that `apertura inspect` asks too."""

from pathlib import Path
from typing import Literal

from adapters.formats.frame_damage import damage_named
from adapters.formats.image_shape import LARGEST_BYTES
from adapters.formats.vendors.frame_formats import format_of
from tasks.frames import FrameImages
from tasks.model import Document, SourceError


class FrameFileReader(Document):
    """Reads the formats of `vendors.frame_formats`: files of cameras, microscopes and beamlines."""

    engine: Literal["image-files"] = "image-files"

    def read(self, path: Path, *, shape: tuple[int, int]) -> FrameImages:
        """Return all images of a file, (n, slow, fast), in the type in which they are stored.

        Raises
        ------
        SourceError
            If the file is damaged, of an unknown format, or its images are not of this shape.
        """
        if path.is_file() and path.stat().st_size > LARGEST_BYTES:
            raise SourceError(f"{path.name}: larger than {LARGEST_BYTES} bytes")
        with damage_named(path):
            known = format_of(path)
            if known is None:
                raise SourceError(
                    f"{path.name}: cannot be read: it is of no format of frames that is known",
                    "`apertura inspect` tells what a file is; convert it, for example to TIFF with 16 bits",
                )
            found = known.read(path, shape)
        if found.images.dtype.kind not in "uif":
            raise SourceError(f"{path.name}: holds {found.images.dtype} instead of numbers")
        return found
