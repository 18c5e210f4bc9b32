"""Virtual apertures summed to centred diffraction frames."""

from typing import TYPE_CHECKING

from tasks.face import open_face

if TYPE_CHECKING:
    from tasks.frames.models import DirectBeams, Frame, FrameMasks, FrameSeries
    from tasks.frames.ports import FrameImages, FrameReader
    from tasks.frames.settings import FrameSettings
    from tasks.frames.shifts import event_origins
    from tasks.frames.stack import each_corrected_frame, each_frame, stored_frame
    from tasks.frames.sweeps import STEP_TOLERANCE, Sweep, partition, usable_sweeps
    from tasks.frames.task import find_beams, read_rotation, sum_frames
else:
    __getattr__ = open_face(__name__)

__all__ = [
    "STEP_TOLERANCE",
    "DirectBeams",
    "Frame",
    "FrameImages",
    "FrameMasks",
    "FrameReader",
    "FrameSeries",
    "FrameSettings",
    "Sweep",
    "each_corrected_frame",
    "each_frame",
    "event_origins",
    "find_beams",
    "partition",
    "read_rotation",
    "stored_frame",
    "sum_frames",
    "usable_sweeps",
]
