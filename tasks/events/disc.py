"""The disc that a convergent beam makes of every spot: its radius and edge, from the direct beam of whole scans.

A probe of semi-angle alpha makes a top hat of radius tan(alpha) times the camera length, blurred by the detector's
point spread. Reflections of a thin crystal have the same shape, unevenly lit where the rocking curve is narrower than
the cone (Williams & Carter, Transmission Electron Microscopy, 2nd ed. 2009, ch. 20). The model of the direct beam is
that edge times a quadratic surface, for a beam that is lit unevenly, plus a surface outside it, for a halo.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize, special

from tasks.events.beam_disc import BeamDisc
from tasks.events.inversion import distances, highest
from tasks.model.arrays import Mask
from tasks.model.experiment import Beam, Detector, PixelPosition

OUTLINE = 0.35
"""Of the height of the beam, where its outline is drawn: above any halo, below the dim side of a beam whose two sides
differ by a factor of two. Chosen, not measured: the fit that follows does not depend on it."""
SCANS_FOR_DISC = 9
"""Scans whose sums are measured, spread over the series: the median of nine bears four that are blank or blocked."""
TRIPLES = 300
"""Circles through three points of the outline that are tried: where half of the outline is the disc's, one in eight
lies on it alone, and all fail once in 10^17."""
RIM_PX = 5.0
"""Beyond the radius, what is fitted: wide enough to tell a halo from an edge, narrow enough to hold few reflections.
Chosen, not measured."""
OUTLIER = 4.0
"""Deviations from the fitted disc beyond which a pixel is a reflection, a stop or dead, and is left out."""
DARK = 0.1
"""Of the upper quartile within the disc: darker pixels lie behind a stop or are dead. Chosen, not measured: no beam is
lit so unevenly."""
SECTORS = 72
"""Of the rim, 5 degrees each, in which a stop shows: a pixel of a disc's rim at a radius of 11 px."""
CONTRADICTION = 0.15
"""Of the stated radius, by which a disc may differ: semi-angles are read off tables of apertures and camera lengths to
some per cent each. Chosen, not measured."""
CONTRADICTION_PX = 1.0
"""Smaller differences are none, whatever the share: the blur of the detector is of that size."""
REFLECTIONS = 12
"""Of a scan, at most, whose discs are measured where the direct beam's is not to be believed: 10 ms each."""
LEAST_REFLECTIONS = 5
"""Of all scans, for their median to be taken. Where a beam of 1.65 px was counted as local maxima one reflection tells
its radius to 0.8 px (250 electrons, seed 1: `python -m tests.benchmarks.realism counting-250`)."""
REFLECTION_COUNTS = 150.0
"""Electrons of a reflection from which it is measured. Chosen, not measured: the edge of fewer is lost in their
noise."""
REFLECTION_CONTRAST = 4.0
"""Of a reflection over its surroundings, that it may be told from the halo. Chosen, not measured."""
REFLECTION_BOX_PX, REFLECTION_AROUND_PX = 7, 41
"""Edges of the squares in which its electrons are counted and its surroundings are looked at."""


class DiscFit(NamedTuple):
    """One direct beam: centre (slow, fast), radius and edge, px."""

    centre: PixelPosition
    radius_px: float
    edge_px: float


def stated_radius_px(beam: Beam, detector: Detector) -> float | None:
    """Return the radius of the discs that the manifest's convergence makes; None where it states none."""
    if beam.convergence_mrad is None:
        return None
    return float(np.tan(beam.convergence_mrad * 1e-3)) * detector.camera_length_mm / detector.pixel_size_mm


def edge_profile(
    distance: NDArray[np.float64], radius_px: float | NDArray[np.float64], edge_px: float
) -> NDArray[np.float64]:
    """Return the blurred top hat, one inside and zero outside, at distances from its centre."""
    return np.asarray(0.5 * special.erfc((distance - radius_px) / (np.sqrt(2.0) * edge_px)))


def spread_over(number: int) -> list[int]:
    """Return the numbers of the scans, spread over a series, whose sums show its disc."""
    return np.unique(np.linspace(0, number - 1, SCANS_FOR_DISC).astype(int)).tolist() if number else []


