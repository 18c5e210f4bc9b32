"""The centre of inversion of a pattern (Friedel's law), which is there when the direct beam itself is blocked."""

import numpy as np
from numpy.typing import NDArray


def self_convolution(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the convolution of an image with itself: its maximum lies at twice the centre of inversion, px."""
    from scipy import signal  # it imports scipy.stats: half a second that a flow's start need not wait for

    return signal.fftconvolve(image, image, mode="full")


def highest(image: NDArray[np.float64], allowed: NDArray[np.bool_]) -> tuple[int, int]:
    """Return (slow, fast) of the highest pixel where it is allowed."""
    slow, fast = np.unravel_index(np.argmax(np.where(allowed, image, -np.inf)), image.shape)
    return int(slow), int(fast)


def distances(shape: tuple[int, ...], centre: NDArray[np.float64] | tuple[float, float]) -> NDArray[np.float64]:
    """Return the distance of every pixel (slow, fast) from a centre, px."""
    rows = np.arange(shape[0])[:, None] - centre[0]
    columns = np.arange(shape[1])[None, :] - centre[1]
    return np.hypot(rows, columns)
