"""How cost and memory grow: ``python -m tests.benchmarks.scale curves [--most 3e9]``.

Scans of stempy's version 3 are made, read into verified stores as a run does, summed and looked at by a virtual
detector, and deleted, the files with the stores. One quantity grows at a time: events by more scans of 256 x 256
positions (a scan is written anew for every thirtieth, so that the disk holds few), events by more electrons in a
position, positions, apertures, threads. Prints for each the seconds and the peak memory of the readers, and the
exponent of a straight line through their logarithms.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from adapters.formats.scans.scan_reader import ScanFileReader
from adapters.formats.stempy_writer import write_scan
from tasks.events.store_file import write_store
from tasks.events.store_reader import open_store
from tasks.events.sums import sum_apertures
from tasks.events.virtual_detectors import count_detectors
from tests.benchmarks.scale import CORES, FRAME, GIB, SCAN, random_scan, seconds

FEW = 30
"""Scans that are read from one file, each into a store of its own."""


class Cost(NamedTuple):
    """Seconds of reading into stores, of one aperture, of one detector; bytes that readers and this process held."""

    ingest: float
    aperture: float
    detector: float
    readers: int
    here: int


class Held:
    """The most memory that this process and its readers held, looked at between and during the work.

    `apart` are children that make the data.
    """

    def __init__(self, apart: set[int]) -> None:
        self._apart = apart
        self.readers = self.here = 0

    def look(self) -> None:
        """Look once."""
        me = psutil.Process()
        self.here = max(self.here, me.memory_info().rss)
        for one in me.children():
            if one.pid not in self._apart:
                with contextlib.suppress(psutil.NoSuchProcess):
                    self.readers = max(self.readers, one.memory_info().rss)


def write(path: Path, seed: int, electrons: int, side: int) -> None:
    """Write a scan's file, in a process of its own, whose memory is not looked at."""
    scan = random_scan(seed, electrons, side * side)
    write_scan(path, scan.offsets, scan.events, scan_shape_with_flyback=(side, side), frame_shape=FRAME)


def cost_of(folder: Path, *, side: int, electrons: int, scans: int) -> Cost:
    """Return what some scans of a square field cost, one set of readers for all."""
    taken = np.zeros(3)
    ring = np.hypot(*(np.indices(FRAME) - 288))
    dark, every = (ring > 40) & (ring < 200), np.ones((1, side * side), dtype=bool)
    shapes = {"scan_shape": (side, side), "flyback_columns": 0, "frame_shape": FRAME}
    source = folder / "scan.h5"
    with (
        ProcessPoolExecutor(1, get_context("spawn")) as making,
        ScanFileReader().storing(CORES) as store,
        ThreadPoolExecutor(CORES) as pool,
    ):
        making.submit(os.getpid).result()
        held = Held(apart={one.pid for one in psutil.Process().children()})

        def one(number: int) -> Path:
            return Path(store(source, **shapes, store=folder / f"{number}.events").events.path)  # type: ignore[arg-type]

        for first in range(0, scans, FEW):
            making.submit(write, source, first, electrons, side).result()
            if not first:  # the readers start, and kernels are compiled
                for path in pool.map(one, range(-CORES, 0)):
                    stored = open_store(path)
                    sum_apertures(stored, every, FRAME)
                    count_detectors(stored, [dark])
                    path.unlink()
            numbers = range(first, min(first + FEW, scans))
            begin = time.perf_counter()
            reading = [pool.submit(one, number) for number in numbers]
            while not all(job.done() for job in reading):
                held.look()
                time.sleep(0.02)
            taken[0] += time.perf_counter() - begin
            for job in reading:
                stored = open_store(job.result())
                taken[1] += seconds(lambda stored=stored: sum_apertures(stored, every, FRAME, threads=CORES))
                taken[2] += seconds(lambda stored=stored: count_detectors(stored, [dark], threads=CORES))
                held.look()
                job.result().unlink()
    source.unlink()
    return Cost(*taken.tolist(), held.readers, held.here)


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return the slope of a straight line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def curve(folder: Path, title: str, cases: Sequence[tuple[int, int, int]]) -> Iterator[str]:
    """Yield lines of a table for cases of (side, electrons in a position, scans)."""
    yield f"| {title} | scans | electrons | ingest s | aperture s | detector s | reader GiB | here GiB |"
    yield "|" + "---|" * 8
    events, costs = [], []
    for side, electrons, scans in cases:
        cost = cost_of(folder, side=side, electrons=electrons, scans=scans)
        events.append(float(side * side * electrons * scans))
        costs.append(cost)
        times = f"{cost.ingest:.2f} | {cost.aperture:.3f} | {cost.detector:.3f}"
        memory = f"{cost.readers / GIB:.2f} | {cost.here / GIB:.2f}"
        yield f"| {side} x {side} x {electrons} | {scans} | {events[-1]:.1e} | {times} | {memory} |"
    fitted = ", ".join(
        f"{name} {exponent(events, [getattr(cost, name) for cost in costs]):.2f}" for name in Cost._fields[:3]
    )
    yield f"exponent in electrons: {fitted}"


def of_apertures(folder: Path) -> Iterator[str]:
    """Yield what more apertures and more threads take, one scan of 170 electrons a position."""
    scan = random_scan(1, 170)
    yield "| apertures (disjoint) | threads | packed ms | plain ms |"
    yield "|---|---|---|---|"
    stores = [
        open_store(write_store(folder / f"{kind}.events", scan, compressed=kind == "packed"))
        for kind in ("packed", "plain")
    ]
    owner = np.random.default_rng(2).permutation(256).repeat(256)
    for number in (1, 4, 16, 64):
        masks = owner % number == np.arange(number)[:, None]
        for threads in sorted({1, CORES}):
            taken = []
            for stored in stores:
                work = partial(sum_apertures, stored, masks, FRAME, threads=threads)
                work()
                taken.append(1e3 * float(np.median([seconds(work) for _ in range(5)])))
            yield f"| {number} | {threads} | {taken[0]:.1f} | {taken[1]:.1f} |"


def curves(place: Path | None, most: float) -> None:
    """Print all curves, up to so many electrons."""
    scan = SCAN[0] * SCAN[1] * 153  # 1.0e7
    numbers = [number for number in (1, 3, 10, 30, 100, 300) if number * scan <= 1.05 * most]
    tables = {
        "more scans": [(256, 153, number) for number in numbers],
        "more electrons in a position": [(256, electrons, 2) for electrons in (50, 150, 500, 1500)],
        "more positions": [(side, 150, 2) for side in (64, 128, 256, 512, 1024)],
    }
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        for title, cases in tables.items():
            for line in curve(folder, title, cases):
                print(line, flush=True)
        for line in of_apertures(folder):
            print(line, flush=True)
