"""Regions of a field of many tiles: looked for in tiles of several sizes, so that the bin follows what is sought.

A dark-field image is binned to about 1,500 cells. Over a large field that makes cells larger than small crystals, which
then merge with their neighbours or vanish in the noise of the whole; over one tile it does not. So the field is cut
into overlapping tiles of 64 positions, of 128, and so on up to the whole, and each tile is looked at as a scan of its
size would be. A size answers for regions of up to half a tile; what is larger is left to the next. Regions that are
found in two tiles, or in two sizes, are joined where they diffract alike and have one picture. Last, the whole field is
explained as the mixture of all, each within the window that it may fill.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csc_matrix

from tasks.apertures.factorise import Factors
from tasks.apertures.masks import outline_of
from tasks.apertures.window import Window, filled, whole_field

TILE = 64
"""Positions a side of the smallest tile: the size of scan at which the constants of this stage were measured."""
PARTS = 4
"""Of a tile, of which it shares one with its neighbour: 16 of 64 positions. Chosen, not measured: what is cut by
the edge of one tile is then mostly whole in the next."""
ALIKE = 0.5
"""Of the Bhattacharyya coefficient of two patterns, as in `tasks.apertures.follow.SAME_DIFFRACTION`."""
SURELY_ALIKE = 0.8
"""The same, from which on one of two regions in one place is the other and not a mixture with a third. Chosen."""
IN_PLACE = 0.5
"""Cosine of two pictures where they overlap, as in `tasks.apertures.refit.LEAST_COSINE`."""
LARGER = 1.5
"""Times the extent, from which on a region is the whole of what another is a part of. Chosen, not measured."""
COVERED = 0.5
"""Of a region's positions that other regions have, too, from which on it lies on them. Chosen, not measured."""
FAINT = 0.1
"""Of the others' electrons there: less are spots in which several crystals coincide. Set by one scan of 160 x 160
positions with seven crystals of `tests.synthetic.diffracting_cluster` (seed 2, radii of 4 to 18): the faintest crystal
that lies on another has 0.3, coincidences 0.01 to 0.06."""
SEEN = 2.5
"""Standard deviations of a spot's electrons in a tile over its background: the matched filter's 3.5 in a sharp-edged
region (0.7 of it for a Gaussian spot cut at 2.2 sigma). Less takes no part in the search for regions there."""


TAIL = 0.5
"""Of a region's electrons in spots beside the direct beam, from which on it may be the tail of the beam where there is
no material. Four scans of 256 x 256 positions (natrolite, seed 16): tails have 0.83 to 0.90 there, crystals 0.05 at
most. A large cell has several orders beside the beam, so the contrast counts, too: `without_tails`."""


class TileRegion(NamedTuple):
    """A region in its window: its spots' electrons above the background by position (rows, columns), and its pattern.

    ``pattern`` (n_spots,) sums to 1, and is zero in spots that did not tell the region.
    """

    window: Window
    image: NDArray[np.float64]
    pattern: NDArray[np.float64]


def tile_sizes(scan_shape: tuple[int, int]) -> list[int]:
    """Return the sizes of tiles, smallest first; the last holds the field."""
    sizes = [TILE]
    while 2 * sizes[-1] < max(scan_shape):
        sizes.append(2 * sizes[-1])
    return [*sizes, max(scan_shape)]


def tiles_of(scan_shape: tuple[int, int], size: int) -> list[Window]:
    """Return overlapping tiles that together are the field."""
    rows, columns = (list(_along(length, size)) for length in scan_shape)
    return [Window(*row, *column) for row in rows for column in columns]


