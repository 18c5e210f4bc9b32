"""A master with its data files, as DECTRIS' FileWriter lays them out (Simplon API)."""

from collections.abc import Mapping
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np


def write_master(
    path: Path,
    frames: np.ndarray,
    *,
    images_per_file: int,
    mask: np.ndarray | None = None,
    omega_width_deg: float | None = None,
    geometry: Mapping[str, float] | None = None,
    filters: Mapping[str, object] | None = None,
) -> Path:
    """Write frames (n, slow, fast) into data files beside the master `path`, one chunk for each frame."""
    filters = hdf5plugin.Bitshuffle(nelems=0, cname="lz4") if filters is None else filters
    stated = {
        "energy_ev": 200e3,
        "pixel_m": 75e-6,
        "distance_m": 0.62,
        "beam_slow": 11.5,
        "beam_fast": 14.25,
        "saturation": 40000,
    }
    stated |= geometry or {}
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry["definition"] = np.bytes_(b"NXmx")
        data = entry.create_group("data")
        for number, begin in enumerate(range(0, len(frames), images_per_file), start=1):
            name = f"{path.stem.removesuffix('_master')}_data_{number:06d}.h5"
            block = frames[begin : begin + images_per_file]
            with h5py.File(path.parent / name, "w") as part:
                chunks = (1, *block.shape[1:])
                stored = part.create_dataset("entry/data/data", data=block, chunks=chunks, **filters)
                stored.attrs["image_nr_low"] = begin + 1
            data[f"data_{number:06d}"] = h5py.ExternalLink(name, "entry/data/data")
        detector = entry.create_group("instrument/detector")
        specific = detector.create_group("detectorSpecific")
        specific["countrate_correction_count_cutoff"] = np.uint32(stated["saturation"])
        detector["bit_depth_image"] = np.uint16(frames.dtype.itemsize * 8)
        detector["description"] = np.bytes_(b"Eiger")
        for name, value, units in (
            ("detectorSpecific/photon_energy", stated["energy_ev"], "eV"),
            ("x_pixel_size", stated["pixel_m"], "m"),
            ("y_pixel_size", stated["pixel_m"], "m"),
            ("detector_distance", stated["distance_m"], "m"),
            ("beam_center_x", stated["beam_fast"], "pixel"),
            ("beam_center_y", stated["beam_slow"], "pixel"),
        ):
            detector[name] = value
            detector[name].attrs["units"] = np.bytes_(units)
        if mask is not None:
            specific["pixel_mask"] = mask
        if omega_width_deg is not None:
            goniometer = entry.create_group("sample/goniometer")
            goniometer["omega"] = np.arange(len(frames)) * omega_width_deg - 10.0
            goniometer["omega_range_average"] = omega_width_deg
            for dataset in goniometer.values():
                dataset.attrs["units"] = np.bytes_(b"degree")
    return path
