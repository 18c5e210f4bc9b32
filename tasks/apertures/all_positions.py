"""The aperture of everything within a crystal's outline: what the chosen positions are compared with."""

from pathlib import Path

import h5py
import numpy as np

from tasks.apertures.models import CrystalAperture
from tasks.model import FileRef
from tasks.stage import stage


def has_more_positions(aperture: CrystalAperture) -> bool:
    """Return whether the crystal's outline holds positions that its aperture leaves out."""
    with h5py.File(aperture.masks.path, "r") as file:
        if "all_positions" not in file:
            return False
        return bool((np.asarray(file["all_positions"]) > np.asarray(file["masks"])).any())


def _summary(aperture: CrystalAperture) -> str:
    return f"{aperture.id}: {sum(aperture.positions_per_tilt)} positions within its outline"


@stage(name="aperture {aperture.id}-all-positions", summary=_summary)
def all_positions_aperture(aperture: CrystalAperture, workdir: Path) -> CrystalAperture:
    """Return the aperture of all positions at the tilts where the chosen one holds any, overlapped or not.

    Its id has the suffix ``-all-positions``, so that what is made of it is not taken for the crystal's own.
    """
    with h5py.File(aperture.masks.path, "r") as file:
        chosen, whole, tilts = (np.asarray(file[name]) for name in ("masks", "all_positions", "tilt_deg"))
    masks = (whole | chosen) & chosen.any(axis=(1, 2), keepdims=True)
    name = f"{aperture.id}-all-positions"
    path = workdir / f"{name}.h5"
    with h5py.File(path, "w") as file:
        file["tilt_deg"] = tilts
        file.create_dataset("masks", data=masks, compression="gzip")
    return CrystalAperture(
        id=name,
        origin=aperture.origin,
        masks=FileRef.of(path),
        positions_per_tilt=tuple(int(count) for count in masks.sum(axis=(1, 2))),
        notes=("all positions within the crystal's outline",),
    )
