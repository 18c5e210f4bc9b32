"""Invalid pixels as rectangles, which is what programs take."""

import numpy as np
from numpy.typing import NDArray


def mask_rectangles(mask: NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Return the invalid pixels of a mask (slow, fast) as rectangles (x0, x1, y0, y1), half open, from 0."""
    open_runs: dict[tuple[int, int], int] = {}
    rectangles: list[tuple[int, int, int, int]] = []
    for row in range(len(mask) + 1):
        valid = mask[row] if row < len(mask) else np.ones(0, dtype=bool)
        edges = np.flatnonzero(np.diff(np.concatenate([[True], valid, [True]]).astype(np.int8)))
        runs = {(int(first), int(last)) for first, last in zip(edges[::2], edges[1::2], strict=True)}
        ended = [r for r in open_runs if r not in runs]
        rectangles += [(*r, open_runs.pop(r), row) for r in ended]
        for run in runs:
            open_runs.setdefault(run, row)
    return rectangles
