"""How well two columns of figures go together."""

import numpy as np
from numpy.typing import NDArray

MIN_FOR_CORRELATION = 3
"""Two pairs always lie on a line."""


def correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    """Return Pearson's coefficient of two columns (n,); None for fewer than 3 pairs or a constant."""
    if len(x) < MIN_FOR_CORRELATION or not (np.std(x) > 0 and np.std(y) > 0):
        return None
    return float(np.clip(np.corrcoef(x, y)[0, 1], -1.0, 1.0))
