"""Event stores of a real scan's size: reading into them, sums and virtual detectors, beside other programs and memory.

    python -m tests.benchmarks.scale ingest [--scans 10] [--electrons 400]
    python -m tests.benchmarks.scale sums [--electrons 170] [--libertem PYTHON]
    python -m tests.benchmarks.scale memory
    python -m tests.benchmarks.scale curves [--most 3e9]
    python -m tests.benchmarks.scale series --source SERIES --folder DIR [--set ...]

`ingest` writes scans of 256 x 256 positions as stempy's version 3, and reads them in turns by h5py alone and into
verified stores, as a run does. `sums` takes one scan: one aperture and fifty, one virtual detector and twenty, from
the compressed and the plain store, beside memory that is read, and stempy's own; LiberTEM on the same electrons where
a Python that has it is named. `memory` reads one scan of 2.5e8 electrons and says what the reader took. Each prints
medians over turns: what is compared is measured in the same minute. `series` runs a series (of `apertura simulate`,
say; `--tilts` takes those in its middle) and prints how long each step took, and the memory of all its processes while
it ran. `curves` (`tests.benchmarks.scale_curves`) lets one quantity grow at a time.
"""

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import psutil
from numba import njit, prange, set_num_threads
from stempy.image import create_stem_images
from stempy.io.sparse_array import SparseArray

from adapters.formats.raw_csr_writer import write_raw_csr
from adapters.formats.scans.scan_reader import ScanFileReader
from adapters.formats.stempy_writer import ENTRIES_PER_BLOCK, write_scan
from tasks.events.store import ScanEvents
from tasks.events.store_file import write_store
from tasks.events.store_reader import open_store
from tasks.events.sums import sum_apertures
from tasks.events.virtual_detectors import count_detectors

SCAN, FRAME = (256, 256), (576, 576)
CORES = len(os.sched_getaffinity(0))
GIB = 2**30


