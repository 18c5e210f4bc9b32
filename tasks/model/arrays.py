"""Short names of the kinds of arrays that the numeric functions take and return."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
"""True where something holds."""
Image = NDArray[np.float32]
"""Frames in single precision, (slow, fast), or a stack of them."""
