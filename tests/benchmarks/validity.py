"""Faults of a detector found without being told: ``python -m tests.benchmarks.validity [--seeds 1,2] [CASE ...]``.

For each case and seed a tilt series is simulated on a sound detector and looked at: `false` counts the faults that are
found, and the heaviest empty rectangle of its scans says how far they stay from the limit. Then one sector is taken
out of all scans, another of a third of them, ten rows and a beam stop with its arm of all: `missed` is the share of the
dead pixels, over all scans, that is not masked, `over` that of the sound ones that is. Times are CPU seconds.
"""

import argparse
import time
from typing import NamedTuple

import numpy as np

from tasks.events.empty_rectangles import heaviest_empty
from tasks.events.expected import expected_counts, rings_about
from tasks.events.faults import FoundFaults, find_faults
from tasks.simulate.demo_structure import uio66
from tasks.simulate.exposure import expose
from tasks.simulate.models import ClusterPlan, Instrument, ScatteringPlan, SimulationSettings, Structure, TiltPlan
from tasks.simulate.specimen import prepare_specimen
from tests.synthetic.structures import natrolite, quartz

SECTOR, STOP_PX, STOP_OFF, ARM_PX = 144, 18, (12, -7), 4
THIRD, ROWS = 3, 10


class Case(NamedTuple):
    structure: Structure
    positions: int
    electrons: float
    background: float = 0.04
    halo: float = 0.08


CASES = {
    "low": Case(uio66(), 24, 50.0),
    "low-natrolite": Case(natrolite(), 24, 50.0),
    "middle-quartz": Case(quartz(), 32, 120.0),
    "high": Case(uio66(), 48, 250.0),
    "no-background": Case(uio66(), 48, 250.0, background=0.002, halo=0.0),
}


def sums_of(case: Case, seed: int, tilts: int) -> np.ndarray:
    """Return the sums (scans, slow, fast) of a series on a sound detector."""
    settings = SimulationSettings(
        seed=seed,
        cluster=ClusterPlan(size_nm=min(170.0, 3.0 * case.positions)),
        tilts=TiltPlan(step_deg=120.0 / (tilts - 1)),
        instrument=Instrument(scan_shape=(case.positions, case.positions)),
        scattering=ScatteringPlan(
            electrons_per_pattern=case.electrons, background_fraction=case.background, halo_fraction=case.halo
        ),
    )
    specimen = prepare_specimen(case.structure, settings)
    shape = settings.instrument.shape_px
    shots = [np.bincount(expose(specimen, i).events, minlength=shape[0] * shape[1]) for i in range(tilts)]
    return np.array(shots, dtype=np.uint32).reshape(tilts, *shape)


def dead_pixels(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return which pixels are dead, (scans, slow, fast)."""
    rng = np.random.default_rng(seed)
    dead = np.zeros(shape, dtype=bool)
    dead[:, :SECTOR] = True
    dead[rng.choice(shape[0], shape[0] // THIRD, replace=False), 2 * SECTOR : 3 * SECTOR] = True
    dead[:, rng.choice(np.arange(SECTOR + 4, shape[1]), ROWS, replace=False)] = True
    row, column = np.indices(shape[1:])
    middle = (np.array(shape[1:]) - 1) / 2 + STOP_OFF
    arm = (np.abs(column - middle[1]) < ARM_PX) & (row > middle[0])
    dead[:, (np.hypot(row - middle[0], column - middle[1]) < STOP_PX) | arm] = True
    return dead


def found_in(sums: np.ndarray) -> tuple[FoundFaults, float]:
    begun = time.process_time()
    start = (np.array(sums.shape[1:]) - 1) / 2
    found = find_faults(lambda scan: sums[scan], len(sums), np.zeros(sums.shape[1:], dtype=bool), start=start)
    return found, time.process_time() - begun


def heaviest(sums: np.ndarray) -> float:
    """Return the counts expected in the heaviest empty rectangle of all scans."""
    rings = rings_about((np.array(sums.shape[1:]) - 1) / 2, sums.shape[1:])
    whole = np.ones(sums.shape[1:], dtype=bool)
    return max(heaviest_empty(scan > 0, expected_counts(scan, whole, rings))[1] for scan in sums)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    parser.add_argument("--seeds", default="1", help="comma-separated")
    parser.add_argument("--tilts", type=int, default=21)
    arguments = parser.parse_args()
    print("| case | seed | electrons a scan | false | heaviest | missed | over | CPU s a scan |")
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.cases:
        for seed in (int(text) for text in arguments.seeds.split(",")):
            sums = sums_of(CASES[name], seed, arguments.tilts)
            sound, seconds = found_in(sums)
            dead = dead_pixels(sums.shape, seed)
            found, _ = found_in(np.where(dead, 0, sums).astype(np.uint32))
            masked = ~found.masks[found.mask_of_scan]
            missed = (dead & ~masked).sum() / dead.sum()
            over = (masked & ~dead).sum() / (~dead).sum()
            print(
                f"| {name} | {seed} | {sums.sum() / len(sums):.0f} | {len(sound.faults)} | {heaviest(sums):.0f} "
                f"| {missed:.2%} | {over:.3%} | {seconds / len(sums):.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
