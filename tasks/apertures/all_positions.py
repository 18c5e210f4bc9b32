"""The aperture of everything within a crystal's outline: what the chosen positions are compared with."""

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from tasks.apertures.models import CrystalAperture
from tasks.model import FileRef
from tasks.stage import stage


def has_more_positions(aperture: CrystalAperture) -> bool:
    """Return whether the crystal's outline holds positions that its aperture leaves out."""
    return bool((outline(aperture) > _dataset(aperture, "masks")).any())


def outline(aperture: CrystalAperture) -> NDArray[np.bool_]:
    """Return (n_tilts, ny, nx): where a crystal lies, overlapped or not, at the tilts at which it has an aperture.

    Of an aperture that a user drew, the aperture itself.
    """
    masks = _dataset(aperture, "masks")
    with h5py.File(aperture.masks.path, "r") as file:
        whole = _dataset(aperture, "all_positions") if "all_positions" in file else masks
    return np.asarray((masks | whole) & masks.any(axis=(1, 2), keepdims=True))


def _dataset(aperture: CrystalAperture, name: str) -> NDArray[np.bool_]:
    with h5py.File(aperture.masks.path, "r") as file:
        return np.asarray(file[name], dtype=bool)


def _summary(aperture: CrystalAperture) -> str:
    return f"{aperture.id}: {sum(aperture.positions_per_tilt)} positions within its outline"


@stage(name="aperture {aperture.id}-all-positions", summary=_summary)
def all_positions_aperture(
    aperture: CrystalAperture, parts: tuple[CrystalAperture, ...], workdir: Path
) -> CrystalAperture:
    """Return the aperture of all positions of a crystal at the tilts where the chosen one holds any.

    They may be overlapped, and those of its misoriented parts are among them. Its id has the suffix
    ``-all-positions``, so that what is made of it is not taken for the crystal's own.
    """
    own = outline(aperture)
    seen = own.any(axis=(1, 2), keepdims=True)
    masks = np.any([own, *(outline(part) & seen for part in parts)], axis=0)
    name = f"{aperture.id}-all-positions"
    path = workdir / f"{name}.h5"
    with h5py.File(aperture.masks.path, "r") as source, h5py.File(path, "w") as file:
        file["tilt_deg"] = source["tilt_deg"][()]
        file.create_dataset("masks", data=masks, compression="gzip")
    return CrystalAperture(
        id=name,
        origin=aperture.origin,
        masks=FileRef.of(path),
        positions_per_tilt=tuple(int(count) for count in masks.sum(axis=(1, 2))),
        share_per_tilt=tuple(float(share > 0) for share in aperture.share_per_tilt),
        notes=("all positions within the crystal's outline, those of its misoriented parts too",),
    )
