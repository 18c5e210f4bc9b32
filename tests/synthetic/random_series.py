"""A tilt series whose electrons fall anywhere: for sums, where no crystal is needed."""

from pathlib import Path

import numpy as np

from tasks.events.store import ScanEvents
from tasks.events.store_file import write_store
from tasks.ingest import ScanGrid, TiltScan, TiltSeries
from tasks.model import Beam, Detector, FileRef
from tasks.model.provenance import Provenance


def random_series(
    folder: Path, *, tilts=3, scan_shape=(7, 9), detector_shape=(11, 13), mean=20.0, seed=0, hashed=True
) -> TiltSeries:
    """Write electrons of a Poisson number at random pixels; with `hashed` False the files are not hashed."""
    scans = []
    for tilt in range(tilts):
        rng = np.random.default_rng([seed, tilt])
        sizes = rng.poisson(mean, scan_shape[0] * scan_shape[1])
        events = rng.integers(0, detector_shape[0] * detector_shape[1], sizes.sum(), dtype=np.uint32)
        kept = write_store(
            folder / f"scan-{tilt:03d}.events", ScanEvents(np.cumsum([0, *sizes]).astype(np.uint64), events)
        )
        refer = FileRef.of if hashed else (lambda path: FileRef(path=path, sha256="0" * 64))
        scans.append(
            TiltScan(
                tilt_deg=float(tilt - tilts // 2),
                source=f"scan-{tilt:03d}.h5",
                events=refer(kept),
                counts=len(events),
            )
        )
    return TiltSeries(
        sample="electrons anywhere",
        composition=None,
        beam=Beam(energy_kev=300.0),
        detector=Detector(name="bare", shape_px=detector_shape, pixel_size_mm=0.01, camera_length_mm=110.0),
        scan=ScanGrid(shape=scan_shape, step_nm=10.0, rotation_deg=0.0),
        tilt_axis=(1.0, 0.0, 0.0),
        scans=tuple(scans),
        provenance=Provenance(engine="test", version="1"),
    )
