"""Centre and width of the direct beam in the sum of a scan, whatever is to be seen of it.

The apertures ask for both at every tilt: the width is that of the spots, and regions around a blocked beam need a
centre too. The frames ask `tasks.events.direct_beam`, which measures the centre by the beam's half height, so that a
halo or a neighbouring spot does not pull it, and returns nothing rather than a doubtful place: neighbouring tilts then
stand in.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.events.beam_disc import BeamDisc
from tasks.events.cut_beam import is_hidden
from tasks.events.disc_centre import disc_centre, disc_contrast
from tasks.events.inversion import distances, highest, self_convolution

SPOT_SIGMA = 1.5
"""Of a spot in px where no direct beam tells."""
BEAM_SHARE = 0.1
"""A maximum that holds less of all electrons may be a reflection: it must lie at the inversion centre."""


class DirectBeam(NamedTuple):
    """Centre (slow, fast) and standard deviation of the direct beam, px; `seen` is False behind a beam stop.

    ``window_px``: radius within which the beam's electrons are looked for at one position; None = 4 sigma + 4.
    """

    centre: NDArray[np.float64]
    sigma: float
    seen: bool
    window_px: float | None = None


def find_direct_beam(
    total: NDArray[np.uint32], *, start: NDArray[np.float64], valid: NDArray[np.bool_] | None = None
) -> DirectBeam:
    """Find the direct beam in the sum pattern of a scan.

    The highest maximum within a quarter of the detector of `start`, if it stands out of its surroundings;
    otherwise (beam stop, missing beam, a reflection that outshines it) the inversion centre of the pattern, from its
    self-convolution. Pixels that are not `valid`, (slow, fast), do not count; if they hide `start`, the beam is there.
    """
    if valid is not None and not valid.all():
        if is_hidden((float(start[0]), float(start[1])), valid):
            return DirectBeam(np.asarray(start, dtype=np.float64), SPOT_SIGMA, seen=False)
        total = np.where(valid, total, 0).astype(total.dtype)
    image = ndimage.gaussian_filter(total.astype(np.float64), 1.0)
    reach = 0.25 * min(total.shape)
    far = distances(total.shape, start)
    peak = np.array(highest(image, far <= reach), dtype=np.float64)
    near = distances(total.shape, peak)
    ring = total[(near > 12) & (near < 20)]
    level = float(ring.mean()) if ring.size else 0.0
    height = image[int(peak[0]), int(peak[1])]
    if height > 10 * max(level, 1e-9) and height > 20:
        core = _beam_core(total, peak, level=level)
        share = total[distances(total.shape, core.centre) <= 3.0 * core.sigma].sum() / max(int(total.sum()), 1)
        if share > BEAM_SHARE:
            return core
        middle = _centre_of_all(total, start=start, reach=reach, valid=valid)
        return core if np.hypot(*(core.centre - middle)) < 3.0 * core.sigma else DirectBeam(middle, SPOT_SIGMA, False)
    return DirectBeam(_centre_of_all(total, start=start, reach=reach, valid=valid), SPOT_SIGMA, seen=False)


def find_disc_beam(
    total: NDArray[np.uint32],
    *,
    start: NDArray[np.float64],
    disc: BeamDisc,
    valid: NDArray[np.bool_] | None = None,
) -> DirectBeam:
    """Find the direct beam of discs in the sum pattern of a scan; as `find_direct_beam`, with the disc for a spot."""
    image = (total if valid is None else np.where(valid, total, 0)).astype(np.float64)
    reach = 0.25 * min(total.shape)
    contrast = disc_contrast(image, disc)
    top = highest(contrast, distances(total.shape, start) <= reach)
    sigma, window = 0.5 * disc.radius_px, disc.reach_px + 2.0
    counts = float(contrast[top]) * np.pi * disc.radius_px**2
    if counts > 20:
        centre = disc_centre(image, (float(top[0]), float(top[1])), disc, valid=valid)
        found = DirectBeam(np.array(centre), sigma, seen=True, window_px=window)
        if counts > BEAM_SHARE * max(int(total.sum()), 1):
            return found
        middle = _centre_of_all(total, start=start, reach=reach, valid=valid)
        if np.hypot(*(found.centre - middle)) < 3.0 * sigma:
            return found
        return DirectBeam(middle, sigma, seen=False, window_px=window)
    return DirectBeam(_centre_of_all(total, start=start, reach=reach, valid=valid), sigma, seen=False, window_px=window)


def _beam_core(total: NDArray[np.uint32], peak: NDArray[np.float64], *, level: float) -> DirectBeam:
    corner = np.maximum(np.rint(peak).astype(np.int64) - 24, 0)
    window = total[corner[0] : corner[0] + 49, corner[1] : corner[1] + 49]
    grid = np.indices(window.shape).astype(np.float64)
    slow, fast = grid[0] + corner[0], grid[1] + corner[1]
    centre, sigma = peak, 1.5
    for _ in range(5):
        inside = np.hypot(slow - centre[0], fast - centre[1]) <= max(4.0, 3.0 * sigma)
        weight = np.maximum(window[inside] - level, 0.0)
        centre = np.array([np.average(slow[inside], weights=weight), np.average(fast[inside], weights=weight)])
        spread = (slow[inside] - centre[0]) ** 2 + (fast[inside] - centre[1]) ** 2
        sigma = float(np.clip(np.sqrt(np.average(spread, weights=weight) / 2), 0.7, 6.0))
    return DirectBeam(centre, sigma, seen=True)


def _centre_of_all(
    total: NDArray[np.uint32], *, start: NDArray[np.float64], reach: float, valid: NDArray[np.bool_] | None
) -> NDArray[np.float64]:
    """Return the centre c for which I(c + r) and I(c - r) agree best (Friedel's law)."""
    image = ndimage.gaussian_filter(np.sqrt(total.astype(np.float64)), 1.5)
    if valid is None or valid.all():
        image -= image.mean()
    else:
        image = np.where(valid, image - image[valid].mean(), 0.0)
    twice = self_convolution(image)
    slow, fast = np.indices(twice.shape)
    allowed = np.hypot(slow / 2 - start[0], fast / 2 - start[1]) <= reach
    return np.array(highest(twice, allowed), dtype=np.float64) / 2
