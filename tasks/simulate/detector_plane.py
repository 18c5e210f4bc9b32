"""From places beside the direct beam to places on the detector."""

import numpy as np
from numpy.typing import NDArray

from tasks.simulate.arrived import Arrived
from tasks.simulate.models import Instrument
from tasks.simulate.specimen import Specimen


def widened(instrument: Instrument) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the flat indices in the widened scan of its positions, row by row, and of all with the flyback."""
    rows, columns = instrument.scan_shape
    grid = np.arange(rows)[:, None] * (columns + instrument.flyback_columns) + np.arange(columns)[None, :]
    return grid.ravel(), np.arange(rows * (columns + instrument.flyback_columns))


def arriving(
    specimen: Specimen,
    index: int,
    position: NDArray[np.int64],
    place: NDArray[np.float64],
    *,
    within: NDArray[np.float64] | float,
    rng: np.random.Generator,
) -> Arrived:
    """Add the detector's blur, the place ``within`` the disc, the direct beam and its descan to places (n, 2) in px."""
    instrument = specimen.settings.instrument
    columns = instrument.scan_shape[1] + instrument.flyback_columns
    blur = rng.normal(0.0, instrument.point_spread_px, (len(position), 2))
    row, column = np.divmod(position, columns)
    swing = np.stack([row / max(instrument.scan_shape[0] - 1, 1), column / max(columns - 1, 1)], axis=1) - 0.5
    spot = place + blur + within
    return Arrived(position, spot + specimen.tilts.beam_px[index] + swing * np.array(instrument.descan_px))
