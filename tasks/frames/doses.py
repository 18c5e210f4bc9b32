"""The dose that a specimen had received by the time of each scan."""

from collections.abc import Sequence

import numpy as np

from tasks.ingest import TiltScan


def accumulated_doses(scans: Sequence[TiltScan]) -> list[float | None]:
    """Return the dose by the middle of each scan, in electrons per square angstrom; None where it is not known.

    It adds up in the order of acquisition, over all scans of the specimen. A number that is missing in the order is a
    scan that was measured and lost: it counts with the dose of its neighbours in the order, interpolated. A dose that
    one scan does not state leaves that of all later ones unknown, and so of none of them a dose is given.
    """
    known = [(scan.order, scan.dose_e_per_A2) for scan in scans if scan.order is not None and scan.dose_e_per_A2]
    if not scans or len(known) < len(scans):
        return [None] * len(scans)
    order, dose = (np.array(column, dtype=np.float64) for column in zip(*sorted(known), strict=True))
    every = np.arange(int(order.max()) + 1)
    each = np.interp(every, order, dose)
    middle = np.cumsum(each) - each / 2
    return [float(middle[scan.order or 0]) for scan in scans]
