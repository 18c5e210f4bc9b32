"""Counting of electrons by local maxima, one camera frame at a time: three models of how neighbours merge.

Each takes the electrons of all frames in compressed sparse rows and a scratch image of the sensor, of which only the
pixels that a frame's electrons touch are looked at and cleared again. The scratch image has a margin of two pixels.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.special import ndtr

from tasks.model.arrays import Floats, Integers, Mask

MARGIN = 2
"""Pixels around the scratch image: the charge of an electron at the edge reaches one, its neighbourhood another."""
REACH = 9
"""Pixels that one electron touches: 3 x 3. At the default spread of 0.4 px at most 0.6 % of its charge lies beyond them
on one side, erfc(1 / (0.4 sqrt(2))) / 2, from the pixel's edge."""

MAXIMA = 4
"""The most local maxima among the pixels of one electron, where its own is dead: the corners of 3 x 3."""


SUBPIXELS = 256
"""Steps of an electron's place in its pixel: 1/512 px at most is a hundredth of the charge's default spread."""


class FramedElectrons(NamedTuple):
    """Electrons by camera frame: frame i has rows ``bounds[i]:bounds[i + 1]``."""

    bounds: Integers
    """(n_frames + 1,)"""
    place_px: Floats
    """(n, 2), (slow, fast), on the detector."""
    deposit: Floats
    """(n,), charge in units of the most probable; greater than 0."""


def charge_sharing(
    electrons: FramedElectrons,
    dead: Mask,
    rng: np.random.Generator,
    *,
    spread_px: float,
    noise: float,
    threshold: float,
) -> tuple[Integers, Integers]:
    """Return the frame (m,) and flat pixel (m,) of every count: pixels above `threshold` that top their neighbours.

    The charge of each electron is a normal distribution of sigma `spread_px` about its place, integrated over pixels;
    charges add up; each touched pixel has normal noise. Pixels that are `dead` (rows, columns) hold nothing.
    """
    shares = _shares(spread_px)
    return _charge_sharing(electrons.bounds, electrons.place_px, electrons.deposit, dead, rng, shares, noise, threshold)


def random_marks(electrons: FramedElectrons, shape: tuple[int, int]) -> tuple[Integers, Integers]:
    """Return the counts where the electron of the largest deposit in each 3 x 3 neighbourhood survives alone.

    Matern's second hard-core process: of a Poisson process with L electrons expected in a neighbourhood the part
    (1 - exp(-L)) / L survives (Matern, Spatial Variation, 2nd ed. 1986, section 3.6).
    """
    return _random_marks(electrons.bounds, _pixels(electrons), electrons.deposit, np.array(shape))


def first_come(electrons: FramedElectrons, shape: tuple[int, int]) -> tuple[Integers, Integers]:
    """Return the counts where an electron survives unless its neighbourhood holds a survivor; largest deposit first.

    Random sequential adsorption: at saturation 0.1870 of the pixels count (Dickman, Wang & Jensen, J. Chem. Phys. 94,
    8252, 1991: exclusion of nearest and diagonal neighbours on the square lattice).
    """
    frame = np.repeat(np.arange(len(electrons.bounds) - 1), np.diff(electrons.bounds))
    order = np.lexsort((-electrons.deposit, frame))
    return _first_come(electrons.bounds, _pixels(electrons)[order], np.array(shape))


def _shares(spread_px: float) -> Floats:
    """Return the parts of an electron's charge in the pixel before its own, in it and in the one after, along an axis.

    (SUBPIXELS, 3), for the middles of the steps of its place; the largest part is always that of its own pixel.
    """
    place = ((np.arange(SUBPIXELS) + 0.5) / SUBPIXELS - 0.5)[:, None]
    edges = ndtr((np.arange(4) - 1.5 - place) / spread_px)
    return np.diff(edges, axis=1)


def _pixels(electrons: FramedElectrons) -> Integers:
    return np.rint(electrons.place_px).astype(np.int64)


@njit(cache=True, nogil=True)
def _add_charge(
    charge: Floats, touched: Integers, count: int, place: Floats, deposit: float, dead: Mask, shares: Floats
) -> int:
    """Spread the charge of one electron; append the cells it is the first to touch and return how many there are."""
    rows, columns = dead.shape
    row, column = int(np.rint(place[0])), int(np.rint(place[1]))
    down = min(int((place[0] - row + 0.5) * SUBPIXELS), SUBPIXELS - 1)
    right = min(int((place[1] - column + 0.5) * SUBPIXELS), SUBPIXELS - 1)
    for r in range(max(row - 1, 0), min(row + 2, rows)):
        along = deposit * shares[down, r - row + 1]
        for c in range(max(column - 1, 0), min(column + 2, columns)):
            added = along * shares[right, c - column + 1]
            if added > 0 and not dead[r, c]:
                cell = (r + MARGIN) * (columns + 2 * MARGIN) + c + MARGIN
                if charge[cell] == 0:
                    touched[count] = cell
                    count += 1
                charge[cell] += added
    return count


