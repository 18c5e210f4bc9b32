"""The project's own forward model written straight into an event store, with its truth: no HDF5 in between."""

from pathlib import Path

import numpy as np

from tasks.ingest.models import ScanGrid, TiltScan, TiltSeries
from tasks.model import Beam, Detector, FileRef
from tasks.model.provenance import Provenance
from tasks.simulate.exposure import expose
from tasks.simulate.specimen import prepare_specimen
from tests.synthetic.diffracting_cluster import Truth


def simulated_store(structure, settings, folder: Path) -> tuple[TiltSeries, Truth]:
    """Simulate; domains are the truth's crystals, a misoriented domain is one of its own."""
    specimen = prepare_specimen(structure, settings)
    instrument = settings.instrument
    ny, nx = instrument.scan_shape
    wide = nx + instrument.flyback_columns
    scans, thickness = [], []
    for index, tilt in enumerate(specimen.tilts.recorded_deg):
        shot = expose(specimen, index)
        rows = np.arange(ny * wide).reshape(ny, wide)[:, :nx].ravel()
        sizes = (shot.offsets[1:] - shot.offsets[:-1])[rows]
        events = np.concatenate([shot.events[shot.offsets[r] : shot.offsets[r + 1]] for r in rows])
        stem = folder / f"scan-{index:03d}"
        np.save(f"{stem}-offsets.npy", np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint64))
        np.save(f"{stem}-events.npy", events.astype(np.uint32))
        scans.append(
            TiltScan(
                tilt_deg=float(tilt),
                source=f"{stem.name}.h5",
                offsets=FileRef.of(Path(f"{stem}-offsets.npy")),
                events=FileRef.of(Path(f"{stem}-events.npy")),
                counts=len(events),
            )
        )
        thickness.append(shot.thickness_nm / instrument.step_nm)
    series = TiltSeries(
        sample=structure.name,
        composition=None,
        beam=Beam(energy_kev=instrument.energy_kev),
        detector=Detector(
            name="4D Camera",
            shape_px=instrument.shape_px,
            pixel_size_mm=instrument.pixel_size_mm,
            camera_length_mm=instrument.camera_length_mm,
            direct_beam_px=instrument.direct_beam_px,
        ),
        scan=ScanGrid(
            shape=instrument.scan_shape, step_nm=instrument.step_nm, rotation_deg=instrument.scan_rotation_deg
        ),
        tilt_axis=instrument.tilt_axis,
        scans=tuple(scans),
        provenance=Provenance(engine="test", version="1"),
    )
    parents = tuple(domain.crystal for domain in specimen.domains)
    return series, Truth(np.array(thickness), specimen.tilts.drift_nm / instrument.step_nm, parents)
