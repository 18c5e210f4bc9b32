"""Frames of a rotation series as bytes for a screen: in electrons that may be fractions, negative or missing."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tasks.drawing.display import LEVELS, Stretch

TOP = 0.9995
"""Share of a frame's pixels that are not white: the direct beam and hot pixels do not set the brightness. Chosen, not
measured: 130 pixels of 512 x 512 are fewer than those of the spots, which stay apart from the background."""
SCREEN_PX = 1024
"""Extent beyond which a detector is binned to be shown. Chosen, not measured: what a window of 1920 px has room for."""


def shaded(electrons: NDArray[np.float32], stretch: Stretch) -> NDArray[np.uint8]:
    """Return a frame (slow, fast) as bytes: what is missing or negative is 0, `TOP` of the pixels lie below 255."""
    known = np.maximum(np.nan_to_num(electrons, nan=0.0, posinf=0.0, neginf=0.0), 0.0)
    bend: Callable[[NDArray[np.float32]], NDArray[np.float32]] = {"log": np.log1p, "sqrt": np.sqrt}.get(
        stretch, np.asarray
    )
    bent = bend(known)
    top = float(np.quantile(bent, TOP)) or float(bent.max()) or 1.0
    return np.rint(LEVELS * np.minimum(bent / top, 1.0)).astype(np.uint8)


def screen_factor(shape: tuple[int, int]) -> int:
    """Return the pixels that a pixel on the screen stands for along each axis."""
    return -(-max(shape) // SCREEN_PX)


def largest_of(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Return the largest values of squares of `factor` pixels: no spot and no masked pixel is lost to the eye."""
    if factor == 1:
        return image
    rows, columns = (-size % factor for size in image.shape)
    whole = np.pad(image, ((0, rows), (0, columns)))
    ny, nx = whole.shape
    return np.asarray(whole.reshape(ny // factor, factor, nx // factor, factor).max(axis=(1, 3)))
