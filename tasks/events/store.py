"""The events of one scan."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class ScanEvents(NamedTuple):
    """Electrons of one scan, position by position.

    Those of position p are ``events[offsets[p]:offsets[p + 1]]``, each a flat detector pixel,
    slow * columns + fast. Mostly memory-mapped.
    """

    offsets: NDArray[np.uint64]
    events: NDArray[np.uint32]
