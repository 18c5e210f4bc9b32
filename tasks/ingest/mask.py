"""What a manifest states not to be used of a detector: its mask file and its bad rectangles."""

import numpy as np
from numpy.typing import NDArray

from tasks.ingest.contracts import SourceDetector
from tasks.ingest.files import mask_place
from tasks.ingest.ports import MaskReader
from tasks.ingest.source import SourceDocument
from tasks.model import FileRef, SourceError


def stated_mask(source: SourceDocument, reader: MaskReader | None) -> NDArray[np.bool_]:
    """Return the pixels that the manifest states not to be used, (slow, fast).

    Raises
    ------
    SourceError
        If the mask cannot be read, or nothing is left of the detector.
    """
    return mask_of(source.manifest.detector, source.mask, reader)


def mask_of(detector: SourceDetector, mask: FileRef | None, reader: MaskReader | None) -> NDArray[np.bool_]:
    """Return the same of a detector, whose mask file is `mask`."""
    bad = np.zeros(detector.shape_px, dtype=bool)
    place = mask_place(detector.mask)
    if place is not None:
        if mask is None or reader is None:
            raise SourceError(f"detector.mask {place[0]}: there is nothing to read it with", "read the source again")
        bad |= reader.read(mask.path, dataset=place[1], shape=detector.shape_px)
        if bad.all():
            raise SourceError(
                f"detector.mask {place[0]}: masks every pixel", "non-zero means not to be used: invert the mask"
            )
    for top, left, bottom, right in detector.bad_rectangles_px:
        bad[top : bottom + 1, left : right + 1] = True
    if bad.all():
        raise SourceError("detector.bad_rectangles_px: no pixel of the detector is left", "correct the rectangles")
    return bad
