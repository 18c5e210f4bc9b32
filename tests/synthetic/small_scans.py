"""A series of small scans of a direct beam on noise: quickly read, and without any crystal."""

import json
from pathlib import Path

import numpy as np

from adapters.formats.stempy_writer import write_scan
from tests.synthetic.arriving_series import MANIFEST

SCAN, FRAME = (4, 4), (64, 64)
PER_POSITION = 40


def small_series(folder: Path, tilts: int = 4) -> Path:
    """Write a complete series of scans of 4 x 4 positions."""
    folder.mkdir(parents=True)
    scans = []
    for number in range(tilts):
        name = f"scan_{2 * number:+d}deg.h5"
        small_scan(folder / name, seed=number)
        scans.append({"file": name, "tilt_deg": 2.0 * number, "bytes": (folder / name).stat().st_size})
    (folder / "tilt_series.json").write_text(json.dumps({**MANIFEST, "scans": scans}))
    return folder


def small_scan(path: Path, *, seed: int) -> None:
    """Write one scan, with a column of flyback."""
    rng = np.random.default_rng(seed)
    entries = SCAN[0] * (SCAN[1] + 1)
    beam = np.rint(rng.normal(31.5, 1.5, size=(entries * PER_POSITION, 2))).astype(np.int64)
    noise = rng.integers(0, FRAME[0], size=beam.shape)
    place = np.where(rng.random(len(beam))[:, None] < 0.7, beam, noise)
    events = place[:, 0] * FRAME[1] + place[:, 1]
    offsets = PER_POSITION * np.arange(entries + 1)
    write_scan(
        path, offsets, events.astype(np.uint32), scan_shape_with_flyback=(SCAN[0], SCAN[1] + 1), frame_shape=FRAME
    )
