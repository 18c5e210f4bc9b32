"""By how many pixels the electrons of every scan position were moved into a frame."""

import numpy as np
from numpy.typing import NDArray

from tasks.events.scan_motion import beam_of_positions, descan_of
from tasks.frames.models import DirectBeams
from tasks.model.experiment import PixelPosition


def position_shifts(
    beams: DirectBeams, index: int, scan_shape: tuple[int, int], target: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return whole-pixel shifts to `target` of every position of one scan, (n, 2), and what remains, (n, 2).

    After the shift the beam of a position lies at ``target + remainder``; the remainder is at most half a pixel.
    """
    descan = descan_of(np.array(beams.descan_px), scan_shape, bend=np.array(beams.descan_bend_px))
    beam = beam_of_positions(descan, scan_shape, np.array(beams.px[index]))
    shifts = np.rint(target - beam)
    return shifts.astype(np.int64), beam + shifts - target


def event_origins(
    beams: DirectBeams, index: int, scan_shape: tuple[int, int], direct_beam_px: PixelPosition
) -> NDArray[np.int64]:
    """Return what was added to slow and fast of every position's electrons in a frame, (n, 2).

    Parameters
    ----------
    index
        Number of the scan.
    direct_beam_px
        That of the frame series: it lies as far from the median of the beams as the canvas is wider than the detector.
    """
    target = np.median(np.array(beams.px), axis=0)
    shifts, _ = position_shifts(beams, index, scan_shape, target)
    return shifts + np.rint(np.array(direct_beam_px) - target).astype(np.int64)
