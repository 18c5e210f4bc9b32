"""What the physics hands to the camera, and what it tells the truth file."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Arrived(NamedTuple):
    """Every electron that comes to the plane of the detector in one scan, in no particular order.

    ``position`` (n,) is the flat index in the widened scan, flyback columns included; ``place_px`` (n, 2) the place
    (slow, fast) in pixels, not rounded (integers are pixel centres): the disc of the probe, the point spread, descan
    and the wandering beam are in it. Electrons beside the detector are still among them; NaN is one that was
    scattered by 90 degrees or more.
    """

    position: NDArray[np.int64]
    place_px: NDArray[np.float64]


class Expected(NamedTuple):
    """Mean number of electrons in each reflection of each crystal over one scan, before anything is counted.

    Sparse: ``crystal`` (n,) int32, ``row`` (n,) int32 in the table of reflections, ``electrons`` (n,). Misoriented
    parts are left out. Electrons that lost energy in the crystal or were scattered by the film are not among them.
    """

    crystal: NDArray[np.int32]
    row: NDArray[np.int32]
    electrons: NDArray[np.float64]


class Passage(NamedTuple):
    """What passed the specimen in one scan; ``thickness_nm`` and ``bragg_fraction`` (n_domains, n_positions).

    The thickness is that along the middle of the probe, the fraction is over all of it.
    """

    arrived: Arrived
    thickness_nm: NDArray[np.float64]
    bragg_fraction: NDArray[np.float64]
    expected: Expected | None = None
