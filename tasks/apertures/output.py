"""The files of an ApertureSet."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from tasks.apertures.models import CrystalAperture
from tasks.model import FileRef


def write_crystal(
    name: str,
    masks: NDArray[np.bool_],
    tilt_deg: NDArray[np.float64],
    workdir: Path,
    *,
    origin: Literal["automatic", "user"],
    confidence: NDArray[np.float64] | None = None,
    notes: tuple[str, ...] = (),
) -> CrystalAperture:
    """Write the masks (n_tilts, ny, nx) of one crystal and return its document."""
    path = workdir / f"{name}.h5"
    with h5py.File(path, "w") as file:
        file["tilt_deg"] = tilt_deg
        file.create_dataset("masks", data=masks.astype(bool), compression="gzip")
    return CrystalAperture(
        id=name,
        origin=origin,
        masks=FileRef.of(path),
        positions_per_tilt=tuple(int(count) for count in masks.sum(axis=(1, 2))),
        confidence_per_tilt=() if confidence is None else tuple(round(float(value), 4) for value in confidence),
        notes=notes,
    )


def write_maps(maps: Sequence[dict[str, NDArray[np.float64]]], tilt_deg: NDArray[np.float64], workdir: Path) -> FileRef:
    """Write images (ny, nx) by name and tilt as datasets (n_tilts, ny, nx) float32."""
    path = workdir / "maps.h5"
    with h5py.File(path, "w") as file:
        file["tilt_deg"] = tilt_deg
        for name in sorted(maps[0]):
            stack = np.stack([images[name] for images in maps]).astype(np.float32)
            file.create_dataset(name, data=stack, compression="gzip", compression_opts=1)
    return FileRef.of(path)
