"""Descan that is told beside the scans, and what the data say to it.

Offsets of the beam are measured in vacuum, where nothing pulls them aside, and are believed; but they may belong to
another session, or may have been taken out of the data already. So the motion that is left in the data without them is
looked for: if it is large, the data are believed and the contradiction is said.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.events.scan_motion import NO_DESCAN, Descan, descan_of
from tasks.ingest import TiltSeries

CONTRADICTION_PX = 1.0
"""Motion over the scan that is left in the data once the offsets are taken out: electrons are shifted by whole pixels,
and the direct beam of a block of the scan is known to 0.1 px (`tasks.events.descan.BLOCKS`)."""


class ToldDescan(NamedTuple):
    """The motion of the beam, and what there is to say about how it is known."""

    descan: Descan
    warnings: tuple[str, ...] = ()


def told_descan(series: TiltSeries) -> Descan | None:
    """Return the motion that the files beside the scans tell, the mean over the scans that have one; None = none has.

    It is fitted by the same linear and square terms as that of the data.
    """
    files = {scan.beam_px.sha256: scan.beam_px for scan in series.scans if scan.beam_px is not None}
    if not files:
        return None
    shape = series.scan.shape
    fits = [_fitted(np.load(file.path, allow_pickle=False), shape) for file in files.values()]
    mean = np.mean(fits, axis=0)
    return descan_of(mean[:, :2], shape, bend=mean[:, 2:])


def reconciled(
    series: TiltSeries, told: Descan | None, from_data: Callable[[Descan], tuple[Descan, bool]]
) -> ToldDescan:
    """Return the motion to correct, given what is told and what the data show beyond a known motion.

    Parameters
    ----------
    from_data
        Returns the motion of the beam in the data, with a known motion as a start and included in it, and whether
        enough of the beam is seen to tell.
    """
    if told is None:
        return ToldDescan(from_data(NO_DESCAN)[0])
    names = sorted({scan.source for scan in series.scans if scan.beam_px is not None})
    which = "all scans" if len(names) == len(series.scans) else f"{len(names)} of {len(series.scans)} scans"
    whole, seen = from_data(told)
    found, found_seen = from_data(NO_DESCAN)
    if not seen and not found_seen:
        checked = "too little of the beam is seen to check it"
        return ToldDescan(told, (f"offsets beside {which} tell the motion of the direct beam: {checked}",))
    left = descan_of(whole.matrix - told.matrix, series.scan.shape, bend=whole.bend - told.bend)
    if seen and left.span_px <= CONTRADICTION_PX:
        return ToldDescan(told, (f"the motion of the direct beam is that of the offsets beside {which}",))
    remains = f"it moves by {left.span_px:.1f} px" if seen else "it is not seen any more"
    warning = (
        f"offsets beside {which} tell that the direct beam moves by {told.span_px:.1f} px over the scan, but with them "
        f"taken out {remains}, without them it moves by {found.span_px:.1f} px: they contradict the data, which are "
        "believed"
    )
    return ToldDescan(found, (warning,))


def _fitted(beam_px: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return px of (slow, fast) per step and square step, (2, 5), by least squares over all positions."""
    row, column = np.divmod(np.arange(shape[0] * shape[1]), shape[1])
    y, x = row - (shape[0] - 1) / 2, column - (shape[1] - 1) / 2
    terms = np.stack([np.ones_like(y), y, x, y * y, y * x, x * x], axis=1)
    found = np.linalg.lstsq(terms, beam_px.astype(np.float64), rcond=None)[0]
    return np.asarray(found[1:].T)