def random_scan(seed: int, electrons: int, positions: int = SCAN[0] * SCAN[1]) -> ScanEvents:
    """Return electrons of a beam (35 %), 120 spots (20 %) and a halo, ascending in every position."""
    rng = np.random.default_rng(seed)
    spots = rng.uniform(60, 516, (120, 2))
    lengths = rng.poisson(electrons, positions)
    events = np.empty(int(lengths.sum()), dtype=np.uint32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    step = 4096
    for first in range(0, positions, step):
        begin, end = offsets[first], offsets[min(first + step, positions)]
        number = int(end - begin)
        kind = rng.random(number)
        width = np.where(kind < 0.35, 1.5, np.where(kind < 0.55, 1.2, 90.0))
        middle = np.full((number, 2), 288.0)
        on_spot = (kind >= 0.35) & (kind < 0.55)
        middle[on_spot] = spots[rng.integers(0, len(spots), int(on_spot.sum()))]
        place = np.clip(middle + width[:, None] * rng.normal(size=(number, 2)), 0, 575).astype(np.uint64)
        owner = np.repeat(np.arange(min(step, positions - first), dtype=np.uint64), lengths[first : first + step])
        keys = np.sort(owner << np.uint64(32) | (place[:, 0] * np.uint64(576) + place[:, 1]))
        events[begin:end] = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return ScanEvents(offsets.astype(np.uint64), events)


def bare_read(path: Path) -> int:
    """Read all entries by h5py alone."""
    with h5py.File(path) as file:
        frames = file["electron_events/frames"]
        return sum(len(frames[begin : begin + ENTRIES_PER_BLOCK]) for begin in range(0, len(frames), ENTRIES_PER_BLOCK))


def ingest(folder: Path, scans: int, electrons: int, turns: int) -> None:
    """Compare h5py's bare reading with ingest into stores."""
    paths = []
    for number in range(scans):
        scan = random_scan(number, electrons)
        paths.append(folder / f"scan-{number}.h5")
        write_scan(paths[-1], scan.offsets, scan.events, scan_shape_with_flyback=SCAN, frame_shape=FRAME)
    patterns = scans * SCAN[0] * SCAN[1]
    stores = [folder / f"{path.stem}.events" for path in paths]
    bare: list[float] = []
    stored: list[float] = []
    with ScanFileReader().storing(CORES) as store, ThreadPoolExecutor(CORES) as pool:

        def one(pair: tuple[Path, Path]) -> int:
            shapes = {"scan_shape": SCAN, "flyback_columns": 0, "frame_shape": FRAME}
            return store(pair[0], **shapes, store=pair[1]).counts  # type: ignore[arg-type]

        pairs = list(zip(paths, stores, strict=True))
        list(pool.map(one, pairs))
        for _ in range(turns):
            for path in stores:  # ext4 writes a file to the disk before it takes the name of another
                path.unlink()
            bare.append(seconds(lambda: [bare_read(path) for path in paths]))
            stored.append(seconds(lambda: list(pool.map(one, pairs))))
    events = sum(len(open_store(path).events) for path in stores)
    size = sum(path.stat().st_size for path in stores) / (4 * events)
    taken, alone = statistics.median(stored), statistics.median(bare)
    ratio = statistics.median(a / b for a, b in zip(bare, stored, strict=True))
    print(f"{scans} scans of 256 x 256 x {electrons}: {events} electrons, {CORES} readers")
    print(
        f"h5py alone {patterns / alone:,.0f} patterns/s; to verified stores {patterns / taken:,.0f} ({ratio:.2f} of it)"
    )
    print(f"store {size:.3f} of uint32; peak memory of a reader {peak_of_children() / GIB:.2f} GiB")


def memory(folder: Path) -> None:
    """Say what reading one large scan takes."""
    scan = random_scan(1, 1000, positions=512 * 512)
    path, events = folder / "large.h5", len(scan.events)
    write_scan(path, scan.offsets, scan.events, scan_shape_with_flyback=(512, 512), frame_shape=FRAME)
    with ScanFileReader().storing(1) as store, ThreadPoolExecutor(1) as pool:
        shapes = {"scan_shape": (512, 512), "flyback_columns": 0, "frame_shape": FRAME}
        reading = pool.submit(store, path, **shapes, store=folder / "large.events")  # type: ignore[arg-type]
        peak = 0
        while not reading.done():
            peak = max([peak, *(one.memory_info().rss for one in psutil.Process().children())])
            time.sleep(0.01)
        reading.result()
    print(f"{events} electrons, {path.stat().st_size / GIB:.2f} GiB: peak of its reader {peak / GIB:.2f} GiB")


def peak_of_children() -> int:
    """Return the largest peak of the processes that ended, bytes: at least what this one held when it began them."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


@njit(parallel=True)
def total(values: np.ndarray) -> int:
    """Read memory, every thread a part."""
    found = 0
    for index in prange(len(values)):
        found += values[index]
    return found


def sums(folder: Path, electrons: int, turns: int, libertem: str | None) -> None:
    """Compare sums and virtual detectors."""
    scan = random_scan(1, electrons)
    events = len(scan.events)
    compressed = open_store(write_store(folder / "c.events", scan))
    plain = open_store(write_store(folder / "p.events", scan, compressed=False))
    path = folder / "s.h5"
    write_scan(path, scan.offsets, scan.events, scan_shape_with_flyback=SCAN, frame_shape=FRAME)
    theirs = SparseArray.from_hdf5(str(path))
    rng = np.random.default_rng(2)
    every = np.ones((1, SCAN[0] * SCAN[1]), dtype=bool)
    owner = rng.integers(0, 50, (16, 16)).repeat(16, axis=0).repeat(16, axis=1).ravel()
    fifty = owner == np.arange(50)[:, None]
    radius = np.hypot(*(np.indices(FRAME) - 288))
    dark = (radius > 40) & (radius < 200)
    twenty = [(radius > 10 * k) & (radius < 10 * k + 60) for k in range(20)]
    block = np.asarray(scan.events)
    cases: dict[str, Callable[[], object]] = {
        "memory read": lambda: total(block),
        "stempy, sum": lambda: theirs.sum(axis=theirs.scan_axes),
        "stempy, virtual detector": lambda: create_stem_images(theirs, 40, 200, center=(288, 288)),
    }
    for name, one in (("compressed", compressed), ("plain", plain)):
        cases |= {
            f"{name}, one aperture": lambda one=one: sum_apertures(one, every, FRAME, threads=CORES),
            f"{name}, 50 apertures": lambda one=one: sum_apertures(one, fifty, FRAME, threads=CORES),
            f"{name}, one detector": lambda one=one: count_detectors(one, [dark], threads=CORES),
            f"{name}, 20 detectors": lambda one=one: count_detectors(one, twenty, threads=CORES),
        }
    set_num_threads(CORES)
    for work in cases.values():
        work()
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(turns):
        for name, work in cases.items():
            taken[name].append(seconds(work))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    size = (folder / "c.events").stat().st_size / (4 * events)
    print(f"256 x 256 x {electrons}: {events} electrons, {CORES} threads; store {size:.3f} of uint32")
    print("| | ms | M electrons/s | of memory read |\n|---|---|---|---|")
    for name, value in medians.items():
        share = statistics.median(a / b for a, b in zip(taken["memory read"], taken[name], strict=True))
        print(f"| {name} | {1e3 * value:.1f} | {events / value / 1e6:.0f} | {share:.3f} |")
    if libertem:
        print(by_libertem(folder, scan, libertem))


class Memory:
    """The memory of a process and its children, looked at every second: pages that they share count once."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.curve: list[tuple[float, float]] = []

    def watch(self) -> None:
        """Look until the process ends."""
        begin = time.monotonic()
        while self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE:
            total = 0
            for one in [self._process, *self._process.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    total += one.memory_full_info().pss
            self.curve.append((time.monotonic() - begin, total / GIB))
            time.sleep(1.0)


def middle_of(source: Path, folder: Path, tilts: int) -> Path:
    """Return a series of the middle scans of another one, which are linked to."""
    manifest = json.loads((source / "tilt_series.json").read_text(encoding="utf-8"))
    first = (len(manifest["scans"]) - tilts) // 2
    manifest["scans"] = manifest["scans"][first : first + tilts]
    folder.mkdir(parents=True)
    for scan in manifest["scans"]:
        os.link(source / scan["file"], folder / scan["file"])
    (folder / "tilt_series.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def series(source: Path, out: Path, settings: list[str], tilts: int | None) -> None:
    """Run a series, and print its steps, its memory and what came of it."""
    if tilts is not None:
        source = middle_of(source, out / f"{tilts}-tilts", tilts)
    changes = [text for one in settings for text in ("--set", one)]
    argv = [sys.executable, "-m", "flows.cli", "run", str(source), "--out", str(out / "run"), *changes]
    begin = time.monotonic()
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        memory_of = Memory(psutil.Process(process.pid))
        watcher = threading.Thread(target=memory_of.watch)
        watcher.start()
        for line in process.stderr or ():
            print(f"{time.monotonic() - begin:7.1f} s  {line.rstrip()}", flush=True)
        process.wait()
        watcher.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    taken = time.monotonic() - begin
    print(f"{taken:.0f} s, {used.ru_utime + used.ru_stime:.0f} CPU s, exit {process.returncode}")
    step = max(1, len(memory_of.curve) // 40)
    print("memory, GiB: " + ", ".join(f"{at:.0f} s {value:.2f}" for at, value in memory_of.curve[::step]))
    print(f"peak {max((value for _, value in memory_of.curve), default=0.0):.2f} GiB")


LIBERTEM = """
import sys, time
import numpy as np
import libertem.api as lt
with lt.Context.make_with('inline') as ctx:
    data = ctx.load('raw_csr', path=sys.argv[1])
    whole = lambda: ctx.run(ctx.create_sum_analysis(dataset=data))
    ring = lambda: ctx.run(ctx.create_ring_analysis(dataset=data, cx=288, cy=288, ri=40, ro=200))
    for name, work in (('sum', whole), ('ring', ring)):
        work()
        taken = []
        for _ in range(5):
            begin = time.perf_counter(); work(); taken.append(time.perf_counter() - begin)
        print(f'LiberTEM (one process), {name}: {1e3 * sorted(taken)[2]:.0f} ms')
"""


def by_libertem(folder: Path, scan: ScanEvents, python: str) -> str:
    """Return what LiberTEM takes for the same electrons."""
    sidecar = write_raw_csr(scan, folder, "l", scan_shape=SCAN, frame_shape=FRAME)
    done = subprocess.run([python, "-c", LIBERTEM, str(sidecar)], check=False, capture_output=True, text=True, cwd="/")
    return done.stdout.strip() or done.stderr[-500:]


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("ingest", "sums", "memory", "curves", "series"))
    parser.add_argument("--scans", type=int, default=10)
    parser.add_argument("--electrons", type=int)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--libertem")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--tilts", type=int, help="the middle ones of the series; all by default")
    parser.add_argument("--most", type=float, default=3e9, help="electrons of the longest curve")
    given = parser.parse_args(sys.argv[1:])
    if given.what == "series":
        series(given.source, given.folder, given.set, given.tilts)
        return
    if given.what == "curves":
        from tests.benchmarks.scale_curves import curves

        curves(given.folder, given.most)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        place = Path(folder)
        if given.what == "ingest":
            ingest(place, given.scans, given.electrons or 400, given.turns)
        elif given.what == "memory":
            memory(place)
        else:
            sums(place, given.electrons or 170, given.turns, given.libertem)


if __name__ == "__main__":
    main()
