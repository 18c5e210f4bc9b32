"""The exact sum of an aperture that changes a little at a time."""

import numpy as np
from numpy.typing import NDArray

from flows.studio.sketch import Mask
from tasks.drawing import Scene


class CurrentSum:
    """Keeps the last sum, so that of the next mask only the positions that differ are read."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._last: tuple[int, Mask, NDArray[np.uint32]] | None = None

    def of(self, tilt: int, mask: Mask) -> NDArray[np.uint32]:
        """Return the electrons at the positions of a mask (ny, nx), (slow, fast)."""
        pattern = None
        if self._last is not None and self._last[0] == tilt:
            _, before, last = self._last
            added, removed = mask & ~before, before & ~mask
            differing = int(added.sum()) + int(removed.sum())
            if not differing:
                return last
            if differing < int(mask.sum()):
                pattern = self._scene.pattern_changed(tilt, last, added, removed)
        if pattern is None:
            pattern = self._scene.pattern(tilt, mask)
        self._last = (tilt, mask.copy(), pattern)
        return pattern
