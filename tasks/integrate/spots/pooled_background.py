"""The background of frames that hold too few counts to show one: the pattern of all of them, with a level for each."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.integrate.spots.background import ring_background
from tasks.integrate.spots.images import Images
from tasks.integrate.spots.spot_search import radii_px
from tasks.model.arrays import Floats, Integers, Mask

LEAST_LEVEL = 1e-9
"""Counts per pixel: keeps a rate positive where none was ever counted. A hundred frames of 1e-9 are below any pixel's
share of one electron (3e-6 of a 576 px detector), so it decides nothing."""
LEAST_TIMES = 0.3
"""Of the frames' background that a pixel must have seen beside spots. Chosen, not measured: rarer, it is known by its
neighbours in the ring better than by itself; the pixels left out are filled from these."""


class PooledBackground(NamedTuple):
    """A pattern (slow, fast) in arbitrary units, and each frame's level (frames,)."""

    pattern: Floats
    level: Floats

    def at(self, frame: Integers, slow: Integers, fast: Integers) -> NDArray[np.float32]:
        """Return the counts that pixels of frames are expected to hold; of the shape that the three have together."""
        found = self.pattern[slow, fast] * self.level[frame]
        return np.maximum(found, LEAST_LEVEL).astype(np.float32)


def pooled_background(images: Images, spots: Callable[[int], Mask], beam_px: Floats) -> PooledBackground:
    """Return the background of frames as one pattern times a level.

    The sum of all frames without their spots is smoothed as one frame (`ring_background`), so that its counts, not
    those of a frame, decide how well the pattern is known. A frame's level is that of highest likelihood: its counts
    beside the spots over what the pattern has there. Departure from truth: backgrounds whose shape changes with the
    tilt come out in the mean shape; where frames hold enough to show theirs, `ring_background` of each is better.

    Parameters
    ----------
    spots
        The pixels (slow, fast) of a frame in which a predicted spot or the direct beam may lie.
    beam_px
        (2,), where the frames are centred.
    """
    radius = radii_px(images.valid.shape, beam_px)
    total, seen = np.zeros(radius.shape), np.zeros(radius.shape)
    whole = 0.0
    for frame in np.flatnonzero(images.used).tolist():
        free = images.valid_in(frame) & ~spots(frame)
        level = float(images.counts[frame][free].sum()) / max(int(free.sum()), 1)
        total += np.where(free, images.counts[frame], 0.0)
        seen += np.where(free, level, 0.0)
        whole += level
    known = seen > LEAST_TIMES * whole
    scaled = np.where(known, total * whole / np.maximum(seen, LEAST_TIMES * max(whole, LEAST_LEVEL)), 0.0)
    pattern = ring_background(scaled.astype(np.float32), known, radius).astype(np.float64)
    levels = np.zeros(len(images.counts))
    for frame in np.flatnonzero(images.used).tolist():
        free = images.valid_in(frame) & ~spots(frame)
        levels[frame] = float(images.counts[frame][free].sum()) / max(float(pattern[free].sum()), LEAST_LEVEL)
    return PooledBackground(pattern, levels)


def spot_mask(shape: tuple[int, ...], centre: Integers, reach: int) -> Mask:
    """Return the pixels (slow, fast) within ``reach`` px of any of some centres (n, 2)."""
    disc = np.argwhere(np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1]) <= reach) - reach
    marked = np.zeros(shape, dtype=bool)
    pixel = (centre[:, None, :] + disc).reshape(-1, 2)
    pixel = pixel[((pixel >= 0) & (pixel < np.array(shape))).all(axis=1)]
    marked[pixel[:, 0], pixel[:, 1]] = True
    return marked
