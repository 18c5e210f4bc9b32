"""Descan: the direct beam moves over the detector as the probe moves over the scan.

The motion is taken as a property of the instrument, the same at all tilts: linear in the scan position, and bent where
all scans together show it.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage, optimize

from tasks.events.scan_motion import NO_DESCAN, Descan, beam_of_positions, descan_of, terms_of
from tasks.events.store import ScanEvents, position_blocks
from tasks.model.experiment import PixelPosition

BLOCKS = 8
"""The scan is divided into at most 8 x 8 blocks, fewer if they would hold less than 1000 electrons each."""
EVENTS_PER_BLOCK = 1000
"""See `BLOCKS`: the centre of a beam of 3 px standard deviation is then known to 0.1 px."""
PLACES_MIN = 20
"""Blocks: fewer leave no robust spread beside the four parameters."""
LINES_MIN = 4
"""Rows and columns of blocks that show a bend: three make a parabola, the fourth can contradict it."""
WINDOW_PX = 40
"""On either side of the beam of the whole scan: the largest motion that is looked for."""
LEAST_EVENTS = 50
"""In a window: fewer know the centre of a beam of 3 px worse than 0.4 px."""
SIGNIFICANCE = 5.0
"""Standard errors: by chance once in a million fits."""
SMALLEST_PX = 0.3
"""Over the scan: electrons are shifted by whole pixels, so that a smaller motion would shift next to none."""


class BlockBeams(NamedTuple):
    """Centre (row, column) of blocks of a scan, (n, 2), and the direct beam seen from each, (n, 2)."""

    place: NDArray[np.float64]
    beam_px: NDArray[np.float64]


def block_beams(
    scan: ScanEvents,
    *,
    scan_shape: tuple[int, int],
    columns: int,
    beam_px: PixelPosition,
    radius_px: float,
    known: Descan = NO_DESCAN,
) -> BlockBeams:
    """Return where the direct beam lies for each block of scan positions; blocks with few electrons are left out.

    A motion that is known already is taken out first, to whole pixels: the blocks' beams are then sharper.

    Parameters
    ----------
    columns
        Of the detector.
    beam_px, radius_px
        The beam of the whole scan. Each block's beam is searched within 40 px of it: the highest maximum, then the
        centre of mass within `radius_px`, iterated.
    """
    block, shape = _blocks(scan_shape, len(scan.events))
    window = 2 * WINDOW_PX + 1
    origin = (round(beam_px[0]) - WINDOW_PX, round(beam_px[1]) - WINDOW_PX)
    images = np.zeros((shape[0] * shape[1], window, window), dtype=np.float64)
    shifts = -np.rint(beam_of_positions(known, scan_shape, np.zeros(2))).astype(np.int64)
    moves = shifts - np.array(origin)
    for part in position_blocks(scan):
        _histogram(part.begins, part.ends, part.events, block[part.ranges], columns, moves[part.ranges], images)
    rows, cols = np.divmod(np.arange(scan_shape[0] * scan_shape[1]), scan_shape[1])
    members = np.maximum(np.bincount(block, minlength=len(images)), 1).astype(np.float64)
    place = np.stack([np.bincount(block, index, len(images)) / members for index in (rows, cols)], axis=1)
    found = [_local_centre(image, radius_px) for image in images]
    good = [index for index, centre in enumerate(found) if centre is not None]
    beams = np.array([found[index] for index in good], dtype=np.float64).reshape(-1, 2) + origin
    return BlockBeams(place[good], beams)


def fit_descan(scans: list[BlockBeams], scan_shape: tuple[int, int]) -> Descan:
    """Return the motion that all scans share, from a robust fit; each scan has its own constant.

    A motion below 0.3 px over the scan or below 5 standard errors is no motion; fewer than 20 blocks show none. It is
    linear unless one of the quadratic terms passes the same two tests: then it is fitted with those that do.
    """
    usable = [scan for scan in scans if len(scan.place) >= 3]
    if sum(len(scan.place) for scan in usable) < PLACES_MIN:
        return NO_DESCAN
    terms = np.concatenate([_centred(terms_of(scan.place, scan_shape)) for scan in usable])
    beam = np.concatenate([_centred(scan.beam_px) for scan in usable])
    place = np.concatenate([_centred(scan.place) for scan in usable])
    extent = np.array(scan_shape, dtype=np.float64) - 1.0
    matrix, seen = _fitted(place, beam, reach=extent)
    half = extent / 2
    reach = np.array([*extent, half[0] ** 2, half[0] * half[1], half[1] ** 2])
    bent: NDArray[np.bool_] = np.zeros(3, dtype=bool)
    if min(len(np.unique(one)) for one in np.concatenate([scan.place for scan in usable]).T) >= LINES_MIN:
        bent = np.asarray(_fitted(terms, beam, reach=reach)[1][:, 2:].any(axis=0))
    if not bent.any():
        return descan_of(np.where(seen, matrix, 0.0), scan_shape)
    kept = np.concatenate([[True, True], bent])
    all_terms, sure = _fitted(terms[:, kept], beam, reach=reach[kept])
    found = np.zeros((2, len(reach)))
    found[:, kept] = np.where(sure, all_terms, 0.0)
    return descan_of(found[:, :2], scan_shape, bend=found[:, 2:])


def _fitted(
    terms: NDArray[np.float64], beam: NDArray[np.float64], *, reach: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the beam's motion per term, (2, n_terms), from a robust fit, and which are seen: large and significant."""
    count = terms.shape[1]
    scale = max(0.1, 1.4826 * float(np.median(np.abs(beam))))

    def misfit(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        return (beam - terms @ parameters.reshape(2, count).T).ravel()

    start = np.zeros(2 * count)
    rough = optimize.least_squares(misfit, start, loss="soft_l1", f_scale=scale)
    residual = misfit(rough.x)
    scale = max(0.02, 1.4826 * float(np.median(np.abs(residual))))
    fit = optimize.least_squares(misfit, rough.x, loss="soft_l1", f_scale=scale)
    found = fit.x.reshape(2, count)
    error = scale * np.sqrt(np.diag(np.linalg.pinv(terms.T @ terms)))
    return found, (np.abs(found) > SIGNIFICANCE * error[None, :]) & (np.abs(found) * reach > SMALLEST_PX)


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values - values.mean(axis=0)


def _blocks(scan_shape: tuple[int, int], events: int) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """Return the block of each scan position, (n_positions,), and how many blocks there are along either axis."""
    most = int(np.clip(np.sqrt(events / EVENTS_PER_BLOCK), 2, BLOCKS))
    shape = (min(most, scan_shape[0]), min(most, scan_shape[1]))
    rows, columns = np.divmod(np.arange(scan_shape[0] * scan_shape[1]), scan_shape[1])
    return (rows * shape[0] // scan_shape[0]) * shape[1] + columns * shape[1] // scan_shape[1], shape


@njit(cache=True, nogil=True)
def _histogram(
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    events: NDArray[np.uint32],
    block: NDArray[np.int64],
    columns: int,
    shifts: NDArray[np.int64],
    images: NDArray[np.float64],
) -> None:
    """Count the events of each block in its window."""
    height, width = images.shape[1], images.shape[2]
    for position in range(len(begins)):
        for index in range(begins[position], ends[position]):
            row = events[index] // columns + shifts[position, 0]
            column = events[index] % columns + shifts[position, 1]
            if 0 <= row < height and 0 <= column < width:
                images[block[position], row, column] += 1.0


def _local_centre(image: NDArray[np.float64], radius_px: float) -> PixelPosition | None:
    if image.sum() < LEAST_EVENTS:
        return None
    smooth = ndimage.gaussian_filter(image, max(1.0, 0.5 * radius_px), mode="constant")
    top = np.unravel_index(np.argmax(smooth), smooth.shape)
    slow, fast = np.indices(image.shape)
    centre = (float(top[0]), float(top[1]))
    for _ in range(20):
        inside = np.hypot(slow - centre[0], fast - centre[1]) <= 1.5 * radius_px
        weight = image * inside
        total = float(weight.sum())
        if total < LEAST_EVENTS:
            return None
        moved = (float((weight * slow).sum()) / total, float((weight * fast).sum()) / total)
        still = np.hypot(moved[0] - centre[0], moved[1] - centre[1]) < 1e-3
        centre = moved
        if still:
            break
    return centre
