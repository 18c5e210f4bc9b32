"""Maps over the probe positions of one bent crystal, against the truth:
``OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks.position_maps [--bends 3,0] [--seeds 3] [--first 101]``.

UiO-66, 200 nm, 61 tilts, absolute kinematical model, positions known (`tests.synthetic.bent_crystal`). Seeds 1 to 20
may set constants, 101 and later judge. Prints a Markdown row for each bend and seed: positions with enough electrons of
their own, the bend found with its sigma, the same of the true rotations, root mean square of the rotations' deviation
from the truth in degrees, of that over its sigma in the three components, the slope of found against true rotation
along the bend, the curve of a position over that of the crystal, root mean square of strain over its sigma (the lattice
has none), and CPU seconds of the maps alone.
"""

import argparse
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from tasks.maps import map_crystal
from tasks.maps.bend import bend_of
from tests.synthetic.bent_crystal import bent_crystal, true_rotations

HEAD = "| bend | seed | positions | found | true | rms off | off / sigma | slope | curve | strain / sigma | CPU s |"


def row_of(bend_deg: float, seed: int, folder: Path) -> str:
    """Make, map and judge one crystal."""
    crystal = bent_crystal(bend_deg, seed, folder)
    begun = time.process_time()
    maps = map_crystal(
        crystal.reflections, crystal.frames, crystal.aperture, crystal.series, crystal.beams, workdir=folder / "maps"
    )
    cpu = time.process_time() - begun
    with h5py.File(maps.file.path, "r") as file:
        rotation, covariance = file["rotation_deg"][()], file["rotation_covariance_deg2"][()]
        strain, electrons, true = (
            file["strain"][()] / file["strain_sigma"][()],
            file["electrons"][()],
            true_rotations(crystal, file),
        )
        alone = ~file["pooled"][()]
    known = np.isfinite(rotation[..., 0]) & alone
    weight = electrons[known]
    true = true[known] - np.average(true[known], axis=0, weights=weight)
    even = bend_of(np.argwhere(known).astype(float), np.radians(true), np.radians(np.radians(covariance[known])))
    off = rotation[known] - true
    spread = np.sqrt(np.mean(off**2 / np.diagonal(covariance[known], axis1=1, axis2=2), axis=0))
    along = true @ crystal.bend.axis
    slope = float(along @ (rotation[known] @ crystal.bend.axis) / (along @ along)) if bend_deg else float("nan")
    return (
        f"| {bend_deg:g} | {seed} | {int(known.sum())} | {maps.bend_deg:.3f} +- {maps.bend_sigma_deg:.3f} "
        f"| {float('nan') if even is None else even.degrees:.3f} "
        f"| {np.sqrt(np.mean(off**2)):.4f} | {' '.join(f'{value:.2f}' for value in spread)} | {slope:.3f} "
        f"| {maps.curve_ratio:.3f} | {np.sqrt(np.nanmean(strain[known] ** 2)):.2f} | {cpu:.1f} |"
    )


def main() -> None:
    """Print a row for each bend and seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bends", default="3,0", help="degrees over the length of the crystal")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=101)
    options = parser.parse_args()
    print(f"{HEAD}\n{'|---' * (HEAD.count('|') - 1)}|")
    for bend in map(float, options.bends.split(",")):
        for seed in range(options.first, options.first + options.seeds):
            with tempfile.TemporaryDirectory() as folder:
                print(row_of(bend, seed, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
