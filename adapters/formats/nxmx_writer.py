"""Writing NXmx, the NeXus layout for rotation data (HDRMX gold standard), of electron diffraction frames.

Source: Bernstein et al., IUCrJ 7, 784-792 (2020); the NXmx application definition of the NeXus manual. NeXus vectors
are in McStas axes: x and z opposite to ours, y the same. Departure: times of measurement, obligatory there, are left
out, as the frames do not state them; sensor material and thickness are placeholders (see `SENSOR`).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from adapters.formats.cbf import CUTOFF, each_signed_frame
from tasks.frames import FrameSeries, Sweep

COMPRESSION = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
"""Every build of HDF5 has gzip; that of Debian's and Ubuntu's DIALS has no bitshuffle-LZ4. 54 frames of 578 x 578 px
take 0.45 % of their raw size and 4.8 ms each to write (level 1: 0.88 % and 2.8 ms; level 6: 0.42 % and 5.0 ms;
bitshuffle-LZ4: 1.2 % and 0.8 ms)."""
SENSOR = ("Si", 1e-9)
"""Material, and thickness in m. dxtbx refuses a file without them and a thickness of zero, and moves spots by the depth
at which X-rays are absorbed: 1 nm leaves electrons, which stop near the surface, where they are to 1e-4 px."""
TO_MCSTAS = np.diag([-1.0, 1.0, -1.0])
"""From the laboratory axes of imgCIF to those of McStas, and back."""
USER_MASK = 1 << 8
"""The bit of NXmx's pixel mask for pixels that are not to be used, whatever the reason."""


def write_nxmx(series: FrameSeries, parts: Iterable[Sweep], folder: Path, *, mask: NDArray[np.bool_]) -> list[Path]:
    """Write one file ``<id>_<ss>.nxs`` for each sweep, all with the same geometry; equal series give equal bytes.

    Pixels are 32-bit signed, less the pedestal; one that was not measured in its frame lies below the underload. The
    angles are those of the wedges that a sweep is presented as (`tasks.frames.sweeps.Sweep`); the true ones are in
    ``/entry/frames``.

    Parameters
    ----------
    parts
        Every frame in one.
    mask
        (slow, fast), True where a pixel is valid in general.

    Raises
    ------
    SourceError
        If a pixel does not fit into 32 bits.
    """
    sweeps = list(parts)
    paths = [folder / f"{series.id}_{number:02d}.nxs" for number in range(1, len(sweeps) + 1)]
    for path, sweep in zip(paths, sweeps, strict=True):
        with h5py.File(path, "w", libver=("earliest", "v110")) as file:
            file.attrs["default"] = "entry"
            entry = _group(file, "entry", "NXentry")
            entry.attrs["default"] = "data"
            entry["definition"] = "NXmx"
            entry["definition"].attrs["version"] = "1.0"
            _write_sample(entry, series, sweep)
            _write_instrument(entry, series, mask)
            _write_frames_list(entry, series, sweep)
            shape = (len(sweep.indices), *series.detector.shape_px)
            data = _group(entry, "data", "NXdata")
            data.attrs["signal"] = "data"
            data.create_dataset("data", shape, dtype=np.int32, chunks=(1, *shape[1:]), **COMPRESSION)
    place = {
        index: (path, k) for path, sweep in zip(paths, sweeps, strict=True) for k, index in enumerate(sweep.indices)
    }
    for index, pixels in enumerate(each_signed_frame(series)):
        path, k = place[index]
        with h5py.File(path, "r+", libver=("earliest", "v110")) as file:
            file["entry/data/data"][k] = pixels
    return paths


def _write_sample(entry: h5py.Group, series: FrameSeries, sweep: Sweep) -> None:
    """Write the goniometer: one axis that the sample depends on, with start and end of every wedge."""
    sample = _group(entry, "sample", "NXsample")
    sample["name"] = series.sample
    sample["depends_on"] = "/entry/sample/transformations/omega"
    chain = _group(sample, "transformations", "NXtransformations")
    start = sweep.start_deg + np.arange(len(sweep.indices)) * sweep.step_deg
    axis = np.array(series.rotation_axis) / np.linalg.norm(series.rotation_axis)
    _axis(chain, "omega", start, "rotation", axis, units="degree", depends_on=".")
    _number(chain, "omega_end", start + sweep.step_deg, "degree")
    _number(chain, "omega_increment_set", sweep.step_deg, "degree")


