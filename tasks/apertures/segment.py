"""One scan: real-space maps and the regions that diffract coherently."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_matrix

from tasks.apertures.clusters import DarkFields, cluster_spots
from tasks.apertures.factorise import Factors, factorise
from tasks.apertures.holes import fill_holes
from tasks.apertures.pattern import BraggSpots
from tasks.apertures.scan_spots import spots_of_scan
from tasks.apertures.settings import ProposalSettings
from tasks.events.beam_disc import BeamDisc
from tasks.events.scan_beam import DirectBeam
from tasks.events.store import ScanEvents


class Segmentation(NamedTuple):
    """Regions of one scan.

    ``factors``: weights (n_positions, k), patterns (k, n_spots); ``counts``: spot electrons (n_positions, n_spots);
    ``amplitude``: (n_positions,) share of the background, sums to 1; ``maps``: images (ny, nx) by name;
    ``good``: (ny, nx) False at hot, empty, glitched and repeated positions; ``chosen_half``: the counts of
    one half of the events, by a seeded coin.
    """

    beam: DirectBeam
    spots: BraggSpots
    counts: csr_matrix
    amplitude: NDArray[np.float64]
    factors: Factors
    maps: dict[str, NDArray[np.float64]]
    good: NDArray[np.bool_]
    chosen_half: csr_matrix


def segment_scan(
    scan: ScanEvents,
    detector_shape: tuple[int, int],
    scan_shape: tuple[int, int],
    *,
    start: NDArray[np.float64],
    settings: ProposalSettings,
    valid: NDArray[np.bool_] | None = None,
    disc: BeamDisc | None = None,
) -> Segmentation:
    """Find the coherently diffracting regions of one scan.

    Spots are found in the sum of all patterns, grouped by their dark-field images, and each position's spot counts are
    explained as a non-negative mixture of the groups' patterns and the background. Electrons on pixels of the detector
    that are not `valid`, (slow, fast), count nowhere.

    Parameters
    ----------
    disc
        That of the series; None = spots are points.
    """
    found = spots_of_scan(scan, detector_shape, scan_shape, start=start, settings=settings, valid=valid, disc=disc)
    counts = found.counts
    factors = regions_of(found.halves, counts, found.amplitude, found.spots, good=found.good, settings=settings)
    return Segmentation(
        found.beam, found.spots, counts, found.amplitude, factors, found.maps, found.good, found.halves[0]
    )


def regions_of(
    halves: tuple[csr_matrix, csr_matrix],
    counts: csr_matrix,
    amplitude: NDArray[np.float64],
    spots: BraggSpots,
    *,
    good: NDArray[np.bool_],
    settings: ProposalSettings,
) -> Factors:
    """Return the regions that diffract coherently; positions that are not good are filled from those around."""
    scan_shape: tuple[int, int] = good.shape
    empty = Factors(np.zeros((len(amplitude), 0)), np.zeros((0, len(spots.px))))
    if not len(spots.px):
        return empty
    bin_positions = max(1, round((amplitude.size / 1500.0) ** 0.5))
    fields = DarkFields(
        halves,
        amplitude,
        spots.expected,
        scan_shape=scan_shape,
        bin_positions=bin_positions,
        smooth=max(0.6, 1.2 / bin_positions),
    )
    groups = cluster_spots(
        fields,
        min_significance=settings.min_significance,
        same_image=settings.same_image,
        min_spots=settings.min_spots,
    )
    if not groups:
        return empty
    start = _start(groups, counts, amplitude, spots, scan_shape=scan_shape)
    factors = factorise(counts, amplitude, spots.expected, start=start, iterations=settings.iterations)
    return fill_holes(factors, good)


def _start(
    groups: list[NDArray[np.int64]],
    counts: csr_matrix,
    amplitude: NDArray[np.float64],
    spots: BraggSpots,
    *,
    scan_shape: tuple[int, int],
) -> Factors:
    net = np.asarray(counts.sum(axis=0)).ravel() - spots.expected
    patterns = np.full((len(groups), len(spots.px)), 1e-4)
    weights = np.zeros((len(amplitude), len(groups)))
    for index, group in enumerate(groups):
        patterns[index, group] += np.maximum(net[group], 0.0) / max(float(net[group].sum()), 1e-9)
        image = np.asarray(counts[:, group].sum(axis=1)).ravel() - amplitude * spots.expected[group].sum()
        weights[:, index] = np.maximum(ndimage.gaussian_filter(image.reshape(scan_shape), 1.0), 1e-3).ravel()
    return Factors(weights, patterns / patterns.sum(axis=1, keepdims=True))
