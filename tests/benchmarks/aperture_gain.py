"""What choosing positions is worth, against the truth: ``python -m tests.benchmarks.aperture_gain [--seeds N]``.

One crystal, a third of it misoriented by 3 degrees ("bad"), or uniformly good ("good"); chosen positions beside all
positions of the crystal (the truth's outline, what a person would draw). Prints a Markdown table: share of the bad
part that the chosen aperture leaves out, correlation of the merged intensities with the true |F|^2 and completeness,
chosen / all.
"""

import argparse
import tempfile
from pathlib import Path

import h5py
import numpy as np

from tasks.apertures.automatic import AutomaticApertures
from tasks.apertures.models import CrystalAperture
from tasks.apertures.output import write_drawn
from tasks.frames.settings import FrameSettings
from tasks.frames.task import sum_frames
from tasks.ingest.models import TiltSeries
from tasks.integrate.builtin import BuiltinIntegrator
from tasks.integrate.models import Reflections
from tasks.simulate.demo_structure import uio66
from tasks.simulate.models import ClusterPlan, Instrument, SimulationSettings, Structure, TiltPlan
from tests.synthetic.intensity_scores import score
from tests.synthetic.simulated_store import simulated_store
from tests.synthetic.structures import diopside, natrolite

STRUCTURES = {"UiO-66": uio66, "natrolite": natrolite, "diopside": diopside}
D_MIN = 0.85


def run(structure: Structure, bad_fraction: float, seed: int, folder: Path) -> str:
    settings = SimulationSettings(
        seed=seed,
        tilts=TiltPlan(start_deg=-50, stop_deg=50),
        cluster=ClusterPlan(crystals=1, size_nm=150.0, bad_fraction=bad_fraction, bad_misorientation_deg=3.0),
        instrument=Instrument(scan_shape=(24, 24)),
    )
    series, truth = simulated_store(structure, settings, folder)
    tilts = np.array([scan.tilt_deg for scan in series.scans])
    apertures = AutomaticApertures().propose(series, folder)
    chosen = max(apertures.crystals, key=lambda one: sum(one.positions_per_tilt))
    (folder / "all").mkdir()
    everything = write_drawn("crystal-01", (truth.thickness > 0).any(axis=1), tilts, folder / "all")
    with h5py.File(chosen.masks.path) as file:
        masks = np.asarray(file["masks"], dtype=bool)
    dropped = "-"
    if bad_fraction:
        only = (truth.thickness[:, 0] > 0) & (truth.thickness[:, 1] == 0)  # the misoriented domain comes first
        other = (truth.thickness[:, 1] > 0) & (truth.thickness[:, 0] == 0)
        bad = min(only, other, key=lambda mask: int((mask & masks).sum()))
        dropped = f"{1 - (bad & masks).sum() / bad.sum():.3f}"
    one, other_data = (integrated(series, aperture, folder / name) for aperture, name in
                       ((chosen, "chosen"), (everything, "whole")))  # fmt: skip
    return (
        f"| {dropped} | {correlation(one, structure)} / {correlation(other_data, structure)} "
        f"| {one.overall.completeness:.3f} / {other_data.overall.completeness:.3f} |"
    )


def integrated(series: TiltSeries, aperture: CrystalAperture, folder: Path) -> Reflections:
    folder.mkdir()
    frames = sum_frames(series, aperture, FrameSettings(), workdir=folder / "frames")
    (folder / "integrate").mkdir()
    return BuiltinIntegrator(d_min_angstrom=D_MIN).integrate(frames, folder / "integrate")


def correlation(data: Reflections, structure: Structure) -> str:
    found = score(data, structure)
    return "another lattice" if found is None else f"{found.overall:.5f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--structures", default=",".join(STRUCTURES))
    options = parser.parse_args()
    print("| structure | misoriented | seed | bad part left out | correlation with true F² | completeness |")
    print("|---|---|---|---|---|---|")
    for name in options.structures.split(","):
        for bad_fraction in (0.33, 0.0):
            for seed in range(options.seeds):
                with tempfile.TemporaryDirectory() as folder:
                    row = run(STRUCTURES[name](), bad_fraction, seed, Path(folder))
                print(f"| {name} | {bad_fraction:.2f} | {seed} {row}", flush=True)


if __name__ == "__main__":
    main()
