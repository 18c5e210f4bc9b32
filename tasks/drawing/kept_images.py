"""Images of scans that are kept after their events were released."""

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 64 * 2**20
"""Of the images that are kept. Chosen, not measured: four of each of 250 scans of 128 x 128 positions."""


class KeptImages:
    """Images by tilt and name; those asked for longest ago are forgotten when they are too many bytes."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._images: OrderedDict[tuple[int, str], NDArray[np.float32]] = OrderedDict()
        self._most, self._bytes = most_bytes, 0
        self._lock = threading.Lock()

    def get(self, tilt: int, name: str) -> NDArray[np.float32] | None:
        """Return an image (ny, nx), read-only; None if it is not kept."""
        with self._lock:
            if (tilt, name) in self._images:
                self._images.move_to_end((tilt, name))
            return self._images.get((tilt, name))

    def keep(self, tilt: int, name: str, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Keep an image, and return it; it becomes read-only, as all who ask share it."""
        image.flags.writeable = False
        with self._lock:
            old = self._images.pop((tilt, name), None)
            self._bytes += image.nbytes - (0 if old is None else old.nbytes)
            self._images[tilt, name] = image
            while self._bytes > self._most and len(self._images) > 1:
                self._bytes -= self._images.popitem(last=False)[1].nbytes
        return image
