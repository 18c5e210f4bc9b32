"""Intensities of one bent crystal, in one orientation and by parts, against the truth:
``OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks.bent [uio66 natrolite] [--bends 3,0] [--seeds 5] [--first 0]``.

Crystals of 200 nm, 61 tilts, absolute kinematical model, positions known (`tests.synthetic.bent_crystal`), through the
functions that the pipeline calls. Seeds 10 to 19 may set constants, 0 to 9 judge. Prints a Markdown row for each
structure, bend and seed: the bend found, in degrees and in widths of a position's curve; parts; correlation of the
intensities with |F|^2 and R1 of the amplitudes, in one orientation and by parts; correlation of half-sets of |F| of
either, which are used, and CPU seconds of the parts alone.
"""

import argparse
import tempfile
import time
from pathlib import Path

from flows.bent import PartsBench, measured_by_parts
from flows.progress import QuietSteps
from flows.settings import Settings
from tasks.integrate.models import Reflections
from tasks.maps import map_crystal
from tasks.maps.parts import position_width_deg
from tasks.report import CrystalOutcome
from tasks.simulate.demo_structure import uio66
from tasks.simulate.models import Structure
from tests.synthetic.bent_crystal import bent_crystal
from tests.synthetic.intensity_scores import score
from tests.synthetic.structures import all_structures

HEAD = "| structure | bend | seed | found | widths | parts | CC one, parts | R1 one, parts | half-sets | used | CPU s |"


def row_of(structure: Structure, bend_deg: float, seed: int, folder: Path) -> str:
    """Make, map and measure one crystal."""
    crystal = bent_crystal(bend_deg, seed, folder, structure)
    maps = map_crystal(
        crystal.reflections, crystal.frames, crystal.aperture, crystal.series, crystal.beams, workdir=folder / "maps"
    )
    begun = time.process_time()
    outcome = CrystalOutcome(
        id=crystal.aperture.id, aperture=crystal.aperture, frames=crystal.frames, reflections=crystal.reflections,
        maps=maps,
    )  # fmt: skip
    found = measured_by_parts(outcome, PartsBench(crystal.series, crystal.beams, Settings(), QuietSteps(), folder))
    cpu = time.process_time() - begun
    head = (
        f"| {structure.name} | {bend_deg:g} | {seed} | {maps.bend_deg:.3f} +- {maps.bend_sigma_deg:.3f} "
        f"| {(maps.bend_deg or 0.0) / position_width_deg(maps, crystal.reflections):.1f} "
    )
    one = agreement(crystal.reflections, structure)
    if found.parts is None:
        same = "the same document" if found == outcome else "changed"
        return f"{head}| - | {one[0]:.4f} | {one[1]:.4f} | - | {same} | {cpu:.1f} |"
    parts, sets = agreement(found.parts.joined, structure), found.parts
    halves = f"{sets.half_sets_one or 0:.4f} {sets.half_sets_parts or 0:.4f} ({sets.half_sets_reflections})"
    return (
        f"{head}| {sets.parts} | {one[0]:.4f} {parts[0]:.4f} | {one[1]:.4f} {parts[1]:.4f} | {halves} "
        f"| {'parts' if sets.better else 'one'} | {cpu:.1f} |"
    )


def agreement(data: Reflections, structure: Structure) -> tuple[float, float]:
    """Return the correlation with |F|^2 and R1 of |F|; zero and one where the lattice is another one."""
    found = score(data, structure)
    return (0.0, 1.0) if found is None else (found.overall, found.r1)


def main() -> None:
    """Print a row for each structure, bend and seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("structures", nargs="*", default=["uio66"])
    parser.add_argument("--bends", default="3", help="degrees over the length of the crystal")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    known = {one.name.lower().replace("-", ""): one for one in (uio66(), *all_structures())}
    print(f"{HEAD}\n{'|---' * (HEAD.count('|') - 1)}|")
    for name in options.structures:
        for bend in map(float, options.bends.split(",")):
            for seed in range(options.first, options.first + options.seeds):
                with tempfile.TemporaryDirectory() as folder:
                    print(row_of(known[name], bend, seed, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
