"""Crystals of which none solves alone, merged: ``python -m tests.benchmarks.patchwork [NAME ...] [--seeds 0,1]``.

A cluster of 12 crystals of 40 nm of one structure and, in a scan of its own at the same tilts, one foreign crystal of
another are simulated by the forward model; kinematical scattering in absolute numbers, tilts of -60 to 60 degrees. The
benchmark enters after the apertures: the positions of a crystal are those of the truth where it lies alone. From there
on it is the pipeline: frames, intensities, `combine` with all it does for faint ones, solution and refinement of the
merged set. Alone are solved the crystals with most unique reflections, as many as `--alone` says; `--trials` bounds the
search of each and of the merged set. A row: how many crystals index alone, how many of these solve, how many joined and
how many of them were indexed by others, whether the foreign one stayed out, the merged data and what became of them,
correlation of the merged intensities with |F|^2.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from flows.pipeline import Run, combine, intensities, merged_structures, structure
from flows.progress import QuietSteps
from flows.review import NoReview
from flows.settings import Settings
from tasks.apertures.output import write_drawn
from tasks.frames.settings import FrameSettings
from tasks.frames.task import sum_frames
from tasks.report.models import CrystalOutcome
from tasks.simulate.models import (
    ClusterPlan,
    Instrument,
    ScatteringPlan,
    SimulationSettings,
    Structure,
    TiltPlan,
)
from tests.synthetic.intensity_scores import score
from tests.synthetic.simulated_store import simulated_store
from tests.synthetic.structures import diopside, kyanite

CASES = {"diopside": (diopside, kyanite), "kyanite": (kyanite, diopside)}
"""Name: the structure of the cluster, monoclinic or triclinic, and that of the foreign crystal."""
FOREIGN = "crystal-13"


def simulated(
    structure_: Structure, arguments: argparse.Namespace, folder: Path, *, seed: int, crystals: int, first: int
) -> list[CrystalOutcome]:
    """Return the frames of the crystals of one scan series, their positions known."""
    settings = SimulationSettings(
        seed=seed,
        tilts=TiltPlan(start_deg=-60, stop_deg=60, step_deg=arguments.step),
        cluster=ClusterPlan(
            crystals=crystals, size_nm=40.0, size_spread=0.1, overlap=0.0, height_nm=30.0, mosaic_deg=0.2,
            bad_fraction=0.0, drift_px=0.2,
        ),
        instrument=Instrument(
            scan_shape=(40, 40), step_nm=6.0, shape_px=(288, 288), pixel_size_mm=0.02, point_spread_px=0.4
        ),
        scattering=ScatteringPlan(model="kinematical", electrons_per_pattern=arguments.electrons),
    )  # fmt: skip
    folder.mkdir()
    series, truth = simulated_store(structure_, settings, folder)
    inside = truth.thickness > 0
    alone = inside & (inside.sum(axis=1, keepdims=True) == 1)
    tilts = np.array([scan.tilt_deg for scan in series.scans])
    found = []
    for number in range(crystals):
        name = f"crystal-{first + number:02d}"
        aperture = write_drawn(name, alone[:, number], tilts, folder)
        frames = sum_frames(series, aperture, FrameSettings(), workdir=folder / name)
        found.append(CrystalOutcome(id=name, aperture=aperture, frames=frames))
    return found


def row(name: str, seed: int, arguments: argparse.Namespace, folder: Path) -> str:
    """Return the row of one cluster."""
    own, foreign = CASES[name]
    made = simulated(own(), arguments, folder / "own", seed=seed, crystals=12, first=1)
    made += simulated(foreign(), arguments, folder / "foreign", seed=1000 + seed, crystals=1, first=13)
    told = {"composition": own().composition.formula(), "solve": {"trials": arguments.trials, "workers": 1}}
    settings = Settings.model_validate({**told, "compare_apertures": False, "workers": 1})
    (folder / "run").mkdir()
    run = Run(folder / "run", settings, QuietSteps(), (own().composition,), NoReview())
    begun = time.process_time()
    crystals = tuple(intensities(run, one, one.frames) for one in made if one.frames is not None)
    indexed = [one for one in crystals if one.reflections is not None]
    best = sorted(
        (one for one in indexed if one.id != FOREIGN and one.reflections is not None),
        key=lambda one: -one.reflections.overall.unique if one.reflections is not None else 0,
    )[: arguments.alone]
    solved = [structure(run, one).status == "solved" for one in best]
    combined = combine(run, crystals)
    if combined is None or combined.clusters[0].merged is None:
        return f"| {name} | {seed} | {len(indexed)} | {sum(solved)} of {len(solved)} | nothing was joined |"
    first = combined.clusters[0]
    members = {one.id for one in first.members}
    by_others = sum(one.neighbour is not None for one in first.members)
    data, whole = first.merged, merged_structures(run, combined)
    refined = next((one for one in whole if one.id == first.id), None)
    agreement = None if data is None else score(data, own())
    cells = [
        name,
        str(seed),
        f"{len(indexed)} of 13",
        f"{sum(solved)} of {len(solved)}",
        f"{len(members - {FOREIGN})} of 12, {by_others} by others",
        "no" if FOREIGN in members else "yes",
        "" if data is None else f"{data.overall.unique}, {data.overall.completeness:.2f}, {data.overall.cc_half}",
        "another lattice" if agreement is None else f"{agreement.overall:.3f}",
        "-" if refined is None else refined.status,
        "-" if refined is None or refined.refinement is None else f"{refined.refinement.r1:.3f}",
        f"{time.process_time() - begun:.0f}",
    ]
    for one in first.left_out:
        print(f"  {one.id} left out: {one.reason}", flush=True)
    if refined is not None and refined.refinement is not None:
        print(f"  {refined.refinement.space_group}: {'; '.join(refined.refinement.reasons)}", flush=True)
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print a row for each structure and seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(CASES))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--electrons", type=float, default=10.0, help="per probe position and tilt")
    parser.add_argument("--step", type=float, default=3.0, help="of the tilts, degrees")
    parser.add_argument("--alone", type=int, default=1, help="crystals that are solved alone, those with most data")
    parser.add_argument("--trials", type=int, default=None, help="of each search; none: by the size of the cell")
    arguments = parser.parse_args()
    print(
        "| structure | seed | indexed alone | solved alone | joined | foreign left out | unique, completeness, CC1/2 "
        "| correlation | merged | R1 | CPU s |\n|" + "---|" * 11,
        flush=True,
    )
    for name in arguments.names:
        for seed in (int(text) for text in arguments.seeds.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                print(row(name, seed, arguments, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
