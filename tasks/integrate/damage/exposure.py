"""How much of its series a crystal had been through when a frame was measured."""

from typing import Literal, NamedTuple

import numpy as np

from tasks.frames import FrameSeries
from tasks.model.arrays import Floats

LEAST_FRAMES = 8
"""Frames that tell a course of damage. Chosen, not measured: four early ones and four late; with fewer, one frame that
is out of line makes a trend."""


class ExposureAxis(NamedTuple):
    """ExposureAxis of each frame, (frames,), zero before the first exposure, in units of ``axis``.

    ``dose``: electrons per square angstrom by the middle of the frame; ``order``: exposures by the middle of the frame.
    """

    axis: Literal["dose", "order"]
    value: Floats

    @property
    def last(self) -> float:
        """The exposure of the frame that was measured last."""
        return float(self.value.max())

    @property
    def fraction(self) -> Floats:
        """Exposures (frames,) as fractions of the last."""
        return np.asarray(self.value / self.last)


def exposure_of(series: FrameSeries) -> ExposureAxis | None:
    """Return the exposure of each frame; None where the order of acquisition is not known or frames are too few.

    Where doses are not known of all, every scan is taken to have given the same.
    """
    frames = series.frames
    doses = [frame.accumulated_dose_e_per_A2 for frame in frames]
    orders = [frame.order for frame in frames]
    known = [order for order in orders if order is not None]
    if len(known) < len(frames) or len(frames) < LEAST_FRAMES or min(known) == max(known):
        return None
    stated = [dose for dose in doses if dose is not None]
    if len(stated) == len(frames):
        return ExposureAxis("dose", np.array(stated))
    return ExposureAxis("order", np.array(known, dtype=np.float64) + 0.5)


def tilt_fraction(series: FrameSeries) -> Floats:
    """Return the place of each frame in the range of tilts, (frames,), from 0 to 1."""
    angle = series.angle_deg
    return np.asarray((angle - angle.min()) / max(float(np.ptp(angle)), 1e-9))
