"""What every predicted reflection was measured from: its own pixels on each frame, and the counts in them."""

from typing import Any, NamedTuple, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from tasks.model import FileRef
from tasks.model.arrays import Floats, Integers, Mask

USED, LEFT_OUT, SET_ASIDE = 0, 1, 2
"""States of a measurement: in the intensities; not so, as its crossing said too little or lay beyond the resolution
limit; never fitted, as too little of the spot was measured or too much of it lost."""


class Measurements(NamedTuple):
    """Measurements of one crystal (n,), sorted by frame: every reflection near the sphere on every frame.

    ``hkl`` (n, 3); ``frame``: place in the series; ``px`` (n, 2) (slow, fast) where it was predicted; ``centre`` (n, 2)
    the pixel in the middle of the patch and ``core`` (n, m, m) its own pixels there. ``counts``: sum of the frame's
    pixels as stored, ``background`` below them, ``predicted``: electrons above it in all of the spot by the rocking
    model, NaN where that was not fitted. ``place``: excitation error in widths of the curve. ``overlapped``: another
    strong spot lies in the patch.
    """

    hkl: NDArray[np.int32]
    frame: Integers
    px: Floats
    centre: Integers
    core: Mask
    counts: Integers
    background: Floats
    predicted: Floats
    excitation: Floats
    state: NDArray[np.uint8]
    overlapped: Mask

    def where(self, rows: Mask | Integers) -> "Measurements":
        """Return some of the measurements."""
        return Measurements(*(cast("Any", column)[rows] for column in self))


def read_traces(reference: FileRef) -> Measurements:
    """Return the measurements of a crystal; the file is read anew every time."""
    with h5py.File(reference.path, "r") as file:
        side = int(file.attrs["side_px"])
        found = {name: np.asarray(file[name]) for name in Measurements._fields}
    bits = np.unpackbits(found["core"], axis=1, count=side * side)
    found["core"] = bits.reshape(-1, side, side).astype(bool)
    return Measurements(**found)


def own_pixels(centre: Integers, core: Mask) -> tuple[Integers, Integers]:
    """Return slow and fast (k,) of the pixels (m, m) around a centre (2,)."""
    reach = core.shape[-1] // 2
    slow, fast = np.nonzero(core)
    return slow + int(centre[0]) - reach, fast + int(centre[1]) - reach
