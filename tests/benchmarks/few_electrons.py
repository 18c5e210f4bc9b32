"""Intensities of few electrons, by counts and by sums: ``python -m tests.benchmarks.few_electrons``.

    [--structures forsterite,kyanite] [--orientation 21] [--bragg 4,8,16,40,80,160] [--seeds 100,101]
    [--statistics counts,sums] [--folder DIR]

59 tilts of 1.5 degrees; a reference of the same crystal, in an orientation drawn from a seed, at 40,000 Bragg electrons
a frame is integrated from nothing, and frames of so many Bragg electrons (and as many of the direct beam, and
background in proportion) in its geometry, as a part of it. Columns: electrons of a spot near the sphere by the truth;
correlation of the merged intensities with it, beside what the counts allow (`count_limits`); mean and spread of
(I - truth) / sigma, and both by quarters of the truth; spread of I - truth over the least sigma possible (Cramer and
Rao), and, median and 5 to 95 %, the spread that counts drawn from the truth have in these least sigmas, which are exact
there: below one where most reflections expect a fraction of an electron, as such counts deviate by next to nothing or,
seldom, by many sigmas; last, by quarters, the root of all squared errors over that of all squared sigmas, which counts
that seldom come rule less than they do the spread.

The truth is scaled with weights that follow from itself: those of the sigmas found make it small by the share by
which low intensities look sure.
"""

import argparse
import pickle
import tempfile
from itertools import product
from pathlib import Path

import numpy as np

from tasks.crystal.lattice import reciprocal_matrix
from tasks.integrate.builtin import BuiltinIntegrator
from tasks.integrate.known_geometry import KnownGeometryIntegrator
from tasks.integrate.models import Reflections
from tasks.model import Detector
from tasks.simulate import Structure
from tasks.simulate.lattice import reflection_table
from tests.synthetic.count_limits import count_limit
from tests.synthetic.frame_series import Conditions, synthetic_frame_series
from tests.synthetic.run_scores import true_intensities
from tests.synthetic.series_truth import Unique, laue_of
from tests.synthetic.solve_cases import representatives
from tests.synthetic.structures import diopside, forsterite, kyanite

STRUCTURES = {"forsterite": forsterite, "kyanite": kyanite, "diopside": diopside}
ANGLES = np.arange(-45, 45.1, 1.5)
DETECTOR = Detector(
    name="4D Camera", shape_px=(288, 288), pixel_size_mm=0.02, camera_length_mm=110.0, direct_beam_px=(143.5, 143.5)
)
FULL = 20_000.0


def reference(structure: Structure, orientation: int, folder: Path) -> tuple[np.ndarray, Reflections]:
    """Return the orientation and the intensities of the reference, made once."""
    place = folder / f"{structure.name}-{orientation}"
    kept = place / "reference.pickle"
    if not kept.exists():
        place.mkdir(exist_ok=True)
        bright = Conditions(bragg=2 * FULL)
        made = synthetic_frame_series(structure, ANGLES, place, seed=orientation, detector=DETECTOR, conditions=bright)
        found = BuiltinIntegrator(d_min_angstrom=1.0).integrate(made.series, place)
        kept.write_bytes(pickle.dumps((made.ub, found)))
    ub, found = pickle.loads(kept.read_bytes())
    return ub @ np.linalg.inv(reciprocal_matrix(structure.cell)), found


def true_table(structure: Structure) -> Unique:
    """Return the true intensities, one of each orbit."""
    table = reflection_table(structure, 0.9)
    keys, first = np.unique(representatives(table.hkl, laue_of(structure)), axis=0, return_index=True)
    return Unique(keys, table.f_squared[first])


def row(structure: Structure, drawn_from: int, bragg: float, statistics: str, seeds: list[int], folder: Path) -> str:
    """Return what frames of so many Bragg electrons give, all seeds together."""
    orientation, known = reference(structure, drawn_from, folder)
    share = bragg / FULL
    conditions = Conditions(bragg=bragg, direct=FULL * share, halo=6000 * share, background=3000 * share)
    figures, deviations, errors, squares, drawn_ones, truths = [], [], [], [], [], []
    for seed in seeds:
        place = Path(tempfile.mkdtemp(dir=folder))
        made = synthetic_frame_series(
            structure,
            ANGLES[1:-1],
            place,
            seed=seed,
            detector=DETECTOR,
            orientation=orientation,
            conditions=conditions,
        )
        engine = KnownGeometryIntegrator(
            reference=known, few_spots="hold", statistics=statistics, part_of_reference=True
        )
        found = engine.integrate(made.series, place)
        correlation, truth = true_intensities(found, structure, true_table(structure))
        limit = count_limit(found, truth, seed=seed)
        merged, used = found.unique_reflections, limit.measured
        weight = limit.sigma**-2
        scale = (weight * merged.intensity * truth).sum() / (weight * truth**2).sum()
        error = merged.intensity - scale * truth
        figures.append((limit.electrons, correlation, limit.correlation))
        deviations.append((error / merged.sigma)[used])
        errors.append((error / limit.sigma)[used])
        squares.append((np.stack([error, merged.sigma])[:, used] / scale) ** 2)
        drawn_ones.append(limit.drawn[:, used])
        truths.append(truth[used])
    deviation = np.concatenate(deviations)
    quarters = np.array_split(np.argsort(np.concatenate(truths)), 4)
    electrons, correlation, allowed = np.mean(figures, axis=0)
    means = " ".join(f"{deviation[part].mean():+.2f}" for part in quarters)
    spreads = " ".join(f"{deviation[part].std():.2f}" for part in quarters)
    error, variance = np.concatenate(squares, axis=1)
    pooled = " ".join(f"{np.sqrt(error[part].sum() / variance[part].sum()):.2f}" for part in quarters)
    low, middle, high = np.quantile(np.concatenate(drawn_ones, axis=1).std(axis=1), [0.05, 0.5, 0.95])
    return (
        f"| {structure.name} {drawn_from} | {bragg:g} | {statistics} | {electrons:.2f} "
        f"| {correlation:.4f} / {allowed:.4f} | {deviation.mean():+.3f} | {deviation.std():.2f} | {means} | {spreads} "
        f"| {np.concatenate(errors).std():.2f} | {middle:.2f} ({low:.2f} to {high:.2f}) | {pooled} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--structures", default="forsterite")
    parser.add_argument("--orientation", type=int, default=21)
    parser.add_argument("--bragg", default="4,8,16,40,80,160")
    parser.add_argument("--seeds", default="100,101")
    parser.add_argument("--statistics", default="counts,sums")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "apertura-few-electrons")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    print(
        "| crystal | Bragg e / frame | statistics | e / spot | CC / allowed | mean | spread | means by quarters ",
        end="",
    )
    print("| spreads by quarters | over the limit | drawn | pooled, by quarters |")
    print("|---" * 12 + "|", flush=True)
    seeds = [int(seed) for seed in chosen.seeds.split(",")]
    for name, bragg, statistics in product(
        chosen.structures.split(","), map(float, chosen.bragg.split(",")), chosen.statistics.split(",")
    ):
        print(row(STRUCTURES[name](), chosen.orientation, bragg, statistics, seeds, chosen.folder), flush=True)


if __name__ == "__main__":
    main()
