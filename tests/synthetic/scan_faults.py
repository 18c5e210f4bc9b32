"""Faults of a scan, made from the forward model: where every file position truly lies, and frames lost or repeated.

A map of places is (ny, nx, 2): row and column, in positions, at which the electrons of a file position were taken. The
scan is exposed at these places, so that a shifted row shows specimen that the sound scan never saw.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tasks.ingest.models import TiltScan, TiltSeries
from tasks.simulate.exposure import Exposure, Specimen, expose
from tasks.simulate.shapes import scan_points_nm
from tests.synthetic.stored_events import loaded, put_events


def sound(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the map of a scan without a fault."""
    return np.stack(np.indices(shape), axis=-1).astype(np.float64)


def shifted(shape: tuple[int, int], rows: NDArray[np.int64], columns: int) -> NDArray[np.float64]:
    """Return the map of a scan of which some rows were taken so many columns further on."""
    places = sound(shape)
    places[rows, :, 1] += columns
    return places


def distorted(shape: tuple[int, int], drift: tuple[float, float], shear: float) -> NDArray[np.float64]:
    """Return the map of a scan during which the specimen drifts, rows and columns, and whose axes are not square.

    Drift goes on from position to position; `shear` moves the last row by so many columns against the first.
    """
    places = sound(shape)
    time = np.arange(shape[0] * shape[1]).reshape(shape) / (shape[0] * shape[1] - 1.0) - 0.5
    row = np.linspace(-0.5, 0.5, shape[0])[:, None]
    places[..., 0] += drift[0] * time
    places[..., 1] += drift[1] * time + shear * row
    return places


def dropped(shape: tuple[int, int], first: int, frames: int, *, flyback: int = 1) -> NDArray[np.float64]:
    """Return the map of a scan that lost frames at a flat position: all that follow moved up."""
    wide = shape[1] + flyback
    row, column = np.indices(shape)
    flat = row * wide + column
    flat = np.where(row * shape[1] + column >= first, flat + frames, flat)
    return np.stack(np.divmod(flat, wide), axis=-1).astype(np.float64)


def expose_at(specimen: Specimen, index: int, places: NDArray[np.float64]) -> Exposure:
    """Return the scan at tilt number `index` whose file positions lie at `places`."""
    instrument = specimen.settings.instrument
    origin, row, column = (
        scan_points_nm(shape, instrument.step_nm, instrument.scan_rotation_deg)[-1]
        for shape in ((1, 1), (3, 1), (1, 3))
    )
    middle = (np.array(instrument.scan_shape) - 1) / 2
    away = places.reshape(-1, 2) - middle
    points = origin + away[:, :1] * (row - origin) + away[:, 1:] * (column - origin)
    return expose(specimen._replace(positions_nm=points), index)


def rewritten(scan: TiltScan, parts: Mapping[int, NDArray[np.uint32]]) -> TiltScan:
    """Write other electrons at some flat positions of a stored scan, and return its document."""
    offsets, events = loaded(scan)
    lists = [parts.get(index, events[offsets[index] : offsets[index + 1]]) for index in range(len(offsets) - 1)]
    file = put_events(scan.events.path, np.cumsum([0, *map(len, lists)]), np.concatenate(lists))
    return scan.model_copy(update={"events": file, "counts": sum(map(len, lists))})


def with_scan(series: TiltSeries, index: int, scan: TiltScan) -> TiltSeries:
    """Return the series with one scan replaced."""
    scans = (*series.scans[:index], scan, *series.scans[index + 1 :])
    return series.model_copy(update={"scans": scans})
