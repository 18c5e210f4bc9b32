"""What drawing costs and finds, without the window: ``python -m tests.benchmarks.studio [PART ...] [--seeds N]``.

Parts, all by default:

opening   20 scans of 64 x 64 positions: the series, all counts, then bright field and spots of one scan, in seconds
brush     256 x 256 positions with 26 million electrons: CPU of a step of a brush, and its ratio to copying a pattern
growth    simulated crystals that overlap, grown from a random place within what each has alone
carry     the same crystals' true masks carried from three tilts to all others
memory    memory held after looking at the spots of every scan, by how many may be open
"""

import argparse
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage

from tasks.drawing import (
    Scene,
    VirtualDetector,
    carry,
    connected_part,
    find_drift,
    likeness_of,
    region_like,
    stroke_mask,
)
from tasks.ingest import TiltSeries
from tasks.simulate import ClusterPlan, Instrument, SimulationSettings, TiltPlan, uio66
from tests.synthetic.diffracting_cluster import Truth
from tests.synthetic.random_series import random_series
from tests.synthetic.simulated_store import simulated_store

TURNS = ((0.0, (1.0, 0.0, 0.0)), (-37.0, (0.8, 0.6, 0.0)), (60.0, (1.0, 0.0, 0.0)))
"""Rotation of the scan and tilt axis, in turn by the seed."""


def cluster(seed: int, folder: Path, tilts: TiltPlan, scan_shape: tuple[int, int]) -> tuple[TiltSeries, Truth]:
    rotation, axis = TURNS[seed % len(TURNS)]
    settings = SimulationSettings(
        seed=seed,
        tilts=tilts,
        cluster=ClusterPlan(crystals=4, size_nm=130, bad_fraction=0, overlap=0.3, drift_px=1.0, height_nm=200),
        instrument=Instrument(scan_shape=scan_shape, scan_rotation_deg=rotation, tilt_axis=axis),
    )
    return simulated_store(uio66(), settings, folder)


