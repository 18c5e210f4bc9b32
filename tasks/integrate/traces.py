"""Keeping what every predicted reflection was measured from; see `measurements`."""

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from tasks.frames import FrameSeries, each_frame
from tasks.integrate.geometry.prediction import crossings
from tasks.integrate.geometry.refinement import Refined
from tasks.integrate.measurements import LEFT_OUT, SET_ASIDE, USED, own_pixels
from tasks.integrate.profiles.pixels import Pixels
from tasks.integrate.profiles.profile_fit import core_pixels
from tasks.integrate.profiles.spot_profiles import expected_shape
from tasks.integrate.rocking.scaling import ScaledObservations
from tasks.model import FileRef
from tasks.model.arrays import Integers, Mask


def write_traces(
    series: FrameSeries, pixels: Pixels, scaled: ScaledObservations, *, kept: Mask, refined: Refined, path: Path
) -> FileRef:
    """Write the measurements of a crystal; read back by `read_traces`.

    Parameters
    ----------
    kept
        (crossings,) of `scaled`: those that are in the intensities.
    """
    predictions, patches = pixels.predictions, pixels.patches
    expected = expected_shape(patches, predictions, refined.geometry.beam_px, pixels.profiles)
    core = core_pixels(patches.valid, expected)
    state = np.full(len(core), SET_ASIDE, dtype=np.uint8)
    state[scaled.rows] = np.where(kept[crossings(predictions.where(scaled.rows))], USED, LEFT_OUT)
    predicted = np.full(len(core), np.nan, dtype=np.float32)
    predicted[scaled.rows] = scaled.fit.expected
    with h5py.File(path, "w") as file:
        for name, column in {
            "hkl": predictions.hkl,
            "frame": predictions.frame.astype(np.int32),
            "px": predictions.px.astype(np.float32),
            "centre": patches.centre.astype(np.int32),
            "core": np.packbits(core.reshape(len(core), -1), axis=1),
            "counts": _counts(series, predictions.frame, patches.centre, core),
            "background": np.where(core, patches.background, 0.0).sum(axis=(1, 2)).astype(np.float32),
            "predicted": predicted,
            "excitation": predictions.excitation.astype(np.float32),
            "state": state,
            "overlapped": patches.overlapped,
        }.items():
            file.create_dataset(name, data=column, compression="gzip", compression_opts=1, shuffle=True)
        file.attrs["side_px"] = core.shape[-1]
    return FileRef.of(path)


def _counts(series: FrameSeries, frame: Integers, centre: Integers, core: Mask) -> NDArray[np.int64]:
    """Return the sums (n,) of the frames' pixels as they are stored."""
    counts = np.zeros(len(frame), dtype=np.int64)
    order = np.argsort(frame, kind="stable")
    bounds = np.searchsorted(frame[order], np.arange(len(series.frames) + 1))
    for number, image in enumerate(each_frame(series.stack)):
        for row in order[bounds[number] : bounds[number + 1]]:
            counts[row] = int(image[own_pixels(centre[row], core[row])].sum(dtype=np.int64))
    return counts
