"""The direct beam over a series: single misses are bridged, outliers replaced, both said."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.events.direct_beam import BeamFit
from tasks.model import SourceError
from tasks.model.experiment import PixelPosition

WINDOW = 7
"""Frames on either side that make the median. Chosen, not measured: a median of 14 bears six wrong beams; a longer one
spans more of a curved drift, which its symmetry does not take out."""
OUTLIER_PX = 4.0
"""A beam this close to the median is never an outlier. Chosen, not measured: where most beams agree to hundredths of a
pixel, OUTLIER_MAD alone would throw out a true jump of a pixel, and frames would be centred wrongly by it."""
OUTLIER_MAD = 6.0
"""In medians of the distances from the median: that of a normal error in two dimensions is 1.18 sigma (Rayleigh's
distribution), so the limit is 7.1 sigma, which chance passes less than once in 10^10 frames."""


class BeamTrack(NamedTuple):
    """The direct beam of every frame.

    ``px`` (n, 2) slow and fast; ``measured`` (n,) False where the neighbours' running median stands in for a
    measurement; ``notes`` (n,) why.
    """

    px: NDArray[np.float64]
    measured: NDArray[np.bool_]
    notes: tuple[str, ...]


def track_beam(fits: Sequence[BeamFit | None], *, start: PixelPosition | None, name: str) -> BeamTrack:
    """Return the beam of every frame of a series that is sorted by angle.

    A measurement that is farther from the median of its 7 neighbours on either side than 4 px and than 6 median
    absolute deviations is replaced by that median, as is one that is missing. Without a single measurement, `start`
    is believed.

    Raises
    ------
    SourceError
        If the beam is found on no frame and there is no `start`.
    """
    count = len(fits)
    px = np.array([(np.nan, np.nan) if fit is None else fit.centre for fit in fits]).reshape(count, 2)
    found = ~np.isnan(px[:, 0])
    if not found.any():
        if start is None:
            raise SourceError(
                f"{name}: the direct beam is not seen on any frame", "give detector.direct_beam_px in the manifest"
            )
        note = "the direct beam was not found: direct_beam_px of the manifest is used"
        return BeamTrack(np.tile(start, (count, 1)).astype(np.float64), found, (note,) * count)
    smooth = _running_median(px, found)
    distance = np.hypot(*(px - smooth).T)
    spread = float(np.median(distance[found]))
    kept = found.copy()
    kept[found] = distance[found] <= max(OUTLIER_PX, OUTLIER_MAD * spread)
    if not kept.all():
        smooth = _running_median(px, kept)
        px = np.where(kept[:, None], px, smooth)
    notes = tuple(_note(bool(was), bool(is_), name) for was, is_ in zip(found, kept, strict=True))
    return BeamTrack(px, kept, notes)


def _note(was_found: bool, was_kept: bool, name: str) -> str:
    if was_kept:
        return ""
    reason = "lies far from that of its neighbours" if was_found else "was not found"
    return f"{name}: the direct beam {reason}: theirs is used"


def _running_median(px: NDArray[np.float64], good: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the median of the nearest good positions, up to 7 on either side, of each frame.

    As many on one side as on the other, so that a drift does not bias it; near the ends the 5 nearest.
    """
    places = np.flatnonzero(good)
    result = np.empty_like(px)
    for index in range(len(px)):
        left, right = int(np.searchsorted(places, index)), int(np.searchsorted(places, index, side="right"))
        reach = min(WINDOW, left, len(places) - right)
        if reach < 2:
            near = places[np.argsort(np.abs(places - index), kind="stable")[:5]]
        else:
            near = places[left - reach : right + reach]
        result[index] = np.median(px[near], axis=0)
    return result
