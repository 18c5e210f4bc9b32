"""Cost and memory of apertures against tilts and positions: ``python -m tests.benchmarks.scale_apertures``.

``--side 64 128 256`` positions, ``--tilts 10 30``, ``--seed 0``. Ten crystals of 3.5 to 4.5 positions radius, 190
electrons per position (`tests.synthetic.diffracting_cluster`), written to a temporary folder and deleted after; each
series is looked at in a process of its own. With ``--crops`` each crystal of the first series is also looked at in a
square of 64 positions around it, for what such a crop finds; with ``--field 1024`` the first series lies in a field of
so many positions a side, empty around it.

Prints one line per series: CPU and wall time of segmenting and of all of `AutomaticApertures`, peak memory of the
process, crystals that may be found and are, precision and recall.
"""

import argparse
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

from tasks.apertures import automatic
from tasks.apertures.automatic import AutomaticApertures
from tasks.model import NoCrystalsError
from tests.synthetic.aperture_scores import score_apertures
from tests.synthetic.cropped_series import cropped, widened
from tests.synthetic.diffracting_cluster import Cluster, write_cluster

LEAST = 5
"""Clean positions, in the mean over the tilts, from which on a crystal counts as findable."""
CROP = 64


def cluster_of(side: int, tilts: int, seed: int) -> Cluster:
    angles = tuple((np.arange(tilts) - (tilts - 1) / 2).tolist())
    return Cluster(seed=seed, crystals=10, scan=(side, side), radius=(3.5, 4.5), spread=side / 4.3, tilts=angles)


def looked_at(folder: Path) -> str:
    series, truth = pickle.loads((folder / "series.pickle").read_bytes())
    spent = {}
    real = automatic.segment_series

    def timed(*args, **kwargs):
        start = time.process_time()
        found = real(*args, **kwargs)
        spent["segment"] = time.process_time() - start
        return found

    automatic.segment_series = timed
    before = peak_mib()
    start, wall = time.process_time(), time.perf_counter()
    try:
        scores = score_after(AutomaticApertures().propose(series, folder), truth)
    except NoCrystalsError as error:
        scores = error.message
    seconds, elapsed = time.process_time() - start, time.perf_counter() - wall
    mib = peak_mib()
    return f"{spent['segment']:8.1f} {seconds:8.1f} {elapsed:8.1f} {before:8.0f} {mib:8.0f}  {scores}"


def peak_mib() -> float:
    """Return the peak memory of this program alone; ru_maxrss would count what its parent held when it forked."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 2**10


def score_after(apertures, truth) -> str:
    scores = score_apertures(apertures, truth, least=LEAST)
    return f"{scores.found:3d}/{scores.findable:<3d} {scores.extra:3d} {scores.precision:6.3f} {scores.recall:6.3f}"


def of_crops(series, truth, folder: Path) -> None:
    for crystal in range(truth.thickness.shape[1]):
        middle = ndimage.center_of_mass(truth.thickness[:, crystal].sum(axis=0))
        row, column = (int(np.clip(round(at) - CROP // 2, 0, series.scan.shape[0] - CROP)) for at in middle)
        part, its_truth = cropped(series, truth, (row, column), CROP, folder / f"crop-{crystal}")
        try:
            print(f"crop around crystal {crystal}: ", end="")
            print(score_after(AutomaticApertures().propose(part, folder / f"crop-{crystal}"), its_truth), flush=True)
        except NoCrystalsError as error:
            print(error.message, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--tilts", type=int, nargs="+", default=[10, 30])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--crops", action="store_true")
    parser.add_argument("--field", type=int)
    parser.add_argument("--look", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.look is not None:
        print(looked_at(options.look))
        return
    print("side tilts   events  segment    CPU s   wall s   before MiB peak  found  extra precision recall")
    for side in options.side:
        for tilts in options.tilts:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                cluster = cluster_of(side, tilts, options.seed)
                series, truth = write_cluster(cluster, folder)
                if options.crops:
                    of_crops(series, truth, folder)
                    options.crops = False
                if options.field is not None:
                    corner = ((options.field - side) // 3, (options.field - side) // 2)
                    series, truth = widened(cluster, series, truth, corner, options.field, folder / "wide")
                (folder / "series.pickle").write_bytes(pickle.dumps((series, truth)))
                events = sum(scan.counts for scan in series.scans)
                command = [sys.executable, "-m", "tests.benchmarks.scale_apertures", "--look", name]
                line = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                print(f"{options.field or side:4d} {tilts:5d} {events:8.2e} {line.strip()}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