def timed(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    work()
    return clock() - start


def opening(folder: Path, seeds: range) -> None:
    series, _ = cluster(seeds[0], folder, TiltPlan(start_deg=-19, stop_deg=19, step_deg=2), (64, 64))
    Scene(series).spots(0)  # compiled kernels come from numba's cache
    scene = Scene(series)
    counts = timed(lambda: [scene.counts(tilt) for tilt in range(len(series.scans))])
    middle = len(series.scans) // 2
    spots = timed(lambda: scene.image(middle, "bright field"))
    print(f"opening: {len(series.scans)} scans, all counts {counts:.2f} s, spots of one scan {spots:.2f} s")
    print(f"         drift over all scans {timed(lambda: find_drift(scene)):.2f} s")


def brush(folder: Path, seeds: range) -> None:
    shape, detector = (256, 256), (576, 576)
    series = random_series(
        folder, tilts=1, scan_shape=shape, detector_shape=detector, mean=400, seed=seeds[0], hashed=False
    )
    scene, mask = Scene(series), stroke_mask(shape, [(100, 100), (150, 150)], 20)
    none, pattern = np.zeros(shape, dtype=bool), scene.pattern(0, mask)
    copies = [timed(pattern.copy, time.thread_time) for _ in range(100)]
    for radius in (2, 8, 20):
        steps, ratios = [], []
        for step in range(60):
            start = time.thread_time()
            added = stroke_mask(shape, [(60 + step, 180), (62 + step, 182)], radius) & ~mask
            scene.pattern_changed(0, pattern, added, none)
            steps.append(time.thread_time() - start)
            ratios.append(steps[-1] / np.median(copies))
        print(
            f"brush: radius {radius:2d}, {added.sum():5d} positions: {1e3 * np.median(steps):.2f} ms median, "
            f"{1e3 * np.quantile(steps, 0.95):.2f} ms at 95 %, {np.median(ratios):.0f} copies of the detector"
        )
    ring = VirtualDetector(shape="ring", centre_px=(287.5, 287.5), inner_px=20, outer_px=120)
    whole = [timed(lambda: scene.pattern(0, mask), time.thread_time) for _ in range(5)]
    image = [timed(lambda: scene.detector_image(0, ring), time.thread_time) for _ in range(5)]
    print(f"       {mask.sum()} positions anew {1e3 * np.median(whole):.0f} ms", end=", ")
    print(f"image of a virtual detector {1e3 * np.median(image):.0f} ms, {series.scans[0].counts} electrons")


SPARSE = TiltPlan(start_deg=-30, stop_deg=30, step_deg=3.0)


def growth(folder: Path, seeds: range) -> None:
    limits = (0.3, 0.5, 0.7, 0.8, 0.9)
    rows: dict[float, list[tuple[float, ...]]] = {limit: [] for limit in limits}
    seconds = []
    for seed in seeds:
        series, truth = cluster(seed, folder, SPARSE, (48, 48))
        scene, rng, here = Scene(series), np.random.default_rng(seed), truth.thickness > 0
        for tilt in range(0, len(series.scans), 4):
            scene.spots(tilt)
            alone = here[tilt] & (here[tilt].sum(axis=0) == 1)
            for number, own in enumerate(alone):
                places = np.argwhere(ndimage.binary_erosion(own, iterations=2))
                if len(places) < 5:
                    continue
                row, column = rng.choice(places).tolist()
                wanted = connected_part(own, (row, column))
                start = time.perf_counter()
                like = likeness_of(scene, tilt, (row, column))
                seconds.append(time.perf_counter() - start)
                for limit in limits:
                    found = region_like(like, (row, column), limit)
                    common = (found & wanted).sum()
                    rows[limit].append(
                        (
                            common / wanted.sum(),
                            (found & here[tilt, number]).sum() / found.sum(),
                            (found & own).sum() / found.sum(),
                            common / (found | wanted).sum(),
                        )
                    )
    for limit, found in rows.items():
        recall, on_crystal, clean, common = np.mean(found, axis=0)
        print(
            f"growth: likeness {limit:.1f}: {recall:.3f} of what a crystal has alone; {on_crystal:.3f} of what is "
            f"taken is on the crystal, {clean:.3f} on it alone; in common {common:.3f} ({len(found)} seeds)"
        )
    print(f"        {1e3 * np.median(seconds):.0f} ms each once the spots are known")


def carrying(folder: Path, seeds: range) -> None:
    for seed in seeds:
        series, truth = cluster(seed, folder, SPARSE, (48, 48))
        scene, here = Scene(series), truth.thickness > 0
        drift = find_drift(scene)
        common, unmoved, sure, seconds = [], [], [], []
        for tilt in (5, 10, 15):
            for number in range(here.shape[1]):
                mask, every = here[tilt, number], range(len(here))
                start = time.perf_counter()
                found = carry(scene, mask, tilt=tilt, to=every, drift=drift)
                seconds.append(time.perf_counter() - start)
                for other in set(every) - {tilt}:
                    true = here[other, number]
                    common.append((found.masks[other] & true).sum() / max((found.masks[other] | true).sum(), 1))
                    unmoved.append((mask & true).sum() / max((mask | true).sum(), 1))
                    sure.append(found.sureness[other])
        halves = np.array(common)[np.argsort(sure)]
        print(
            f"carry: seed {seed}: in common with the truth {np.mean(common):.3f}, where it was drawn "
            f"{np.mean(unmoved):.3f}; the less sure half {halves[: len(halves) // 2].mean():.3f}, the surer half "
            f"{halves[len(halves) // 2 :].mean():.3f}; {1e3 * np.median(seconds):.0f} ms each"
        )


def memory(folder: Path, seeds: range) -> None:
    series, _ = cluster(seeds[0], folder, TiltPlan(start_deg=-22, stop_deg=22, step_deg=4), (96, 96))
    Scene(series).spots(0)
    for tilts in (1, 2, 4, 8):
        tracemalloc.start()
        scene = Scene(series, open_tilts=tilts)
        for tilt in range(len(series.scans)):
            scene.pattern(tilt, np.ones(scene.scan_shape, dtype=bool))
            for name in scene.image_names:
                scene.image(tilt, name)
        held, peak = (value / 2**20 for value in tracemalloc.get_traced_memory())
        tracemalloc.stop()
        print(f"memory: {tilts} of {len(series.scans)} scans open: {held:.0f} MiB held, {peak:.0f} MiB at the highest")


PARTS = {"opening": opening, "brush": brush, "growth": growth, "carry": carrying, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=20)
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}")
    for part in asked.parts:
        with tempfile.TemporaryDirectory() as folder:
            PARTS[part](Path(folder), range(asked.first, asked.first + asked.seeds))


if __name__ == "__main__":
    main()
