"""Where reflections meet the Ewald sphere in a finished integration: on the detector, or beside it."""

import h5py
import numpy as np
from numpy.typing import NDArray

from tasks.frames import FrameSeries
from tasks.integrate.geometry.mapping import detector_px, excitation_error, geometry_of
from tasks.integrate.models import Reflections


def frames_beside_detector(
    hkl: NDArray[np.int32], reflections: Reflections, frames: FrameSeries, *, reach: float
) -> list[int]:
    """Return the frames on which reflections meet the Ewald sphere, if all of these places lie beside the detector.

    None if one lies on the detector, or if nothing is kept of the orientations.

    Parameters
    ----------
    hkl
        (n, 3): the equivalents of one reflection.
    reach
        The excitation error, in 1/angstrom, up to which one counts as near the sphere.
    """
    if reflections.pictures is None or not reflections.pictures.path.is_file():
        return []
    stated = geometry_of(frames)
    with h5py.File(reflections.pictures.path, "r") as file:
        kept = file["geometry"]
        first, second = kept.attrs.get("ellipse", stated.ellipse)
        geometry = stated._replace(
            wavelength=float(kept.attrs["wavelength_angstrom"]),
            beam_px=np.asarray(kept["beam_px"]) if "beam_px" in kept else stated.beam_px,
            ellipse=(float(first), float(second)),
        )
        q = np.einsum("fij,nj->fni", np.asarray(kept["setting"]), hkl.astype(np.float64))
    near = np.abs(excitation_error(q, geometry.wavelength)) <= reach
    px = detector_px(q, geometry.beam_px[:, None], geometry)
    on_it = ((px >= 0) & (px <= np.array(frames.detector.shape_px) - 1)).all(axis=-1)
    return [] if (near & on_it).any() else np.flatnonzero(near.any(axis=1)).tolist()
