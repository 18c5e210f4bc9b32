"""A signal as RosettaSciIO's writers take it."""

import numpy as np


def hyperspy_signal(frames: np.ndarray, **microscope: object) -> dict:
    """Return frames (..., slow, fast) as a signal; `microscope` goes to Acquisition_instrument.TEM."""
    axes = [
        {
            "name": f"axis {index}", "size": size, "navigate": index < frames.ndim - 2, "scale": 1.0, "offset": 0.0,
            "units": "", "index_in_array": index,
        }
        for index, size in enumerate(frames.shape)
    ]  # fmt: skip
    return {
        "data": frames, "axes": axes, "original_metadata": {},
        "package_info": {"package": "test", "package_version": "1"},
        "metadata": {"General": {"title": "frames"}, "Acquisition_instrument": {"TEM": dict(microscope)}},
        "attributes": {"_lazy": False}, "tmp_parameters": {}, "learning_results": {}, "models": {}, "folding": None,
    }  # fmt: skip
