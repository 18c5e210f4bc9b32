"""One scan: the electrons that pass the specimen, and what the camera records of them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.simulate.absolute import pass_absolute
from tasks.simulate.arrived import Expected
from tasks.simulate.camera import Recorded, record
from tasks.simulate.rescaled import pass_rescaled
from tasks.simulate.specimen import Rescaled, Specimen


class Exposure(NamedTuple):
    """One scan: events in compressed sparse rows, flyback columns included, with the truth.

    ``thickness_nm`` and ``bragg_fraction`` are (n_domains, rows, columns) without flyback; ``expected`` where the model
    of scattering is absolute.
    """

    offsets: NDArray[np.int64]
    events: NDArray[np.uint32]
    thickness_nm: NDArray[np.float64]
    bragg_fraction: NDArray[np.float64]
    recorded: Recorded
    expected: Expected | None = None


def expose(specimen: Specimen, index: int) -> Exposure:
    """Return the scan at tilt number `index`: the same whichever are taken before, or in another thread."""
    model = specimen.model
    passed = (
        pass_rescaled(specimen, model, index) if isinstance(model, Rescaled) else pass_absolute(specimen, model, index)
    )
    recorded = record(passed.arrived, specimen.camera, index)
    whole = (len(specimen.domains), *specimen.settings.instrument.scan_shape)
    thickness_nm, share = passed.thickness_nm.reshape(whole), passed.bragg_fraction.reshape(whole)
    return Exposure(recorded.offsets, recorded.events, thickness_nm, share, recorded, passed.expected)
