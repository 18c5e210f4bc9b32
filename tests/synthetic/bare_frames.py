"""A frame series by its document only: geometry and tilts without pictures."""

import numpy as np

from tasks.frames.models import Frame, FrameSeries
from tasks.model import Beam, Detector, FileRef
from tasks.model.provenance import Provenance

LENGTH_MM, PIXEL_MM, BEAM_PX = 300.0, 0.05, (255.5, 255.5)
AXIS = (0.8, 0.6, 0.0)


def frames_at(tilts: np.ndarray, stack: FileRef) -> FrameSeries:
    """Return still frames at these tilts, whose pictures nobody opens."""
    return FrameSeries(
        id="x",
        sample="x",
        composition=None,
        beam=Beam(energy_kev=300.0),
        detector=Detector(
            name="d", shape_px=(512, 512), pixel_size_mm=PIXEL_MM, camera_length_mm=LENGTH_MM, direct_beam_px=BEAM_PX
        ),
        direct_beam_px=BEAM_PX,
        rotation_axis=AXIS,
        frames=tuple(Frame(number=i, angle_deg=float(t), width_deg=0, counts=1) for i, t in enumerate(tilts)),
        stack=stack,
        provenance=Provenance(engine="test", version="1"),
    )
