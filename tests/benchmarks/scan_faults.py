"""Faults of the scan, against the truth: ``python -m tests.benchmarks.scan_faults STUDY [--first SEED] [--seeds N]``.

``rows``: of series of 21 tilts, every fifth sound, the others with four scans of which rows are shifted by 3 to 8
columns to either side (a part from the middle on, the middle third, every second row, a band of 5 to 9 rows): how many
are found and put back (nine in ten of the rows that hold crystals lie right to each other), and how many sound scans
are touched. Set on seeds 100 to 137.
``distorted``: drift of 3 steps in any direction and shear of 2 to either side in every scan, beside the same series
without. ``repeated``: two scans at every tilt with half the electrons, beside one. Both print the apertures' figures;
with ``--integrate`` the correlation of each crystal's merged intensities with the true |F|^2, too.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.apertures.automatic import AutomaticApertures
from tasks.apertures.geometry import tilt_geometry
from tasks.apertures.models import ApertureSet
from tasks.apertures.register import register
from tasks.apertures.segmented import segment_series
from tasks.apertures.shifted_rows import ShiftedRows, scans_with_shifted_rows
from tasks.frames.settings import FrameSettings
from tasks.frames.task import sum_frames
from tasks.ingest.models import TiltSeries
from tasks.integrate.builtin import BuiltinIntegrator
from tasks.simulate.demo_structure import uio66
from tasks.simulate.models import ClusterPlan, Instrument, ScatteringPlan, SimulationSettings, Structure, TiltPlan
from tests.synthetic.aperture_scores import score_apertures
from tests.synthetic.intensity_scores import score
from tests.synthetic.scan_faults import distorted, shifted
from tests.synthetic.simulated_store import simulated_store
from tests.synthetic.structures import forsterite, natrolite

TILTS = 21
D_MIN = 0.9


class Sample(NamedTuple):
    structure: Structure
    cluster: ClusterPlan
    step_deg: float
    instrument: Instrument
    scattering: ScatteringPlan


class RowFault(NamedTuple):
    kind: str
    rows: NDArray[np.int64]
    columns: int


def camera(shape: tuple[int, int], **changes: object) -> Instrument:
    return Instrument.model_validate(
        {"scan_shape": shape, "shape_px": (288, 288), "pixel_size_mm": 0.02, **changes}
    )  # fmt: skip


def plan(crystals: int, size_nm: float, **changes: object) -> ClusterPlan:
    return ClusterPlan.model_validate({"crystals": crystals, "size_nm": size_nm, "bad_fraction": 0, **changes})


def samples() -> tuple[Sample, ...]:
    usual = ScatteringPlan()
    oblique = camera((40, 40), scan_rotation_deg=-37, tilt_axis=(0.8, 0.6, 0.0))
    faint, few = ScatteringPlan(bragg_fraction=0.1), ScatteringPlan(electrons_per_pattern=120)
    return (
        Sample(uio66(), ClusterPlan(crystals=3, size_nm=130), 1.0, camera((40, 40)), usual),
        Sample(uio66(), plan(6, 110, overlap=0.35, drift_px=2, height_nm=200), 1.0, camera((48, 48)), usual),
        Sample(natrolite(), plan(5, 110, overlap=0.5, drift_px=1.5, height_nm=400), 2.0, camera((40, 44)), usual),
        Sample(forsterite(), plan(4, 110, overlap=0.4, drift_px=1, height_nm=300), 2.0, camera((44, 40)), few),
        Sample(uio66(), ClusterPlan(crystals=2, size_nm=150, bad_fraction=0.3, drift_px=0.5), 3.0,
               camera((36, 36)), usual),
        Sample(natrolite(), plan(4, 130, overlap=0.3, drift_px=1), 1.5, oblique, faint),
        Sample(uio66(), plan(10, 80, overlap=0.3, drift_px=1, height_nm=300), 1.5, camera((48, 48)), usual),
    )  # fmt: skip


def settings_of(sample: Sample, seed: int, start_deg: float) -> SimulationSettings:
    stop = start_deg + (TILTS - 1) * sample.step_deg
    return SimulationSettings(
        seed=seed, tilts=TiltPlan(start_deg=start_deg, stop_deg=stop, step_deg=sample.step_deg),
        cluster=sample.cluster, instrument=sample.instrument, scattering=sample.scattering,
    )  # fmt: skip


def drawn_rows(kind: str, height: int, rng: np.random.Generator) -> NDArray[np.int64]:
    every = np.arange(height)
    if kind == "half":
        first = int(rng.integers(height * 2 // 5, height * 3 // 5))
        return every[first:] if rng.random() < 0.5 else every[:first]
    if kind == "third":
        return every[height // 3 : 2 * height // 3]
    if kind == "second":
        return every[int(rng.integers(2)) :: 2]
    band = int(rng.integers(5, 10))
    first = int(rng.integers(height // 4, 3 * height // 4 - band))
    return every[first : first + band]


def drawn_faults(seed: int, height: int, rng: np.random.Generator) -> dict[int, RowFault]:
    if seed % 5 == 0:
        return {}
    scans = np.sort(rng.choice(7, 4, replace=False)) * 3 + rng.integers(0, 2)
    faults = {}
    for number, scan in enumerate(scans.tolist()):
        kind = ("half", "third", "second", "band")[(number + seed) % 4]
        columns = int(rng.integers(3, 9) * rng.choice([-1, 1]))
        faults[scan] = RowFault(kind, drawn_rows(kind, height, rng), columns)
    return faults


def rows_study(seeds: range) -> None:
    faulty = found = right = sound = touched = 0
    for seed in seeds:
        rng = np.random.default_rng([seed, 77])
        sample = samples()[seed % len(samples())]
        settings = settings_of(sample, seed, float(rng.choice([-60, -45, -30, -10, 10, 30])))
        shape = sample.instrument.scan_shape
        faults = drawn_faults(seed, shape[0], rng)
        places = {scan: shifted(shape, fault.rows, fault.columns) for scan, fault in faults.items()}
        with tempfile.TemporaryDirectory() as folder:
            series, truth = simulated_store(sample.structure, settings, Path(folder), places)
            named = shifted_of(series)
        good = [scan for scan, fault in faults.items() if is_right(named.get(scan), fault, truth.thickness[scan])]
        faulty, sound = faulty + len(faults), sound + len(series.scans) - len(faults)
        found, right = found + len(named.keys() & faults.keys()), right + len(good)
        touched += len(named.keys() - faults.keys())
        missed = [f"{faults[scan].kind} {faults[scan].columns}" for scan in faults if scan not in good]
        print(f"{seed}: {len(good)} of {len(faults)}; touched {sorted(named.keys() - faults.keys())}; {missed}")
    print(f"shifted {faulty}: found {found}, right {right}; sound {sound}: touched {touched}", flush=True)


def shifted_of(series: TiltSeries) -> dict[int, ShiftedRows]:
    segmentations = segment_series(series, AutomaticApertures())
    tilts = np.array([scan.tilt_deg for scan in series.scans])
    offsets = register(segmentations, tilts, geometry=tilt_geometry(series)).offsets
    return {one.scan: one for one in scans_with_shifted_rows(segmentations, offsets)}


def is_right(named: ShiftedRows | None, fault: RowFault, thickness: NDArray[np.float64]) -> bool:
    if named is None or named.columns != abs(fault.columns):
        return False
    true = np.zeros(len(named.shift), dtype=np.int64)
    true[fault.rows] = fault.columns
    lit = (thickness > 0).any(axis=0).sum(axis=1) >= 4
    _, count = np.unique((named.shift - true)[lit], return_counts=True)
    return bool(count.max() >= 0.9 * count.sum())


def distortions(seed: int, shape: tuple[int, int]) -> dict[int, NDArray[np.float64]]:
    rng = np.random.default_rng([seed, 5])
    made = {}
    for scan in range(TILTS):
        angle = rng.uniform(0, 2 * np.pi)
        drift = (3 * float(np.sin(angle)), 3 * float(np.cos(angle)))
        made[scan] = distorted(shape, drift, 2.0 * float(rng.choice([-1, 1])))
    return made


def compared(study: str, seeds: range, *, integrate: bool) -> None:
    for seed in seeds:
        sample = samples()[seed % len(samples())]
        settings = settings_of(sample, seed, -0.5 * (TILTS - 1) * sample.step_deg)
        if study == "distorted":
            print_run(sample, settings, f"{seed} sound", integrate=integrate)
            places = distortions(seed, sample.instrument.scan_shape)
            print_run(sample, settings, f"{seed} distorted", places=places, integrate=integrate)
        else:
            electrons = sample.scattering.electrons_per_pattern / 2
            half = sample.scattering.model_copy(update={"electrons_per_pattern": electrons})
            print_run(sample, settings, f"{seed} one", integrate=integrate)
            changed = settings.model_copy(update={"scattering": half})
            print_run(sample, changed, f"{seed} two of half", repeats=2, integrate=integrate)


def print_run(
    sample: Sample, settings: SimulationSettings, name: str, *, integrate: bool,
    places: Mapping[int, NDArray[np.float64]] | None = None, repeats: int = 1,
) -> None:  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        series, truth = simulated_store(sample.structure, settings, Path(folder), places, repeats)
        apertures = AutomaticApertures().propose(series, Path(folder))
        scores = score_apertures(apertures, truth)
        quality = correlations(series, apertures, sample.structure, Path(folder)) if integrate else []
    print(
        f"{name:18s} found {scores.found}/{scores.findable} extra {scores.extra} swaps {scores.swaps} "
        f"precision {scores.precision:.3f} recall {scores.recall:.3f} faults {len(apertures.faults)} {quality}",
        flush=True,
    )


def correlations(series: TiltSeries, apertures: ApertureSet, structure: Structure, folder: Path) -> list[str]:
    made = []
    for crystal in apertures.crystals:
        frames, out = folder / f"{crystal.id}-frames", folder / f"{crystal.id}-integrate"
        out.mkdir()
        summed = sum_frames(series, crystal, FrameSettings(), frames)
        reflections = BuiltinIntegrator(d_min_angstrom=D_MIN).integrate(summed, out)
        judged = score(reflections, structure)
        made.append("another lattice" if judged is None else f"{judged.overall:.4f}")
    return made


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("study", choices=["rows", "distorted", "repeated"])
    parser.add_argument("--first", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--integrate", action="store_true")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    if options.study == "rows":
        rows_study(seeds)
    else:
        compared(options.study, seeds, integrate=options.integrate)


if __name__ == "__main__":
    sys.exit(main())
