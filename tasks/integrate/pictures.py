"""Predicted spots and rocking curves for the report."""

from pathlib import Path

import h5py
import numpy as np

from tasks.integrate.profiles.pixels import Pixels
from tasks.integrate.rocking.model import widths
from tasks.integrate.rocking.scaling import ScaledObservations
from tasks.model import FileRef


def write_pictures(pixels: Pixels, scaled: ScaledObservations, path: Path) -> FileRef:
    """Write the predictions and the rocking curves for the report.

    Datasets: ``frame`` (k,), ``px`` (k, 2), ``hkl`` (k, 3) of predictions within one width of the sphere;
    group ``rocking`` with ``x`` and ``density`` of the learned curve, and per observation ``hkl`` (n, 3), ``place``
    (n,) in widths, ``intensity`` and ``expected`` (n,), ``scale`` (frames,).
    """
    used = pixels.predictions.where(scaled.rows)
    model = scaled.fit.model
    width = widths(model, np.linalg.norm(used.q, axis=1))
    near = np.abs(used.excitation) < width + np.abs(used.travel) / 2
    with h5py.File(path, "w") as file:
        file["frame"] = used.frame[near]
        file["px"] = used.px[near]
        file["hkl"] = used.hkl[near]
        rocking = file.create_group("rocking")
        rocking["x"] = model.shape.x
        rocking["density"] = model.shape.density
        rocking["scale"] = model.scale
        rocking["hkl"] = used.hkl
        rocking["frame"] = used.frame
        rocking["place"] = used.excitation / width
        rocking["intensity"] = pixels.measured.intensity[scaled.rows]
        rocking["expected"] = scaled.fit.expected
        rocking.attrs["width_per_angstrom"] = model.width
        rocking.attrs["spread_deg"] = np.degrees(model.spread)
    return FileRef.of(path)
