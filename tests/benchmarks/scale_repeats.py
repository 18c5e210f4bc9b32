"""The same again and again: ``python -m tests.benchmarks.scale_repeats [--times 100] [--threads 1 2 4]``.

A small series of two crystals is written, its stores, apertures (masks) and the frames of a crystal are made so many
times with each number of threads, and 16 sums and 16 detectors of a scan. Prints how many different results there were;
fails where that is not one.
"""

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path

import numpy as np

from tasks.apertures import AutomaticApertures, at_once
from tasks.events.store import ScanEvents
from tasks.events.store_file import write_store
from tasks.events.sums import sum_apertures
from tasks.events.virtual_detectors import count_detectors
from tasks.frames.settings import FrameSettings
from tasks.frames.task import sum_frames
from tasks.ingest import open_events
from tests.synthetic.diffracting_cluster import Cluster, write_cluster

CLUSTER = Cluster(
    seed=4, crystals=2, scan=(24, 24), detector=(128, 128), pixel_size_mm=0.045, tilts=tuple(np.arange(7.0).tolist())
)


def once(series, folder: Path, threads: int) -> dict[str, str]:
    """Return the SHA-256 of all that is made of a series with so many threads."""
    at_once.threads = lambda: threads
    scan = open_events(series.scans[0])
    rng = np.random.default_rng(1)
    masks, detectors = rng.random((16, scan.positions)) < 0.3, rng.random((16, *CLUSTER.detector)) < 0.2
    found = {
        "sums": sum_apertures(scan, masks, CLUSTER.detector, threads=threads).tobytes(),
        "detectors": count_detectors(scan, detectors, threads=threads).tobytes(),
        "store": write_store(folder / "again.events", ScanEvents(scan.offsets, scan.events[:])).read_bytes(),
    }
    (folder / "apertures").mkdir()
    apertures = AutomaticApertures().propose(series, folder / "apertures")
    sum_frames(series, apertures.crystals[0], FrameSettings(), workdir=folder / "frames")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "document.json"]
    found |= {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    return {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4])
    given = parser.parse_args()
    different = set()
    with tempfile.TemporaryDirectory() as name:
        series, _ = write_cluster(CLUSTER, Path(name))
        for number in range(given.times):
            for threads in given.threads:
                with tempfile.TemporaryDirectory(dir=name) as folder:
                    different.add(tuple(sorted(once(series, Path(folder), threads).items())))
            if number % 10 == 9:
                print(f"{number + 1} times by {given.threads} threads: {len(different)} results", flush=True)
    print(f"{len(next(iter(different)))} stores, sums and files each")
    return int(len(different) != 1)


if __name__ == "__main__":
    sys.exit(main())