def disc_of_scans(
    patterns: Iterable[NDArray[np.floating | np.integer]],
    *,
    start: NDArray[np.float64] | PixelPosition,
    reach_px: float,
    stated_px: float | None,
    valid: Sequence[NDArray[np.bool_]] | None = None,
    full: Iterable[NDArray[np.bool_] | None] | None = None,
) -> tuple[BeamDisc | None, tuple[str, ...]]:
    """Return the disc of a series from sums of some of its scans, and what contradicts the manifest.

    The median over the scans. None where spots are points, and where no beam is seen and nothing is stated. A beam that
    is full has lost its shape: reflections tell it, if there are enough.

    Parameters
    ----------
    start, reach_px
        The beam lies within `reach_px` of `start`.
    stated_px
        The radius that the manifest's convergence makes; the data are believed where they say otherwise.
    valid
        The valid pixels (slow, fast) of each pattern; None = all.
    full
        Of each pattern the pixels (slow, fast) that lost so many electrons to others of the same camera frame that it
        is not known how many; None = no pixel.
    """
    masks: Iterable[NDArray[np.bool_] | None] = repeat(None) if valid is None else valid
    lost: Iterable[NDArray[np.bool_] | None] = repeat(None) if full is None else full
    fits: list[DiscFit] = []
    others: list[DiscFit] = []
    for pattern, mask, hidden in zip(patterns, masks, lost, strict=False):  # masks may go on for ever
        fit = measure_disc(pattern, start=start, reach_px=reach_px, valid=mask)
        fits += [] if fit is None else [fit]
        if fit is not None and hidden is not None and hidden[tuple(np.rint(fit.centre).astype(int))]:
            others += _of_reflections(pattern, fit, seen=~hidden if mask is None else mask & ~hidden)
    if len(others) >= LEAST_REFLECTIONS:
        fits = others
    if not fits:
        stated = None if stated_px is None else BeamDisc.stated(stated_px)
        return (None if stated is None or stated.is_point else stated), ()
    radii = np.array([fit.radius_px for fit in fits])
    radius = float(np.median(radii))
    disc = BeamDisc(
        radius_px=radius,
        edge_px=float(np.median([fit.edge_px for fit in fits])),
        scatter_px=1.4826 * float(np.median(np.abs(radii - radius))),
        scans=len(fits),
        stated_px=stated_px,
    )
    return (None if disc.is_point else disc), contradiction(disc)


def contradiction(disc: BeamDisc) -> tuple[str, ...]:
    """Return a warning that names the manifest's field if the measured disc is not the stated one."""
    if disc.stated_px is None or disc.scans == 0:
        return ()
    if abs(disc.radius_px - disc.stated_px) <= max(CONTRADICTION * disc.stated_px, CONTRADICTION_PX):
        return ()
    text = (
        f"beam.convergence_mrad makes discs of {disc.stated_px:.1f} px radius, the direct beam's is "
        f"{disc.radius_px:.1f} px in {disc.scans} scans: the data are believed; check the convergence and "
        "detector.camera_length_mm"
    )
    return (text,)


def measure_disc(
    pattern: NDArray[np.floating | np.integer],
    *,
    start: NDArray[np.float64] | PixelPosition,
    reach_px: float,
    valid: NDArray[np.bool_] | None = None,
) -> DiscFit | None:
    """Return the disc of the brightest beam near `start`; None where nothing stands out.

    The beam may be lit unevenly, have a halo, be overlapped by reflections and lie behind a stop by less than half.
    """
    seen = np.ones(pattern.shape, dtype=bool) if valid is None else valid
    image = np.where(seen, pattern, 0).astype(np.float64)
    outline = _outline(image, distances(image.shape, start) <= reach_px)
    if outline is None:
        return None
    first = _circle(outline)
    if first is None:
        return None
    return _fitted(image, seen, first)