def _write_instrument(entry: h5py.Group, series: FrameSeries, mask: NDArray[np.bool_]) -> None:
    source = _group(entry, "source", "NXsource")
    source["name"] = "electron microscope"
    source["probe"] = "electron"
    instrument = _group(entry, "instrument", "NXinstrument")
    instrument["name"] = "electron microscope"
    beam = _group(instrument, "beam", "NXbeam")
    _number(beam, "incident_wavelength", series.beam.wavelength_angstrom, "angstrom")
    _number(beam, "incident_energy", series.beam.energy_kev, "keV")
    instrument["source"] = h5py.SoftLink("/entry/source")
    camera, (slow, fast) = series.detector, series.direct_beam_px
    size_m = camera.pixel_size_mm * 1e-3
    detector = _group(instrument, "detector", "NXdetector")
    detector["description"] = camera.name
    detector["depends_on"] = "/entry/instrument/detector/transformations/det_z"
    _number(detector, "distance", camera.camera_length_mm * 1e-3, "m")
    _number(detector, "beam_center_x", fast + 0.5, "pixel")
    _number(detector, "beam_center_y", slow + 0.5, "pixel")
    _number(detector, "x_pixel_size", size_m, "m")
    _number(detector, "y_pixel_size", size_m, "m")
    detector["sensor_material"] = SENSOR[0]
    _number(detector, "sensor_thickness", SENSOR[1], "m")
    detector["underload_value"] = -max(0, round(series.pedestal))
    highest = CUTOFF if series.saturation is None else min(CUTOFF, int(series.saturation - round(series.pedestal)))
    detector["saturation_value"] = highest
    detector["bit_depth_readout"] = 32
    detector["gain_setting"] = f"{series.gain:.9g}"
    detector.create_dataset("pixel_mask", data=np.where(mask, 0, USER_MASK).astype(np.uint32), **COMPRESSION)
    chain = _group(detector, "transformations", "NXtransformations")
    _axis(chain, "det_z", camera.camera_length_mm * 1e-3, "translation", (0, 0, -1), units="m", depends_on=".")
    corner = np.array([-(fast + 0.5), slow + 0.5, 0.0]) * size_m
    _write_module(detector, camera.shape_px, size_m, corner)


def _write_module(detector: h5py.Group, shape: tuple[int, int], size_m: float, corner: NDArray[np.float64]) -> None:
    """Write the one module of the detector; `corner` (3,) is that of its first pixel, from the direct beam, in m."""
    module = _group(detector, "module", "NXdetector_module")
    module["data_origin"] = np.zeros(2, dtype=np.int64)
    module["data_size"] = np.array(shape, dtype=np.int64)
    far = float(np.linalg.norm(corner))
    offset, chain = (
        "/entry/instrument/detector/module/module_offset",
        "/entry/instrument/detector/transformations/det_z",
    )
    _axis(module, "module_offset", far, "translation", corner / far if far else (1, 0, 0), units="m", depends_on=chain)
    for name, vector in (("fast_pixel_direction", (1, 0, 0)), ("slow_pixel_direction", (0, -1, 0))):
        _axis(module, name, size_m, "translation", vector, units="m", depends_on=offset)


def _write_frames_list(entry: h5py.Group, series: FrameSeries, sweep: Sweep) -> None:
    """Write what each frame truly is: its number in the series, the goniometer's angle and its turn."""
    frames = [series.frames[index] for index in sweep.indices]
    table = _group(entry, "frames", "NXcollection")
    table["number"] = np.array([frame.number for frame in frames], dtype=np.int64)
    _number(table, "angle", np.array([frame.angle_deg for frame in frames]), "degree")
    _number(table, "width", np.array([frame.width_deg for frame in frames]), "degree")


def _group(parent: h5py.Group, name: str, nexus_class: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nexus_class
    return group


def _number(group: h5py.Group, name: str, value: Any, units: str) -> h5py.Dataset:
    group[name] = np.asarray(value, dtype=np.float64)
    group[name].attrs["units"] = units
    return group[name]


def _axis(group: h5py.Group, name: str, value: Any, kind: str, vector: Any, *, units: str, depends_on: str) -> None:
    """Write a transformation; `vector` (3,) is in laboratory axes."""
    axis = _number(group, name, np.atleast_1d(np.asarray(value, dtype=np.float64)), units)
    axis.attrs["transformation_type"] = kind
    axis.attrs["vector"] = TO_MCSTAS @ np.asarray(vector, dtype=np.float64)
    axis.attrs["offset"] = np.zeros(3)
    axis.attrs["offset_units"] = "m"
    axis.attrs["depends_on"] = depends_on
