"""The Bragg spots of one scan and what every position holds of them: no regions yet."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_matrix

from tasks.apertures.disc_pattern import find_bragg_discs
from tasks.apertures.pattern import BraggSpots, find_bragg_spots
from tasks.apertures.settings import ProposalSettings
from tasks.apertures.tile_spots import spots_of_tiles
from tasks.apertures.window import is_one_tile
from tasks.events.beam_disc import BeamDisc
from tasks.events.canvas import canvas_for, measured
from tasks.events.inversion import distances
from tasks.events.labelled_events import LabelledEvents
from tasks.events.repeated import repeated_positions
from tasks.events.scan_beam import DirectBeam, find_direct_beam, find_disc_beam
from tasks.events.scan_shift import fit_beam_shift
from tasks.events.store import ScanEvents
from tasks.events.sums import sum_pattern

CUT_SHARE = 0.02
"""Of the pixels about the beam: some bad pixels do not move its centre. Chosen, not measured."""


class ScanSpots(NamedTuple):
    """Spots of one scan, and each position's electrons in them.

    ``halves``: counts (n_positions, n_spots) of the two halves of the events, by a seeded coin; ``amplitude``:
    (n_positions,) share of the background, sums to 1; ``maps``: images (ny, nx) by name; ``good``: (ny, nx) False at
    hot, empty, glitched and repeated positions.
    """

    beam: DirectBeam
    spots: BraggSpots
    halves: tuple[csr_matrix, csr_matrix]
    amplitude: NDArray[np.float64]
    maps: dict[str, NDArray[np.float64]]
    good: NDArray[np.bool_]

    @property
    def counts(self) -> csr_matrix:
        """Electrons of every position in every spot, (n_positions, n_spots); added up anew every time."""
        return (self.halves[0] + self.halves[1]).tocsr()


def spots_of_scan(
    scan: ScanEvents,
    detector_shape: tuple[int, int],
    scan_shape: tuple[int, int],
    *,
    start: NDArray[np.float64],
    settings: ProposalSettings,
    valid: NDArray[np.bool_] | None = None,
    disc: BeamDisc | None = None,
) -> ScanSpots:
    """Find the spots in the sum of all patterns of a scan, and count every position's electrons in them.

    Electrons on pixels of the detector that are not `valid`, (slow, fast), count nowhere.

    Parameters
    ----------
    start
        (slow, fast) px, near which the direct beam is looked for.
    disc
        That of the series; None = spots are points.
    """
    known = np.ones(detector_shape, dtype=bool) if valid is None else valid
    totals = np.ediff1d(scan.offsets.astype(np.int64)).astype(np.int64)
    good = good_positions(totals.reshape(scan_shape)) & ~repeated_positions(scan).reshape(scan_shape)
    total = sum_pattern(scan, detector_shape, keep=good.ravel())
    beam = _beam_of(total, start, known, disc)
    followed = beam._replace(seen=beam.seen and not _is_cut(beam, known))
    shift, integer = fit_beam_shift(scan, followed, detector_shape, scan_shape=scan_shape, good=good)
    if integer.any():
        total = sum_pattern(scan, detector_shape, shifts=integer, keep=good.ravel())
        known = _known_after(integer, known)
        beam = _beam_of(total, beam.centre, known, disc)
    threshold, most = settings.spot_threshold, settings.max_spots
    if disc is None:
        more = None if is_one_tile(scan_shape) else spots_of_tiles(
            scan, detector_shape, beam, shifts=integer, good=good, threshold=threshold, max_spots=most, valid=known
        )  # fmt: skip
        spots, labels = find_bragg_spots(
            total, beam, sigma_px=beam.sigma, threshold=threshold, max_spots=most, valid=known, more=more
        )
    else:
        spots, labels = find_bragg_discs(total, beam, disc, threshold=threshold, max_spots=most, valid=known)
    labelled = LabelledEvents(scan, labels, shifts=integer, spots=len(spots.px), seed=settings.seed, good=good.ravel())
    amplitude = _amplitude(labelled.background, good)
    halves = labelled.halves
    counts = (halves[0] + halves[1]).tocsr()
    maps = _maps(totals, labelled, counts, amplitude, spots, scan_shape=scan_shape)
    maps |= {"quality": _quality(maps, good), "shift_slow": shift[..., 0], "shift_fast": shift[..., 1]}
    maps["dark_field"] = maps["dark_field"] / spots.measured  # as if nothing were masked: tilts can be compared
    return ScanSpots(beam, spots, halves, amplitude, maps, good)


def _is_cut(beam: DirectBeam, valid: NDArray[np.bool_]) -> bool:
    """Tell whether masked pixels lie where the motion of the beam is measured: half a beam moves by half."""
    near = distances(valid.shape, beam.centre) <= 4.0 * beam.sigma + 4.0
    return bool((near & ~valid).sum() > CUT_SHARE * near.sum())


def _known_after(shifts: NDArray[np.int32], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels (slow, fast) onto which no masked pixel comes by any of the shifts, (n, 2)."""
    whole = shifts.astype(np.int64)
    canvas = canvas_for(whole, (valid.shape[0], valid.shape[1]))
    laid = measured(whole, valid, canvas)
    return laid[canvas.top : canvas.top + valid.shape[0], canvas.left : canvas.left + valid.shape[1]]


def _beam_of(
    total: NDArray[np.uint32], start: NDArray[np.float64], valid: NDArray[np.bool_], disc: BeamDisc | None
) -> DirectBeam:
    if disc is None:
        return find_direct_beam(total, start=start, valid=valid)
    return find_disc_beam(total, start=start, disc=disc, valid=valid)


def good_positions(totals: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return False at positions without electrons, or with far more than their neighbours (glitches)."""
    local = ndimage.median_filter(totals.astype(np.float64), size=5, mode="nearest")
    limit = local + 8.0 * np.sqrt(np.maximum(local, 4.0)) + 1.0 * local
    return (totals > 0) & (totals <= limit)


def _amplitude(background: NDArray[np.int32], good: NDArray[np.bool_]) -> NDArray[np.float64]:
    image = np.where(good, background.reshape(good.shape), 0.0)
    weight = ndimage.gaussian_filter(good.astype(np.float64), 1.0)
    smooth = ndimage.gaussian_filter(image, 1.0) / np.maximum(weight, 1e-6) * good
    return (smooth / max(smooth.sum(), 1e-12)).ravel()


def _maps(
    totals: NDArray[np.int64],
    labelled: LabelledEvents,
    counts: csr_matrix,
    amplitude: NDArray[np.float64],
    spots: BraggSpots,
    *,
    scan_shape: tuple[int, int],
) -> dict[str, NDArray[np.float64]]:
    in_spots = np.asarray(counts.sum(axis=1)).ravel()
    images = {
        "counts": totals,
        "bright_field": labelled.beam,
        "dark_field": labelled.background + in_spots,
        "bragg": in_spots - amplitude * spots.expected.sum(),
    }
    return {name: np.asarray(image, dtype=np.float64).reshape(scan_shape) for name, image in images.items()}


def _quality(maps: dict[str, NDArray[np.float64]], good: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the Bragg signal over its standard deviation after pooling 3 x 3 positions; 0 where not good."""
    signal = ndimage.uniform_filter(maps["bragg"], 3)
    noise = ndimage.uniform_filter(np.maximum(maps["dark_field"], 1.0), 3) / 9.0
    return np.where(good, signal / np.sqrt(noise), 0.0)
