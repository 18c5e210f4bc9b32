"""Electrons that a counting camera lost to others of the same camera frame, and what arrived before.

A camera that counts local maxima keeps one of the electrons that lie within `reach` pixels of each other, diagonally
too, in one camera frame. With random marks on the electrons, as energies are, the survivors are Matern's second
hard-core process: of the rate a per pixel there is counted a (1 - exp(-A)) / A, A being the rate within reach (Matern,
Spatial Variation, 1960; Chiu, Stoyan, Kendall & Mecke, Stochastic Geometry and its Applications, 3rd ed., section
5.4). Where a spot is no wider than the reach this is 1 - exp(-A) in sum, whichever electron survives. A position that
is brighter by w has the rate w a, so that sums over positions hold a H(A) / A of H(A) = sum of 1 - exp(-w A).
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.model.arrays import Floats, Integers

FILL_MAX = 8.0
"""Electrons within reach and camera frame at which the inversion stops: exp(-8) = 0.0003 of the frames see none, fewer
than one of most sums. What is so bright is set aside long before (`tasks.frames.counting`)."""
FILL_LEAST = 0.003
"""Below it 0.15 % are lost, and pixels are left as they are: less than the background of most spots is known to."""
ITERATIONS = 60
"""Steps of the inversion: each takes the error at a fill of 3 to 0.84 of itself, so that 0.003 % of it is left."""
TABLE_POINTS = 400
"""Of the table of H, at equal steps of the fill of 0.02: linear interpolation is off by 0.02^2 / 8 = 0.005 %."""


class ArrivedCounts(NamedTuple):
    """What a sum of counts was before the loss.

    ``factor`` (slow, fast) float32: electrons that arrived for each that was counted, 1 where nothing was counted;
    ``fill`` (slow, fast) float32: electrons that arrived within reach of a pixel for each camera frame; where the
    packing is above one, within the larger area in which one is counted.
    """

    factor: NDArray[np.float32]
    fill: NDArray[np.float32]


def arrived(
    counts: NDArray[np.unsignedinteger], brightness: Floats, *, repeats: float, reach: int, packing: float = 1.0
) -> ArrivedCounts:
    """Return how many electrons arrived where these were counted.

    Parameters
    ----------
    counts
        (slow, fast), summed over positions that are `repeats` camera frames each.
    brightness
        (positions,) relative, of mean one.
    reach
        Pixels to either side, diagonally too, within which one electron of a camera frame is counted.
    """
    fills, hits = hit_table(brightness, repeats=repeats, packing=packing)
    exposures = repeats * len(brightness)
    start = _boxed(counts.astype(np.float64), reach) / exposures
    slow, fast = np.nonzero((counts > 0) & (start > FILL_LEAST))
    number = np.full(counts.shape, -1, dtype=np.int64)
    number[slow, fast] = np.arange(len(slow))
    lonely = np.where(number >= 0, 0.0, counts / exposures)
    outside = _boxed(lonely, reach)[slow, fast]
    value = counts[slow, fast].astype(np.float64) / exposures
    ratio, fill = _inverted(value, outside, slow, fast, number, reach, fills[1], hits / exposures)
    factor = np.ones(counts.shape, dtype=np.float32)
    filled = start.astype(np.float32)
    factor[slow, fast] = ratio
    filled[slow, fast] = fill * max(packing, 1.0)
    return ArrivedCounts(factor, filled)


def hit_table(brightness: Floats, *, repeats: float, packing: float = 1.0) -> tuple[Floats, Floats]:
    """Return fills (k,) and the electrons (k,) counted within reach in these positions.

    Half a frame is added to their number: so -n log(1 - x / n) of few hits x is without bias.
    """
    fills = np.linspace(0.0, FILL_MAX, TABLE_POINTS + 1)
    frames = repeats * len(brightness)
    hits = np.array([counted_within(fill * brightness, packing).sum() for fill in fills])
    return fills, hits * repeats * (frames + 0.5) / frames


def counted_within(fill: Floats, packing: float) -> Floats:
    """Return the electrons counted within reach and camera frame of those that arrive, (n,).

    The solution of dn/dA = (1 - p n)^(1/p), p the packing: one of random marks, 1 - exp(-A), as of any rule in a spot
    no wider than the reach; less where the survivors, and not all electrons, hide others, so that more have room: in
    the middle of wide spots of a camera that keeps the first to come, p is 0.6 (mean field; departs from Matern's
    third process, which has no closed form). More than one where electrons farther apart merge as well, in an area
    that is larger by p: (1 - exp(-p A)) / p, as charge does that spreads (0.4 px: 1.2, `tasks/simulate/README.md`).
    """
    if packing > 1.0 - 1e-6:
        return np.asarray(-np.expm1(-packing * fill) / packing)
    left = np.exp(-packing / (1.0 - packing) * np.log1p((1.0 - packing) * fill))
    return np.asarray((1.0 - left) / packing)


def lost_share(fill: Floats | float, spread: Floats | float = 0.0) -> Floats:
    """Return the share of electrons lost at a fill, where the brightness has this variance about one (gamma)."""
    fill = np.maximum(np.asarray(fill, dtype=np.float64), 1e-9)
    return np.asarray(1.0 - _hit(fill, spread) / fill)


def variance_factor(fill: Floats, spread: Floats | float = 0.0) -> Floats:
    """Return the variance of the electrons that arrived, as inferred, over that of as many all counted.

    (1 - h) h / h'^2 / A for the probability h of a hit, averaged over a gamma distribution of the brightness.
    """
    fill = np.maximum(np.asarray(fill, dtype=np.float64), 1e-9)
    v = np.maximum(np.asarray(spread, dtype=np.float64), 1e-6)
    none, none_twice = np.exp(-np.log1p(v * fill) / v), np.exp(-np.log1p(2 * v * fill) / v)
    rate = none / (1 + v * fill)
    return np.asarray((none - none_twice) / rate**2 / fill)


def _hit(fill: Floats, spread: Floats | float) -> Floats:
    v = np.maximum(np.asarray(spread, dtype=np.float64), 1e-6)
    return np.asarray(-np.expm1(-np.log1p(v * fill) / v))


def _boxed(image: Floats, reach: int) -> Floats:
    """Return the sums over squares of 2 reach + 1 pixels; nothing lies outside."""
    padded = np.pad(image, ((reach + 1, reach), (reach + 1, reach))).cumsum(axis=0).cumsum(axis=1)
    side = 2 * reach + 1
    return np.asarray(padded[side:, side:] - padded[:-side, side:] - padded[side:, :-side] + padded[:-side, :-side])


@njit(cache=True, nogil=True)
def _inverted(
    value: Floats,
    outside: Floats,
    slow: Integers,
    fast: Integers,
    number: Integers,
    reach: int,
    step: float,
    hits: Floats,
) -> tuple[Floats, Floats]:  # pragma: no cover
    """Solve rate = value A / H(A), A the rates within reach, by fixed-point steps that rise from below."""
    size = len(value)
    rate = value.copy()
    ratio = np.ones(size)
    fill = np.zeros(size)
    last = len(hits) - 1
    most = step * last
    for _ in range(ITERATIONS):
        for i in range(size):
            total = outside[i]
            for row in range(max(slow[i] - reach, 0), min(slow[i] + reach + 1, number.shape[0])):
                for column in range(max(fast[i] - reach, 0), min(fast[i] + reach + 1, number.shape[1])):
                    if number[row, column] >= 0:
                        total += rate[number[row, column]]
            fill[i] = min(total, most)
        for i in range(size):
            at = min(int(fill[i] / step), last - 1)
            seen = hits[at] + (hits[at + 1] - hits[at]) * (fill[i] / step - at)
            ratio[i] = fill[i] / seen
            rate[i] = value[i] * ratio[i]
    return ratio, fill