@njit(cache=True, nogil=True)
def _charge_sharing(
    bounds: Integers,
    place: Floats,
    deposit: Floats,
    dead: Mask,
    rng: np.random.Generator,
    shares: Floats,
    noise: float,
    threshold: float,
) -> tuple[Integers, Integers]:
    rows, columns = dead.shape
    wide = columns + 2 * MARGIN
    charge = np.zeros((rows + 2 * MARGIN) * wide)
    most = np.diff(bounds).max() if len(bounds) > 1 else 0
    touched = np.empty(REACH * most, dtype=np.int64)
    frames = np.empty(MAXIMA * len(place), dtype=np.int64)
    pixels = np.empty(MAXIMA * len(place), dtype=np.int64)
    found = 0
    for frame in range(len(bounds) - 1):
        count = 0
        for one in range(bounds[frame], bounds[frame + 1]):
            count = _add_charge(charge, touched, count, place[one], deposit[one], dead, shares)
        if noise > 0:
            for one in range(count):
                charge[touched[one]] += noise * rng.standard_normal()
        for one in range(count):
            cell = touched[one]
            if charge[cell] > threshold and _tops(charge, cell, wide):
                frames[found] = frame
                pixels[found] = (cell // wide - MARGIN) * columns + cell % wide - MARGIN
                found += 1
        for one in range(count):
            charge[touched[one]] = 0.0
    return frames[:found], pixels[:found]


@njit(cache=True, nogil=True)
def _tops(value: Floats, cell: int, wide: int) -> bool:
    """Tell whether no neighbour is larger; of equal ones the last tops."""
    here = value[cell]
    top = True
    for step in (1, wide - 1, wide, wide + 1):
        top = top and value[cell + step] < here and value[cell - step] <= here
    return top


@njit(cache=True, nogil=True)
def _random_marks(bounds: Integers, pixel: Integers, mark: Floats, shape: Integers) -> tuple[Integers, Integers]:
    wide = shape[1] + 2 * MARGIN
    best = np.zeros((shape[0] + 2 * MARGIN) * wide)
    frames = np.empty(len(pixel), dtype=np.int64)
    pixels = np.empty(len(pixel), dtype=np.int64)
    found = 0
    for frame in range(len(bounds) - 1):
        for one in range(bounds[frame], bounds[frame + 1]):
            cell = (pixel[one, 0] + MARGIN) * wide + pixel[one, 1] + MARGIN
            best[cell] = max(best[cell], mark[one])
        for one in range(bounds[frame], bounds[frame + 1]):
            cell = (pixel[one, 0] + MARGIN) * wide + pixel[one, 1] + MARGIN
            if best[cell] == mark[one] and _tops(best, cell, wide):
                frames[found] = frame
                pixels[found] = pixel[one, 0] * shape[1] + pixel[one, 1]
                found += 1
        for one in range(bounds[frame], bounds[frame + 1]):
            best[(pixel[one, 0] + MARGIN) * wide + pixel[one, 1] + MARGIN] = 0.0
    return frames[:found], pixels[:found]


@njit(cache=True, nogil=True)
def _first_come(bounds: Integers, pixel: Integers, shape: Integers) -> tuple[Integers, Integers]:
    """Take the electrons of each frame in the order of their rows."""
    wide = shape[1] + 2 * MARGIN
    taken = np.zeros((shape[0] + 2 * MARGIN) * wide, dtype=np.bool_)
    frames = np.empty(len(pixel), dtype=np.int64)
    pixels = np.empty(len(pixel), dtype=np.int64)
    found = 0
    for frame in range(len(bounds) - 1):
        first = found
        for one in range(bounds[frame], bounds[frame + 1]):
            cell = (pixel[one, 0] + MARGIN) * wide + pixel[one, 1] + MARGIN
            free = not taken[cell]
            for step in (1, wide - 1, wide, wide + 1):
                free = free and not taken[cell + step] and not taken[cell - step]
            if free:
                taken[cell] = True
                frames[found] = frame
                pixels[found] = pixel[one, 0] * shape[1] + pixel[one, 1]
                found += 1
        for one in range(first, found):
            taken[(pixels[one] // shape[1] + MARGIN) * wide + pixels[one] % shape[1] + MARGIN] = False
    return frames[:found], pixels[:found]
