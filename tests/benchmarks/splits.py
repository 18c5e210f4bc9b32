"""Regions of the demo's crystals and the way back: ``python -m tests.benchmarks.splits [--seeds 1] [--parts 2,4,8]``.

The demo's series, of any seed, goes through the stages to the intensities of its crystals; each crystal is split, each
region measured in its geometry, as `apertura region --split` does, and the regions are merged again. A row for each
split of a crystal. Worst of its regions: correlation of the merged intensities with |F|^2, beside what the region's
counts allow (`count_limits`: counts drawn anew about the true intensities, on the same backgrounds), and the share of
it that was reached. Again: unique reflections of the regions merged and of the whole, the share of those in common that
agree within a sigma of the whole, on one scale, the median of the difference in sigmas, and either's correlation with
|F|^2. The whole is measured as the regions are, in its own geometry; ``first`` is it as the run has it.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from flows.demo import demo_series
from tasks.apertures import AutomaticApertures, CrystalAperture, outline, propose_apertures, split_aperture
from tasks.apertures.output import write_drawn
from tasks.frames import FrameSettings, find_beams, sum_frames
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


def rows(series, beams, aperture: CrystalAperture, parts: list[int], seed: int, folder: Path) -> list[str]:
    """Return the rows of one crystal."""
    true = truth()
    frames = sum_frames(series, aperture, FrameSettings(), workdir=folder / "frames", beams=beams)
    first = integrate_frames(frames, BuiltinIntegrator(), workdir=folder / "integrate")
    engine = KnownGeometryIntegrator(reference=first, few_spots="hold", part_of_reference=True)
    whole = integrate_frames(frames, engine, workdir=folder / "whole")
    found = []
    for number in parts:
        begun = time.process_time()
        tilts = np.array([scan.tilt_deg for scan in series.scans])
        place = folder / f"split-{number}"
        place.mkdir()
        regions: list[Reflections] = []
        for name, masks in split_aperture(outline(aperture), number).items():
            region = write_drawn(name, masks, tilts, place)
            summed = sum_frames(series, region, FrameSettings(), workdir=place / name / "frames", beams=beams)
            regions.append(integrate_frames(summed, engine, workdir=place / name / "integrate"))
        figures = [judged(one, true, seed) for one in regions]
        worst = min(figures, key=lambda one: one[0] / one[1])
        sets = combine_crystals(tuple(regions), workdir=place / "merged")
        merged = sets.clusters[0].merged
        if merged is None:
            found.append(f"| {seed} | {aperture.id} | {number} | none was joined |")
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
        found.append(f"| {' | '.join(cells)} |")
    return found


def main() -> None:
    """Print a row for each split of each crystal."""
    parser = argparse.ArgumentParser(description=__doc__)
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
    for seed in map(int, chosen.seeds.split(",")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            settings = demo_series()
            settings = settings.model_copy(
                update={
                    "seed": seed,
                    "scattering": settings.scattering.model_copy(update={"electrons_per_pattern": chosen.electrons}),
                }
            )
            series, _ = simulated_store(uio66(), settings, folder)
            beams = find_beams(series, FrameSettings(), workdir=folder / "beams")
            apertures = propose_apertures(series, AutomaticApertures(), workdir=folder / "apertures")
            for aperture in apertures.crystals[: chosen.crystals]:
                place = folder / aperture.id
                for row in rows(series, beams, aperture, [int(one) for one in chosen.parts.split(",")], seed, place):
                    print(row, flush=True)


if __name__ == "__main__":
    main()
