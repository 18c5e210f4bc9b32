"""Apertures of simulated clusters against the truth: ``python -m tests.benchmarks.apertures [--seeds N] [CASE ...]``.

``--electrons 125 250 500`` repeats every case with so many electrons per position: how the cost grows with the events.

Prints one line per case and seed: crystals with at least 30 clean positions, how many of them were tracked over 90 %
of the tilts at which they have clean positions, precision and recall of the clean apertures, identity swaps, share of
the positions that are overlapped, CPU time of maps to masks, and peak memory (simulation included).
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tasks.apertures.automatic import AutomaticApertures
from tasks.model import NoCrystalsError
from tasks.simulate.demo_structure import uio66
from tasks.simulate.models import ClusterPlan, Instrument, ScatteringPlan, SimulationSettings, Structure, TiltPlan
from tests.synthetic.aperture_scores import score_apertures
from tests.synthetic.simulated_store import simulated_store
from tests.synthetic.structures import forsterite, natrolite


class Case(NamedTuple):
    structure: Structure
    cluster: ClusterPlan
    tilts: TiltPlan = TiltPlan()
    instrument: Instrument = Instrument()
    scattering: ScatteringPlan = ScatteringPlan()


WIDE, COARSE = TiltPlan(), TiltPlan(step_deg=2.0)
CASES = {
    "demo": Case(uio66(), ClusterPlan(size_nm=170.0), TiltPlan(step_deg=1.5), Instrument(scan_shape=(48, 48))),
    "cost": Case(uio66(), ClusterPlan(crystals=6, size_nm=130, bad_fraction=0, overlap=0.35, height_nm=200), WIDE),
    "six": Case(uio66(), ClusterPlan(crystals=6, size_nm=130, bad_fraction=0, overlap=0.35, drift_px=2, height_nm=200)),
    "twelve": Case(
        uio66(), ClusterPlan(crystals=12, size_nm=110, bad_fraction=0, overlap=0.4, drift_px=1, height_nm=300)
    ),
    "dense": Case(
        uio66(),
        ClusterPlan(crystals=8, size_nm=150, bad_fraction=0, overlap=0.55, drift_px=0.5, height_nm=600),
        COARSE,
    ),
    "crossing": Case(
        natrolite(),
        ClusterPlan(crystals=7, size_nm=130, bad_fraction=0, overlap=0.5, drift_px=1.5, height_nm=500),
        COARSE,
        Instrument(scan_shape=(48, 48)),
    ),
    "pile": Case(
        forsterite(),
        ClusterPlan(crystals=5, size_nm=130, bad_fraction=0, overlap=0.5, drift_px=1, height_nm=500),
        COARSE,
        Instrument(scan_shape=(48, 48)),
    ),
    "drift": Case(
        uio66(),
        ClusterPlan(crystals=4, size_nm=120, bad_fraction=0, overlap=0.3, drift_px=4, height_nm=200),
        TiltPlan(start_deg=-20, stop_deg=20),
    ),
    "bad": Case(uio66(), ClusterPlan(crystals=3, bad_fraction=0.33, bad_misorientation_deg=3.0, overlap=0.2), COARSE),
    "gaps": Case(
        natrolite(),
        ClusterPlan(crystals=4, size_nm=150, bad_fraction=0, overlap=0.3),
        TiltPlan(start_deg=-50, stop_deg=50, jitter_deg=0.2, gaps_deg=((-21, -17), (10, 12.5))),
        Instrument(scan_rotation_deg=-37, tilt_axis=(0.8, 0.6, 0.0), beam_jitter_px=4, ellipticity=0.02),
    ),
    "small-cell": Case(
        forsterite(),
        ClusterPlan(crystals=4, size_nm=130, bad_fraction=0, overlap=0.3),
        TiltPlan(start_deg=-30, stop_deg=30),
        Instrument(descan_px=(6, -4)),
    ),
    "weak": Case(
        uio66(),
        ClusterPlan(crystals=5, size_nm=130, bad_fraction=0, overlap=0.3),
        TiltPlan(start_deg=-20, stop_deg=20),
        Instrument(),
        ScatteringPlan(bragg_fraction=0.06, background_fraction=0.3),
    ),
}


def run(name: str, seed: int, electrons: float | None) -> str:
    case = CASES[name]
    scattering = case.scattering
    if electrons is not None:
        scattering = scattering.model_copy(update={"electrons_per_pattern": electrons})
    settings = SimulationSettings(
        seed=seed, tilts=case.tilts, cluster=case.cluster, instrument=case.instrument, scattering=scattering
    )
    with tempfile.TemporaryDirectory() as folder:
        series, truth = simulated_store(case.structure, settings, Path(folder))
        start = time.process_time()
        try:
            apertures = AutomaticApertures().propose(series, Path(folder))
        except NoCrystalsError as error:
            return f"{name:11s} {seed:4d}  {error.message}"
        seconds = time.process_time() - start
        scores = score_apertures(apertures, truth)
    inside = truth.thickness > 0
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    overlapped = (inside.sum(axis=1) > 1).sum() / inside.any(axis=1).sum()
    return (
        f"{name:11s} {seed:4d} {scattering.electrons_per_pattern:9.0f} {len(series.scans):6d} {overlapped:9.2f} "
        f"{scores.found:3d}/{scores.findable:<3d} {scores.extra:6d} {scores.swaps:6d} "
        f"{scores.precision:10.3f} {scores.recall:7.3f} {min(scores.tracked, default=0):9.2f} {seconds:7.1f} {gib:7.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--electrons", type=float, nargs="+", default=[None], help="per position")
    options = parser.parse_args()
    print("case        seed electrons  tilts overlapped   found  extra  swaps  precision  recall  tracked   CPU s GiB")
    for name in options.cases:
        for seed in range(options.first, options.first + options.seeds):
            for electrons in options.electrons:
                print(run(name, seed, electrons), flush=True)


if __name__ == "__main__":
    sys.exit(main())
