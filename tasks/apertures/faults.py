"""Faults of the scans: found, put back where the pictures tell the place, and named with what they cost."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.apertures.models import ScanFault
from tasks.apertures.places import PutBack, identity, put_back, put_back_by
from tasks.apertures.segmentation import Segmentation
from tasks.apertures.settings import ProposalSettings
from tasks.apertures.shifted_rows import ShiftedRows, scans_with_shifted_rows
from tasks.events.repeated import repeated_positions
from tasks.ingest import TiltScan, TiltSeries, open_events

COUNTED = 20.0
"""Electrons per position, in the median of a scan, from which on a position without any has lost its frame: chance
leaves none once in 5 x 10^8 positions (Poisson)."""


class PlacedScans(NamedTuple):
    """The scans with their pictures at true places; ``places`` and ``how`` of those that are not sound, by number."""

    segmentations: list[Segmentation]
    places: dict[int, NDArray[np.float64]]
    how: dict[int, PutBack]
    shifted: list[ShiftedRows]


def placed(segmentations: list[Segmentation], offsets: NDArray[np.float64], settings: ProposalSettings) -> PlacedScans:
    """Find the scans of which positions lie beside their places, and put their pictures back."""
    shifted = scans_with_shifted_rows(segmentations, offsets)
    places: dict[int, NDArray[np.float64]] = {}
    for one in shifted:
        places[one.scan] = identity(segmentations[one.scan].scan_shape)
        places[one.scan][..., 1] += one.shift[:, None]
    how = {scan: put_back_by(where) for scan, where in places.items()}
    pictures = [
        put_back(one, how[scan], settings) if scan in how else one for scan, one in enumerate(segmentations)
    ]  # fmt: skip
    return PlacedScans(pictures, places, how, shifted)


def shifted_faults(shifted: Sequence[ShiftedRows], series: TiltSeries) -> tuple[ScanFault, ...]:
    """Return what is said of scans with shifted rows."""
    return tuple(
        _fault(
            series.scans[one.scan],
            "distorted" if one.sheared else "shifted rows",
            int((one.shift != 0).sum()) * series.scan.shape[1],
            f"{_said(one)}: put back for the outlines; what is summed stays as measured",
            columns=one.columns,
            corrected=True,
        )
        for one in shifted
    )


def _said(one: ShiftedRows) -> str:
    if one.sheared:
        return f"sheared, or drifting, by {one.columns} columns from the first row to the last"
    said = (
        f"rows lie beside their places, {one.rows} of those with crystals by {one.columns} columns against the others"
    )
    steps = np.flatnonzero(np.diff(one.shift))
    if len(steps) != 1 or one.shift[-1] < one.shift[0]:
        return said
    return f"{said}, as if {one.columns} frames were dropped before row {steps[0] + 1}"


def frame_faults(series: TiltSeries) -> tuple[ScanFault, ...]:
    """Return what is said of scans with repeated and lost frames."""
    found = []
    for scan in series.scans:
        events = open_events(scan)
        number = np.diff(events.offsets.astype(np.int64))
        repeated, lost = int(repeated_positions(events).sum()), int((number == 0).sum())
        if repeated:
            note = f"{repeated} of {len(number)} frames are those before them, electron for electron: left out"
            found.append(_fault(scan, "repeated frames", repeated, note))
        if lost and np.median(number) >= COUNTED:
            note = f"{lost} of {len(number)} frames hold no electron: filled in the pictures, never summed"
            found.append(_fault(scan, "lost frames", lost, note))
    return tuple(found)


def notes_of(faults: Sequence[ScanFault]) -> tuple[str, ...]:
    """Return one sentence per fault, with the scan it is of."""
    return tuple(f"{one.source} (tilt {one.tilt_deg:g}): {one.note}" for one in faults)


def _fault(
    scan: TiltScan, kind: str, positions: int, note: str, *, columns: int = 0, corrected: bool = False
) -> ScanFault:
    return ScanFault.model_validate(
        {
            "source": scan.source,
            "tilt_deg": scan.tilt_deg,
            "kind": kind,
            "positions": positions,
            "columns": columns,
            "corrected": corrected,
            "note": note,
        }
    )
