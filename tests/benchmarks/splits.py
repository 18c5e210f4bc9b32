"""Regions of the demo's crystals and the way back: ``python -m tests.benchmarks.splits [RUN] [--parts 2,4,8]``.

    [--seeds 1] [--crystals 3] [--electrons 250]

The demo's series, of any seed, goes through the stages to the intensities of its crystals; each crystal is split, each
region measured in its geometry, as `apertura region --split` does, and the regions are merged again. A row for each
split of a crystal. Worst of its regions: correlation of the merged intensities with |F|^2, beside what the region's
counts allow (`count_limits`: counts drawn anew about the true intensities, on the same backgrounds), and the share of
it that was reached. Again: unique reflections of the regions merged and of the whole, the share of those in common that
agree within a sigma of the whole, on one scale, the median of the difference in sigmas, and either's correlation with
|F|^2. The whole is measured as the regions are, in its own geometry; ``first`` is it as the run has it. With a finished
RUN of the demo its crystals are taken as they are there.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flows.demo import demo_series
from flows.run_folder import read_results
from flows.tracing import crystal_of
from tasks.apertures import AutomaticApertures, CrystalAperture, propose_apertures, split_aperture
from tasks.apertures.output import write_drawn
from tasks.frames import DirectBeams, FrameSeries, FrameSettings, find_beams, sum_frames
from tasks.ingest import TiltSeries
from tasks.integrate import BuiltinIntegrator, KnownGeometryIntegrator, Reflections, combine_crystals, integrate_frames
from tasks.simulate import uio66
from tasks.simulate.lattice import reflection_table
from tests.synthetic.count_limits import count_limit
from tests.synthetic.run_scores import true_intensities
from tests.synthetic.series_truth import Unique, laue_of
from tests.synthetic.simulated_store import simulated_store
from tests.synthetic.solve_cases import representatives


def truth() -> Unique:
    """Return |F|^2, one of each orbit."""
    table = reflection_table(uio66(), 0.7)
    keys, first = np.unique(representatives(table.hkl, laue_of(uio66())), axis=0, return_index=True)
    return Unique(keys, table.f_squared[first])


def judged(found: Reflections, true: Unique, seed: int) -> tuple[float, float, float]:
    """Return the correlation with the truth, that which the counts allow, and electrons of a spot near the sphere."""
    correlation, values = true_intensities(found, uio66(), true)
    limit = count_limit(found, values, seed=seed)
    return correlation, limit.correlation, limit.electrons


def again(merged: Reflections, whole: Reflections) -> tuple[int, float, float]:
    """Return how many reflections both have, the share within one sigma, and the median difference in sigmas."""
    here, there = merged.unique_reflections, whole.unique_reflections
    place = {tuple(row): number for number, row in enumerate(there.hkl.tolist())}
    pairs = [(row, place[key]) for row, key in enumerate(map(tuple, here.hkl.tolist())) if key in place]
    first, second = np.array(pairs).T
    a, b, sigma = here.intensity[first], there.intensity[second], there.sigma[second]
    scale = float((a * b / sigma**2).sum() / (a**2 / sigma**2).sum())
    off = np.abs(scale * a - b) / sigma
    return len(off), float((off < 1.0).mean()), float(np.median(off))


class Measured(NamedTuple):
    """A crystal with its frames and the intensities of the whole of it."""

    aperture: CrystalAperture
    frames: FrameSeries
    first: Reflections


def measured(series: TiltSeries, beams: DirectBeams, aperture: CrystalAperture, folder: Path) -> Measured:
    """Return a crystal of a series, integrated from nothing."""
    frames = sum_frames(series, aperture, FrameSettings(), workdir=folder / "frames", beams=beams)
    return Measured(aperture, frames, integrate_frames(frames, BuiltinIntegrator(), workdir=folder / "integrate"))


def rows(
    series: TiltSeries, beams: DirectBeams, crystal: Measured, parts: list[int], *, seed: int, folder: Path
) -> Iterator[str]:
    """Yield the rows of one crystal."""
    true = truth()
    aperture, frames, first = crystal
    engine = KnownGeometryIntegrator(reference=first, few_spots="hold", part_of_reference=True)
    whole = integrate_frames(frames, engine, workdir=folder / "whole")
    for number in parts:
        begun = time.process_time()
        tilts = np.array([scan.tilt_deg for scan in series.scans])
        place = folder / f"split-{number}"
        place.mkdir(parents=True)
        regions: list[Reflections] = []
        for name, masks in split_aperture(aperture.positions, number).items():
            region = write_drawn(name, masks, tilts, place)
            summed = sum_frames(series, region, FrameSettings(), workdir=place / name / "frames", beams=beams)
            regions.append(integrate_frames(summed, engine, workdir=place / name / "integrate"))
        figures = [judged(one, true, seed) for one in regions]
        worst = min(figures, key=lambda one: one[0] / one[1])
        sets = combine_crystals(tuple(regions), workdir=place / "merged")
        merged = sets.clusters[0].merged
        if merged is None:
            yield f"| {seed} | {aperture.id} | {number} | none was joined |"
            continue
        common, within, median = again(merged, whole)
        as_first = again(merged, first)[1]
        cells = [
            str(seed), aperture.id, str(number), f"{np.mean([one[2] for one in figures]):.1f}",
            str(regions[0].provenance.parameters.get("statistics")), f"{worst[0]:.4f} / {worst[1]:.4f}",
            f"{worst[0] / worst[1]:.4f}", f"{len(sets.clusters[0].members)} of {number}",
            f"{common} of {len(merged.unique_reflections.hkl)}, {len(whole.unique_reflections.hkl)}",
            f"{within:.3f}, {as_first:.3f}", f"{median:.2f}",
            " ".join(f"{true_intensities(one, uio66(), true)[0]:.4f}" for one in (merged, whole, first)),
            f"{time.process_time() - begun:.0f}",
        ]  # fmt: skip
        yield f"| {' | '.join(cells)} |"


def of_run(run: Path) -> Iterator[tuple[int, TiltSeries, DirectBeams, Measured]]:
    """Yield the crystals of a finished run of the demo."""
    results = read_results(run)
    seed = int(results["source"]["metadata"]["notes/seed"])
    for one in results["crystals"]:
        found = crystal_of(run, one["id"])
        if found.electrons is not None:
            series, aperture, beams = found.electrons
            yield seed, series, beams, Measured(aperture, found.frames, found.reflections)


def of_seeds(
    seeds: list[int], electrons: float, folder: Path
) -> Iterator[tuple[int, TiltSeries, DirectBeams, Measured]]:
    """Yield the crystals of series that are simulated anew."""
    for seed in seeds:
        place = folder / str(seed)
        place.mkdir()
        settings = demo_series()
        scattering = settings.scattering.model_copy(update={"electrons_per_pattern": electrons})
        settings = settings.model_copy(update={"seed": seed, "scattering": scattering})
        series, _ = simulated_store(uio66(), settings, place)
        beams = find_beams(series, FrameSettings(), workdir=place / "beams")
        apertures = propose_apertures(series, AutomaticApertures(), workdir=place / "apertures")
        for aperture in apertures.crystals:
            yield seed, series, beams, measured(series, beams, aperture, place / aperture.id)


def main() -> None:
    """Print a row for each split of each crystal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, help="a finished run of the demo; without it, one is simulated")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--parts", default="2,4,8")
    parser.add_argument("--crystals", type=int, default=3, help="so many of each series")
    parser.add_argument("--electrons", type=float, default=250.0, help="per probe position and tilt; 250: the demo's")
    chosen = parser.parse_args()
    print(
        "| seed | crystal | regions | e / spot | statistics | worst correlation / allowed | reached | joined ", end=""
    )
    print("| common of merged, whole | within 1 sigma of whole, first | median ", end="")
    print(f"| correlation of merged, whole, first | CPU s |\n|{'---|' * 13}", flush=True)
    parts = [int(one) for one in chosen.parts.split(",")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeds = [int(seed) for seed in chosen.seeds.split(",")]
        found = of_run(chosen.run) if chosen.run else of_seeds(seeds, chosen.electrons, folder)
        for _, crystals in groupby(found, key=lambda one: one[0]):
            for seed, series, beams, crystal in islice(crystals, chosen.crystals):
                place = folder / f"{seed}-{crystal.aperture.id}"
                for row in rows(series, beams, crystal, parts, seed=seed, folder=place):
                    print(row, flush=True)


if __name__ == "__main__":
    main()
