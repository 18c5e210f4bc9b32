"""Frames of a non-merohedral twin: two orientations of one structure in the same pixels."""

from pathlib import Path

import h5py
import numpy as np
from scipy.spatial.transform import Rotation

from tasks.crystal.lattice import orthogonalisation
from tasks.model import FileRef
from tasks.simulate.models import Structure
from tests.synthetic.frame_series import Conditions, SyntheticSeries, synthetic_frame_series

DARK = {"direct": 0.0, "halo": 0.0, "background": 0.0}


def twinned_series(
    structure: Structure,
    folder: Path,
    *,
    fraction: float,
    axis: tuple[float, float, float],
    turn_deg: float = 180.0,
    seed: int,
    conditions: Conditions,
    angles_deg: np.ndarray,
    **camera: object,
) -> SyntheticSeries:
    """Return the series of a twin whose second domain, `fraction` of it, is turned about a direct axis (u, v, w)."""
    drawn = np.random.default_rng(seed)
    first = Rotation.random(rng=drawn).as_matrix()
    direction = orthogonalisation(structure.cell) @ np.array(axis)
    turn = Rotation.from_rotvec(np.radians(turn_deg) * direction / np.linalg.norm(direction)).as_matrix()
    made = []
    for domain, (orientation, share) in enumerate([(first, 1 - fraction), (first @ turn, fraction)]):
        place = folder / f"domain-{domain + 1}"
        place.mkdir(parents=True)
        seen = conditions._replace(bragg=conditions.bragg * share, **({} if domain == 0 else DARK))
        made.append(
            synthetic_frame_series(
                structure, angles_deg, place, conditions=seen, orientation=orientation, seed=seed + domain, **camera
            )
        )
    path = folder / "twin.h5"
    one, other = (made[number].series.stack.path for number in (0, 1))
    with h5py.File(path, "w") as file, h5py.File(one) as first, h5py.File(other) as second:
        file["mask"] = first["mask"][:]
        for name in ("frames", "half"):
            file[name] = first[name][:].astype(np.uint32) + second[name][:]
    return made[0]._replace(series=made[0].series.model_copy(update={"stack": FileRef.of(path)}))