def _of_reflections(
    pattern: NDArray[np.floating | np.integer], beam: DiscFit, *, seen: NDArray[np.bool_]
) -> list[DiscFit]:
    """Return the discs of the brightest reflections beyond the direct beam."""
    image = np.where(seen, pattern, 0).astype(np.float64)
    smooth = ndimage.gaussian_filter(image, 1.5)
    near = ndimage.uniform_filter(image, REFLECTION_BOX_PX) * REFLECTION_BOX_PX**2
    around = ndimage.uniform_filter(image, REFLECTION_AROUND_PX)
    top = (smooth == ndimage.maximum_filter(smooth, REFLECTION_BOX_PX)) & (smooth > REFLECTION_CONTRAST * around)
    top &= (near > REFLECTION_COUNTS) & (distances(image.shape, beam.centre) > 2.0 * beam.radius_px + 4.0 * RIM_PX)
    places = np.argwhere(top & ndimage.binary_erosion(seen, iterations=int(RIM_PX)))
    places = places[np.argsort(-near[tuple(places.T)], kind="stable")][:REFLECTIONS]
    found = (measure_disc(image, start=(float(y), float(x)), reach_px=RIM_PX, valid=seen) for y, x in places)
    return [fit for fit in found if fit is not None]


def _outline(image: NDArray[np.float64], near: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Return the points (n, 2) on the outline of the brightest blob near the start."""
    smooth = ndimage.gaussian_filter(image, 1.0)
    if not near.any():
        return None
    top = highest(smooth, near)
    bright = np.sort(smooth[near], axis=None)[-9:]  # nine pixels: a hot pixel is no beam
    height = float(np.median(bright))
    floor = float(np.quantile(smooth[near], 0.1))
    if not height > 4.0 * np.sqrt(max(height, 1e-12)) / 3.0 + floor:
        return None
    labels, _ = ndimage.label(smooth > floor + OUTLINE * (height - floor))
    blob = labels == labels[top]
    if not labels[top]:
        return None
    rim = blob & ~ndimage.binary_erosion(blob)
    return np.argwhere(rim).astype(np.float64)


def _circle(points: NDArray[np.float64]) -> DiscFit | None:
    """Return the circle through three points that most of the others lie on: least median of squares.

    Source: Rousseeuw, J. Am. Stat. Assoc. 79, 871-880 (1984).
    """
    middle = points.mean(axis=0)
    simple = DiscFit((float(middle[0]), float(middle[1])), max(float(np.sqrt(len(points)) / 2), 1.0), 0.7)
    if len(points) < 12:
        return simple._replace(radius_px=max(1.0, len(points) / (2 * np.pi)))
    rng = np.random.default_rng(0)
    three = points[np.array([rng.choice(len(points), 3, replace=False) for _ in range(TRIPLES)])]
    one, two = three[:, 1] - three[:, 0], three[:, 2] - three[:, 0]
    determinant = 2.0 * (one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0])
    good = np.abs(determinant) > 1e-6
    one, two, determinant, origin = one[good], two[good], determinant[good], three[good, 0]
    squares = (one**2).sum(axis=1), (two**2).sum(axis=1)
    offset = np.stack(
        [two[:, 1] * squares[0] - one[:, 1] * squares[1], one[:, 0] * squares[1] - two[:, 0] * squares[0]], axis=1
    )
    centre = origin + offset / determinant[:, None]
    radius = np.linalg.norm(centre - origin, axis=1)
    away = np.abs(np.linalg.norm(points[None] - centre[:, None], axis=2) - radius[:, None])
    best = int(np.argmin(np.median(away, axis=1)))
    on = away[best] < 2.0
    refined = points[on]
    design = np.column_stack([2 * refined, np.ones(len(refined))])
    solved = np.linalg.lstsq(design, (refined**2).sum(axis=1), rcond=None)[0]
    size = float(np.sqrt(max(solved[2] + solved[0] ** 2 + solved[1] ** 2, 1.0)))
    return DiscFit((float(solved[0]), float(solved[1])), size, 0.7)


def _fitted(image: NDArray[np.float64], seen: NDArray[np.bool_], first: DiscFit) -> DiscFit | None:
    """Fit centre, radius and edge; the surfaces inside and outside follow by linear least squares at every step."""
    reach = int(np.ceil(first.radius_px + RIM_PX + 3))
    low = np.maximum(np.rint(first.centre).astype(np.int64) - reach, 0)
    high = np.minimum(np.rint(first.centre).astype(np.int64) + reach + 1, image.shape)
    if not (high > low + 4).all():
        return None
    box = image[low[0] : high[0], low[1] : high[1]]
    slow, fast = (axis.astype(np.float64) for axis in np.mgrid[low[0] : high[0], low[1] : high[1]])
    used = seen[low[0] : high[0], low[1] : high[1]].copy()
    used &= np.hypot(slow - first.centre[0], fast - first.centre[1]) <= first.radius_px + RIM_PX
    used &= ~_behind_stop(box, slow - first.centre[0], fast - first.centre[1], first.radius_px)
    shape = np.array([*first.centre, first.radius_px, first.edge_px])
    for again in range(3):
        place = np.stack([slow[used], fast[used]])
        counts = box[used]
        if len(counts) < 20:
            return None
        sigma = np.sqrt(np.maximum(ndimage.uniform_filter(box, 3)[used], 1.0))
        bounds = (
            [shape[0] - 4, shape[1] - 4, 0.5, 0.2],
            [shape[0] + 4, shape[1] + 4, first.radius_px + RIM_PX, max(first.radius_px, 2.0)],
        )
        solved = optimize.least_squares(
            _residuals,
            np.clip(shape, np.array(bounds[0]) + 1e-3, np.array(bounds[1]) - 1e-3),
            bounds=bounds,
            x_scale=[1.0, 1.0, 1.0, 0.3],
            xtol=1e-5,
            ftol=1e-5,
            args=(place, counts, sigma),
        )
        shape = solved.x
        if again == 2:
            break
        spread = max(1.0, 1.4826 * float(np.median(np.abs(solved.fun))))
        bad = np.abs(solved.fun) > OUTLIER * spread
        kept = used.copy()
        kept[used] = ~bad
        used = kept
    return DiscFit((float(shape[0]), float(shape[1])), float(shape[2]), float(shape[3]))


def _behind_stop(
    box: NDArray[np.float64], slow: NDArray[np.float64], fast: NDArray[np.float64], radius_px: float
) -> Mask:
    """Return the pixels within the disc that hold next to nothing, those beside them and those of the rim behind them.

    Parameters
    ----------
    slow, fast
        Offsets of the pixels from the centre.
    """
    distance = np.hypot(slow, fast)
    inside = distance < radius_px - 1.5
    if inside.sum() < 9:
        return np.zeros(box.shape, dtype=bool)
    level = ndimage.uniform_filter(box, 3)
    dark = inside & (level < DARK * float(np.quantile(level[inside], 0.75)))
    sector = np.floor((np.arctan2(slow, fast) / np.pi + 1.0) * SECTORS / 2).astype(np.int64) % SECTORS
    rim = distance > radius_px - 4.0
    struck = np.bincount(sector[dark & rim], minlength=SECTORS) > 0
    struck |= np.roll(struck, 1) | np.roll(struck, -1)
    return np.asarray(ndimage.binary_dilation(dark, iterations=3) | (rim & struck[sector]))


def _residuals(
    values: NDArray[np.float64], place: NDArray[np.float64], counts: NDArray[np.float64], sigma: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (counts - model) / sigma with the best surfaces for this centre, radius and edge."""
    y, x = (place[0] - values[0]) / values[2], (place[1] - values[1]) / values[2]
    distance = np.hypot(y, x) * values[2]
    inside = edge_profile(distance, float(values[2]), float(values[3]))
    outer = 1.0 - inside
    fall = np.maximum(distance - values[2], 0.0) / RIM_PX
    columns = np.stack(
        [
            inside, inside * y, inside * x, inside * y * y, inside * x * y, inside * x * x,
            outer, outer * fall, outer * fall * fall,
        ],
        axis=1,
    ) / sigma[:, None]  # fmt: skip
    target = counts / sigma
    normal = columns.T @ columns
    ridge = 1e-9 * np.trace(normal) / len(normal)
    solved = np.linalg.solve(normal + ridge * np.eye(len(normal)), columns.T @ target)
    return np.asarray(target - columns @ solved)