def _along(length: int, size: int) -> Iterator[tuple[int, int]]:
    if length <= size:
        yield 0, length
        return
    shared = size // PARTS
    number = -(-(length - shared) // (size - shared))
    for start in np.rint(np.linspace(0, length - size, number)).astype(int).tolist():
        yield start, start + size


def answers_for(size: int, *, first: bool, last: bool) -> tuple[int, float]:
    """Return between which extents a tile of this size tells regions: others are told by smaller ones or by larger."""
    return 0 if first else size // (2 * PARTS), np.inf if last else size // 2


def seen_in(counts: csc_matrix, expected: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the spots of which positions (n, n_spots) hold more than expected, by `SEEN` standard deviations."""
    held = np.asarray(counts.sum(axis=0)).ravel()
    return np.flatnonzero(held - expected > SEEN * np.sqrt(np.maximum(expected, 1.0)))


def joined_in_size(found: Sequence[TileRegion]) -> list[TileRegion]:
    """Join what is found in neighbouring tiles of one size and is one region: alike, and in one place."""
    group = list(range(len(found)))
    for i, one in enumerate(found):
        for j in range(i):
            if group[i] != group[j] and alike(one, found[j]) > ALIKE and in_place(one, found[j]) > IN_PLACE:
                old, new = group[i], group[j]
                group = [new if number == old else number for number in group]
    members: dict[int, list[TileRegion]] = {}
    for number, one in zip(group, found, strict=True):
        members.setdefault(number, []).append(one)
    return [_united(ones) for _, ones in sorted(members.items())]


def with_larger(found: list[TileRegion], larger: Sequence[TileRegion]) -> list[TileRegion]:
    """Add what is found in larger tiles to what smaller ones have told.

    A part that a larger tile shows whole gives way to it; a mixture of several that are known is left out.
    """
    for one in larger:
        known = [other for other in found if alike(one, other) > ALIKE and in_place(one, other) > IN_PLACE]
        if any(alike(a, b) <= ALIKE for a in known for b in known):
            continue
        surely = [other for other in known if alike(one, other) > SURELY_ALIKE]
        parts = [other for other in surely if extent(one) > LARGER * extent(other)]
        if len(parts) == len(surely):
            found = [other for other in found if not any(other is part for part in parts)] + [one]
    return found


def without_coincidences(found: Sequence[TileRegion], scan_shape: tuple[int, int]) -> list[TileRegion]:
    """Leave out what lies on other regions and is faint beside them: spots that several have in one place."""
    total, covered = np.zeros(scan_shape), np.zeros(scan_shape, dtype=np.int64)
    cores = [_core(one, scan_shape) for one in found]
    for one, core in zip(found, cores, strict=True):
        total[one.window.slices] += one.image
        covered += core
    kept = []
    for one, core in zip(found, cores, strict=True):
        own = float(placed(one, scan_shape)[core].sum())
        on_others = float((covered[core] > 1).mean()) if core.any() else 1.0
        if on_others < COVERED or own > FAINT * (float(total[core].sum()) - own):
            kept.append(one)
    return kept


def without_tails(
    factors: Factors, amplitude: NDArray[np.float64], expected: NDArray[np.float64], beside: NDArray[np.bool_]
) -> Factors:
    """Leave out regions that are the tail of the beam, which is brightest where nothing lies, once all are fitted.

    The electrons of a large field show how the tail differs from its mean over a ring, and so does a beam that is wide
    for its window. A crystal's spots beside the beam hold more electrons of it than of the background there: of regions
    in tiles a tail had 0.33 and 0.38 times the background's (two scans), crystals 6 times and more (four scans). And a
    crystal scatters to the background as well: its picture is bright where that is, the tail's is dark there.

    Parameters
    ----------
    amplitude
        (ny, nx) share of each position in the background.
    expected
        (n_spots,) background electrons in each spot over the scan.
    beside
        (n_spots,), those next to the direct beam.
    """
    kept = []
    for column, pattern in enumerate(factors.patterns):
        share = float(pattern[beside].sum())
        image = factors.weights[:, column].reshape(amplitude.shape)
        core = outline_of(image) if share > TAIL else np.zeros(amplitude.shape, dtype=bool)
        faint = share * image[core].sum() <= amplitude[core].sum() * expected[beside].sum()
        against = np.vdot(image - image.mean(), amplitude - amplitude.mean()) < 0
        if not core.any() or not (faint or against):
            kept.append(column)
    return Factors(factors.weights[:, kept], factors.patterns[kept])


def _core(one: TileRegion, scan_shape: tuple[int, int]) -> NDArray[np.bool_]:
    core = np.zeros(scan_shape, dtype=bool)
    core[one.window.slices] = outline_of(one.image)
    return core


def alike(one: TileRegion, two: TileRegion) -> float:
    """Return the Bhattacharyya coefficient of the patterns of two regions."""
    return float(np.sqrt(one.pattern) @ np.sqrt(two.pattern))


def in_place(one: TileRegion, two: TileRegion) -> float:
    """Return the cosine of the pictures of two regions where their windows overlap; 0 where they do not."""
    both = one.window.common(two.window)
    if not both.size:
        return 0.0
    a, b = (ndimage.gaussian_filter(_cut(each, both), 1.0) for each in (one, two))
    return float(np.vdot(a, b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


def extent(one: TileRegion) -> int:
    """Return the longer side of the rectangle that a region fills, in positions; 0 if it may be noise."""
    core = filled(outline_of(one.image))
    return max(core.bottom - core.top, core.right - core.left)


def window_to_fit(image: NDArray[np.float64], margin: int) -> Window:
    """Return the window of an image (ny, nx) in which its region is fitted: where it surely is, with a margin."""
    held = filled(image)
    core = filled(outline_of(image[held.slices])) if held.size else held
    if not core.size:
        return held
    around = core.moved(np.array([held.top, held.left])).grown(margin)
    return around.common(whole_field((image.shape[0], image.shape[1])))


def placed(one: TileRegion, scan_shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the image of a region, (ny, nx)."""
    image = np.zeros(scan_shape)
    image[one.window.slices] = one.image
    return image


def _cut(one: TileRegion, window: Window) -> NDArray[np.float64]:
    return one.image[window.moved(-np.array([one.window.top, one.window.left])).slices]


def _united(ones: Sequence[TileRegion]) -> TileRegion:
    """Return one region of several: the mean picture where windows overlap, and patterns by their electrons."""
    if len(ones) == 1:
        return ones[0]
    window = ones[0].window
    for one in ones[1:]:
        window = window.around(one.window)
    shape = (window.bottom - window.top, window.right - window.left)
    total, number = np.zeros(shape), np.zeros(shape)
    for one in ones:
        here = one.window.moved(-np.array([window.top, window.left])).slices
        total[here] += one.image
        number[here] += 1.0
    pattern = np.sum([max(float(one.image.sum()), 0.0) * one.pattern for one in ones], axis=0)
    return TileRegion(window, total / np.maximum(number, 1.0), pattern / max(float(pattern.sum()), 1e-12))
