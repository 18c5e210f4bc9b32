"""One scan: real-space maps and the regions that diffract coherently."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_matrix

from tasks.apertures.clusters import DarkFields, cluster_spots
from tasks.apertures.factorise import Factors, factorise
from tasks.apertures.holes import fill_holes
from tasks.apertures.pattern import BraggSpots, beside_beam
from tasks.apertures.scan_spots import spots_of_scan
from tasks.apertures.segmentation import Segmentation, lay_scan
from tasks.apertures.settings import ProposalSettings
from tasks.apertures.shelf import Shelf
from tasks.apertures.tiles import (
    TileRegion,
    answers_for,
    extent,
    joined_in_size,
    placed,
    seen_in,
    tile_sizes,
    tiles_of,
    window_to_fit,
    with_larger,
    without_coincidences,
    without_tails,
)
from tasks.apertures.window import Window, is_one_tile
from tasks.events.beam_disc import BeamDisc
from tasks.events.scan_beam import DirectBeam
from tasks.events.store import ScanEvents

FLOOR = 1e-3
"""Electrons per position from which a fit starts where nothing was seen: what is zero stays zero."""
PATTERN_FLOOR = 1e-4
"""The same, of a spot in a pattern."""
MARGIN = 24
"""Positions around what was seen of a region, in a field of many tiles, within which it is fitted: what a tile leaves
around a crystal of 16. Chosen, not measured."""


def segment_scan(
    scan: ScanEvents,
    detector_shape: tuple[int, int],
    scan_shape: tuple[int, int],
    *,
    start: NDArray[np.float64],
    settings: ProposalSettings,
    valid: NDArray[np.bool_] | None = None,
    disc: BeamDisc | None = None,
    shelf: Shelf | None = None,
) -> Segmentation:
    """Find the coherently diffracting regions of one scan.

    Spots are found in the sum of all patterns, grouped by their dark-field images, and each position's spot counts are
    explained as a non-negative mixture of the groups' patterns and the background. Electrons on pixels of the detector
    that are not `valid`, (slow, fast), count nowhere.

    Parameters
    ----------
    disc
        That of the series; None = spots are points.
    shelf
        Where the arrays are laid down; None = they stay in memory.
    """
    found = spots_of_scan(scan, detector_shape, scan_shape, start=start, settings=settings, valid=valid, disc=disc)
    counts = found.counts
    factors = regions_of(
        found.halves, counts, found.amplitude, found.spots, beam=found.beam, good=found.good, settings=settings
    )
    held = lay_scan(shelf or Shelf(), counts, found.halves[0], found.amplitude, found.maps, found.good)
    bare = Segmentation(found.beam, found.spots, held, scan_shape, factors.patterns, ())
    return bare.with_factors(factors)


def regions_of(
    halves: tuple[csr_matrix, csr_matrix],
    counts: csr_matrix,
    amplitude: NDArray[np.float64],
    spots: BraggSpots,
    *,
    beam: DirectBeam,
    good: NDArray[np.bool_],
    settings: ProposalSettings,
) -> Factors:
    """Return the regions that diffract coherently; positions that are not good are filled from those around."""
    scan_shape: tuple[int, int] = good.shape
    if not len(spots.px):
        start = None
    elif is_one_tile(scan_shape):
        groups = _groups_of(halves, amplitude, spots, scan_shape, settings)
        start = _start(groups, counts, amplitude, spots, scan_shape=scan_shape) if groups else None
    else:
        start = _start_of_tiles(halves, amplitude, spots, scan_shape, settings)
    if start is None:
        return Factors(np.zeros((len(amplitude), 0)), np.zeros((0, len(spots.px))))
    factors = factorise(counts, amplitude, spots.expected, start=start, iterations=settings.iterations)
    factors = without_tails(factors, amplitude.reshape(scan_shape), spots.expected, beside_beam(beam, spots))
    return fill_holes(factors, good)


def _groups_of(
    halves: tuple[csr_matrix, csr_matrix],
    amplitude: NDArray[np.float64],
    spots: BraggSpots,
    scan_shape: tuple[int, int],
    settings: ProposalSettings,
) -> list[NDArray[np.int64]]:
    """Return groups of spots with one dark-field image, looked for in all of a scan or of a tile."""
    bin_positions = max(1, round((amplitude.size / 1500.0) ** 0.5))
    fields = DarkFields(
        halves,
        amplitude,
        spots.expected,
        scan_shape=scan_shape,
        bin_positions=bin_positions,
        smooth=max(0.6, 1.2 / bin_positions),
    )
    return cluster_spots(
        fields,
        min_significance=settings.min_significance,
        same_image=settings.same_image,
        min_spots=settings.min_spots,
    )


def _start_of_tiles(
    halves: tuple[csr_matrix, csr_matrix],
    amplitude: NDArray[np.float64],
    spots: BraggSpots,
    scan_shape: tuple[int, int],
    settings: ProposalSettings,
) -> Factors | None:
    """Return the regions of a field of many tiles to start a fit from: see `tasks.apertures.tiles`."""
    place = np.arange(len(amplitude)).reshape(scan_shape)
    found: list[TileRegion] = []
    sizes = tile_sizes(scan_shape)
    for size in sizes:
        here: list[TileRegion] = []
        for window in tiles_of(scan_shape, size):
            rows = place[window.slices].ravel()
            here += _found_in_tile((halves[0][rows], halves[1][rows]), amplitude[rows], spots, window, settings)
        least, most = answers_for(size, last=size == sizes[-1], first=size == sizes[0])
        found = with_larger(found, [one for one in joined_in_size(here) if least < extent(one) <= most])
    found = without_coincidences(found, scan_shape)
    if not found:
        return None
    weights = np.zeros((*scan_shape, len(found)))
    for column, one in enumerate(found):
        image = placed(one, scan_shape)
        inside = window_to_fit(image, MARGIN).slices
        weights[(*inside, column)] = np.maximum(ndimage.gaussian_filter(image[inside], 1.0), FLOOR)
    patterns = np.array([one.pattern for one in found]) + PATTERN_FLOOR
    return Factors(weights.reshape(-1, len(found)), patterns / patterns.sum(axis=1, keepdims=True))


def _found_in_tile(
    halves: tuple[csr_matrix, csr_matrix],
    amplitude: NDArray[np.float64],
    spots: BraggSpots,
    window: Window,
    settings: ProposalSettings,
) -> list[TileRegion]:
    """Return the regions of one tile, looked for as in a scan of its size: by the spots that it shows."""
    counts, share = (halves[0] + halves[1]).tocsc(), float(amplitude.sum())
    expected = share * spots.expected
    seen = seen_in(counts, expected)
    if len(seen) < settings.min_spots or not share > 0:
        return []
    shape = (window.bottom - window.top, window.right - window.left)
    mine = spots._replace(px=spots.px[seen], expected=expected[seen])
    groups = _groups_of((halves[0][:, seen], halves[1][:, seen]), amplitude / share, mine, shape, settings)
    net = np.maximum(np.asarray(counts.sum(axis=0)).ravel() - expected, 0.0)
    made = []
    for group in (seen[each] for each in groups):
        held = np.asarray(counts[:, group].sum(axis=1)).ravel()
        image = held - amplitude / share * expected[group].sum()
        pattern = np.zeros(len(net))
        pattern[group] = net[group] / max(float(net[group].sum()), 1e-12)
        made.append(TileRegion(window, image.reshape(shape), pattern))
    return made


def _start(
    groups: list[NDArray[np.int64]],
    counts: csr_matrix,
    amplitude: NDArray[np.float64],
    spots: BraggSpots,
    *,
    scan_shape: tuple[int, int],
) -> Factors:
    net = np.asarray(counts.sum(axis=0)).ravel() - spots.expected
    patterns = np.full((len(groups), len(spots.px)), PATTERN_FLOOR)
    weights = np.zeros((len(amplitude), len(groups)))
    for index, group in enumerate(groups):
        patterns[index, group] += np.maximum(net[group], 0.0) / max(float(net[group].sum()), 1e-9)
        image = np.asarray(counts[:, group].sum(axis=1)).ravel() - amplitude * spots.expected[group].sum()
        weights[:, index] = np.maximum(ndimage.gaussian_filter(image.reshape(scan_shape), 1.0), FLOOR).ravel()
    return Factors(weights, patterns / patterns.sum(axis=1, keepdims=True))
