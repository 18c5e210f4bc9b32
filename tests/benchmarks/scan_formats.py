"""What it costs to make electrons of a dense scan, beside the bare library's reading of the same file.

    python -m tests.benchmarks.scan_formats [FOLDER]

Writes a scan of 48 x 64 frames of 256 x 256 pixels (EMPAD: of 128 x 128) in each format, reads it in turn by the
library (all frames into memory) and by the reader of a run (to events), and prints the best of some times of each,
their ratio (CPU time with the file in the system's cache, and wall time from the disk), and the most memory that the
reader took beside the events.
"""

import os
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401
import numpy as np
from rsciio.arina import file_reader as read_arina
from rsciio.blockfile import file_reader as read_blockfile
from rsciio.empad import file_reader as read_empad
from rsciio.hspy import file_reader as read_hspy
from rsciio.quantumdetector import file_reader as read_mib

from adapters.formats.scans.scan_reader import ScanFileReader
from tasks.ingest import Conversion, Stated
from tasks.model import Counting
from tests.synthetic.scan_files import write_arina, write_blockfile, write_empad, write_hyperspy, write_mib

SCAN, FRAME, TIMES = (48, 64), (256, 256), 5
WHOLE = Stated(counting=Counting(method="ideal", frames_per_position=1))
UNITS = Stated(conversion=Conversion(units_per_electron=1.0, pedestal=0.0))


def counts(frame: tuple[int, int]) -> np.ndarray:
    """Return counts of a direct beam over a faint halo, 1000 electrons in a frame."""
    rng = np.random.default_rng(1)
    found = np.zeros((SCAN[0] * SCAN[1], frame[0] * frame[1]), dtype=np.uint16)
    for row in found:
        width = np.where(rng.random(1000) < 0.4, 2.0, frame[0] / 5)[:, None]
        place = np.clip(np.rint(frame[0] / 2 + width * rng.normal(size=(1000, 2))), 0, frame[0] - 1).astype(np.int64)
        np.add.at(row, place[:, 0] * frame[1] + place[:, 1], 1)
    return found.reshape(*SCAN, *frame)


def by_h5py(path: Path) -> np.ndarray:
    """Read HyperSpy's dataset by h5py alone: what its readers do beside metadata."""
    with h5py.File(path) as file:
        return file["Experiments/scan/data"][()]


Case = tuple[Callable[[Path, np.ndarray], Path], Callable[[Path], object], Stated, tuple[int, int]]
CASES: dict[str, Case] = {
    "m8.mib": (
        write_mib,
        lambda path: read_mib(str(path), navigation_shape=SCAN[::-1]),
        Stated(),
        FRAME,
    ),
    "m16.mib": (
        lambda path, values: write_mib(path, values, kind="U16"),
        lambda path: read_mib(str(path), navigation_shape=SCAN[::-1]),
        Stated(),
        FRAME,
    ),
    "a_master.h5": (
        lambda path, values: write_arina(path, values, per_file=1000),
        lambda path: read_arina(path, navigation_shape=SCAN[::-1]),
        Stated(),
        FRAME,
    ),
    "h.hspy": (
        lambda path, values: write_hyperspy(path, values, chunks=(8, 8, 64, 64)),
        lambda path: read_hspy(str(path)),
        WHOLE,
        FRAME,
    ),
    "plain.hspy": (write_hyperspy, by_h5py, WHOLE, FRAME),
    "b.blo": (write_blockfile, lambda path: read_blockfile(str(path)), UNITS, FRAME),
    "e.xml": (
        lambda path, values: write_empad(path, values.astype(np.float32)),
        lambda path: read_empad(str(path)),
        UNITS,
        (128, 128),
    ),
}


def forget(folder: Path) -> None:
    """Drop the files from the system's cache."""
    for path in folder.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def from_disk(run: Callable[[], object], folder: Path) -> float:
    """Return the wall time of a call with the files on disk only, s."""
    forget(folder)
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def seconds(run: Callable[[], object]) -> float:
    """Return the CPU time of a call, s: the machine may be shared."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def main(folder: Path) -> None:
    """Write, read and print."""
    print("| file | MB | library, CPU s | reader, CPU s | ratio | from disk, s | reader, s | ratio | MB of memory |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, (write, library, stated, frame) in CASES.items():
        path = write(folder / name, counts(frame))
        size = sum(other.stat().st_size for other in folder.iterdir())

        def read(path: Path = path, stated: Stated = stated, frame: tuple[int, int] = frame) -> int:
            shapes = {"scan_shape": SCAN, "flyback_columns": 0, "frame_shape": frame}
            return ScanFileReader().read(path, **shapes, stated=stated).events.nbytes

        read()
        times = [(seconds(lambda path=path, library=library: library(path)), seconds(read)) for _ in range(TIMES)]
        bare, ours = (min(column) for column in zip(*times, strict=True))
        disk = [
            (from_disk(lambda path=path, library=library: library(path), folder), from_disk(read, folder))
            for _ in range(2)
        ]
        cold, ours_cold = (min(column) for column in zip(*disk, strict=True))
        tracemalloc.start()
        held = read()
        most = tracemalloc.get_traced_memory()[1] - held
        tracemalloc.stop()
        figures = [name, f"{size / 1e6:.0f}", f"{bare:.3f}", f"{ours:.3f}", f"{ours / bare:.2f}"]
        figures += [f"{cold:.2f}", f"{ours_cold:.2f}", f"{ours_cold / cold:.2f}", f"{most / 1e6:.0f}"]
        print(f"| {' | '.join(figures)} |", flush=True)
        for other in folder.iterdir():
            other.unlink()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as place:
        main(Path(place))
