"""A short rotation series with pictures of noise: for writers and readers of geometry."""

from pathlib import Path

import h5py
import numpy as np

from tasks.frames.models import Frame, FrameSeries
from tasks.model import Beam, Detector, FileRef, Vector
from tasks.model.provenance import Provenance

SHAPE = (48, 64)
BEAM_PX = (22.25, 30.75)


def series_of(folder: Path, *, frames: int, start_deg: float, width_deg: float, axis: Vector) -> FrameSeries:
    """Return a series whose stack lies in the folder."""
    stack = folder / "stack.h5"
    with h5py.File(stack, "w") as file:
        file["frames"] = np.random.default_rng(0).poisson(3.0, (frames, *SHAPE)).astype(np.uint16)
        file["mask"] = np.ones(SHAPE, dtype=bool)
    return FrameSeries(
        id="crystal-01",
        sample="noise",
        composition=None,
        beam=Beam(energy_kev=200.0),
        detector=Detector(name="d", shape_px=SHAPE, pixel_size_mm=0.055, camera_length_mm=443.0),
        direct_beam_px=BEAM_PX,
        rotation_axis=axis,
        frames=tuple(
            Frame(number=i, angle_deg=start_deg + i * width_deg, width_deg=width_deg, counts=1.0) for i in range(frames)
        ),
        stack=FileRef.of(stack),
        saturation=65535.0,
        provenance=Provenance(engine="test", version="1"),
    )
