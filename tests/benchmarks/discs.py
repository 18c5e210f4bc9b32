"""Discs of a beam, from points to touching: ``python -m tests.benchmarks.discs [CASE ...] [--mrad 1.0 ...]``.

One line per case, convergence and seed: the disc's radius as measured, crystals found of those that can be found,
precision and recall of the apertures; then for every crystal the space group, completeness, correlation of the merged
intensities with |F|^2, share of the measurements that overlap, and how many were set aside.

``python -m tests.benchmarks.discs noise --seeds N`` counts spots in patterns that hold a beam and its background only.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from scipy import signal

from tasks.apertures.automatic import AutomaticApertures
from tasks.apertures.disc_pattern import find_bragg_discs
from tasks.apertures.pattern import find_bragg_spots
from tasks.events.beam_disc import BeamDisc
from tasks.events.disc import edge_profile
from tasks.events.scan_beam import DirectBeam
from tasks.frames.centring import measure_beams
from tasks.frames.settings import FrameSettings
from tasks.frames.task import sum_frames
from tasks.ingest import disc_of_series
from tasks.integrate.builtin import BuiltinIntegrator
from tasks.model import ApertureError
from tasks.simulate.demo_structure import uio66
from tasks.simulate.models import ClusterPlan, Instrument, SimulationSettings, TiltPlan
from tests.synthetic.aperture_scores import score_apertures
from tests.synthetic.intensity_scores import score
from tests.synthetic.simulated_store import simulated_store
from tests.synthetic.structures import forsterite, natrolite

CASES = {"forsterite": forsterite, "natrolite": natrolite, "uio66": uio66}
SHAPE = (576, 576)
EDGE_PX = 0.58


def run(name: str, mrad: float, seed: int, size_nm: float) -> None:
    settings = SimulationSettings(
        seed=seed,
        tilts=TiltPlan(step_deg=2.0),
        cluster=ClusterPlan(crystals=2, size_nm=size_nm, bad_fraction=0, overlap=0.2),
        instrument=Instrument(scan_shape=(32, 32), convergence_mrad=mrad),
    )
    structure = CASES[name]()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        series, truth = simulated_store(structure, settings, folder)
        disc, _ = disc_of_series(series)
        try:
            apertures = AutomaticApertures().propose(series, folder)
        except ApertureError as error:
            print(f"{name} {mrad:g} mrad, seed {seed}: {error.message}", flush=True)
            return
        scores = score_apertures(apertures, truth)
        print(
            f"{name} {mrad:g} mrad, seed {seed}: radius {0.0 if disc is None else disc.radius_px:.2f} px, "
            f"{scores.found}/{scores.findable} crystals, {scores.extra} extra, precision {scores.precision:.3f}, "
            f"recall {scores.recall:.3f}",
            flush=True,
        )
        beams = measure_beams(series, FrameSettings())
        for crystal in apertures.crystals:
            workdir = folder / crystal.id
            try:
                frames = sum_frames(series, crystal, FrameSettings(), workdir=workdir, beams=beams)
                found = BuiltinIntegrator(d_min_angstrom=0.8).integrate(frames, workdir)
            except ApertureError as error:
                print(f"  {crystal.id}: {error.message}", flush=True)
                continue
            result = score(found, structure)
            agreement = "another lattice" if result is None else f"correlation {result.overall:.4f}"
            overlapped, aside = (
                (0.0, 0) if found.discs is None else (found.discs.overlapped_share, found.discs.set_aside)
            )
            print(
                f"  {crystal.id}: {found.space_group}, {found.indexed_fraction:.3f} of {found.spots} spots indexed, "
                f"{found.overall.completeness:.3f} complete, {agreement}, {overlapped:.2f} overlap, {aside} set aside",
                flush=True,
            )


def noise(seeds: range, electrons: float = 250_000.0) -> None:
    """Print how many spots are found where there are none, at three thresholds of the apertures."""
    centre = (np.array(SHAPE) - 1) / 2
    radius = np.hypot(*(np.indices(SHAPE) - centre[:, None, None]))
    thresholds = (2.5, 3.0, 3.5)
    for size in (1.65, 5.5, 11.0, 16.5):
        halo = 0.08 * np.exp(-radius / 5.4) / 5.4**2 + 0.04 * np.exp(-radius / 54.0) / 54.0**2
        top = edge_profile(np.hypot(*np.mgrid[-40:41, -40:41]), size, EDGE_PX)
        rate = np.maximum(signal.fftconvolve(electrons * halo / (2 * np.pi), top / top.sum(), mode="same"), 0.0)
        rate += 0.88 * electrons * edge_profile(radius, size, EDGE_PX) / (np.pi * size**2)
        disc = BeamDisc(radius_px=size, edge_px=EDGE_PX)
        found = np.zeros(len(thresholds))
        for seed in seeds:
            total = np.random.default_rng(seed).poisson(rate).astype(np.uint32)
            for place, threshold in enumerate(thresholds):
                if disc.is_point:
                    beam = DirectBeam(centre, 1.1, seen=True)
                    spots, _ = find_bragg_spots(total, beam, sigma_px=1.1, threshold=threshold, max_spots=2000)
                else:
                    beam = DirectBeam(centre, size / 2, seen=True, window_px=size + 3)
                    spots, _ = find_bragg_discs(total, beam, disc, threshold=threshold, max_spots=2000)
                found[place] += len(spots.px)
        text = ", ".join(
            f"{count / len(seeds):.1f} at {threshold:g}" for threshold, count in zip(thresholds, found, strict=True)
        )
        print(f"{size:g} px: {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", default=["forsterite", "natrolite"], help="noise, " + ", ".join(CASES))
    parser.add_argument("--mrad", type=float, nargs="+", default=[0.1, 0.5, 1.0, 1.5])
    parser.add_argument("--size-nm", type=float, default=130.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=100)
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    if options.cases == ["noise"]:
        noise(seeds)
        return
    for name in options.cases:
        for mrad in options.mrad:
            for seed in seeds:
                run(name, mrad, seed, options.size_nm)


if __name__ == "__main__":
    main()
