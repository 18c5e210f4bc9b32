"""The project's own forward model written straight into an event store, with its truth: no HDF5 in between."""

from pathlib import Path

import numpy as np

from tasks.ingest.models import ScanGrid, TiltScan, TiltSeries
from tasks.model import Beam, Detector
from tasks.model.provenance import Provenance
from tasks.simulate.exposure import expose
from tasks.simulate.specimen import prepare_specimen
from tests.synthetic.diffracting_cluster import Truth
from tests.synthetic.scan_faults import expose_at
from tests.synthetic.stored_events import put_events


def simulated_store(structure, settings, folder: Path, places=None, repeats=1) -> tuple[TiltSeries, Truth]:
    """Simulate; domains are the truth's crystals, a misoriented domain is one of its own.

    ``places``: tilt number -> where the file positions of that scan lie (`scan_faults`); the others are sound.
    ``repeats``: exposures of every tilt, each with electrons and a drift of its own.
    """
    specimen = prepare_specimen(structure, settings)
    scans, thickness, drift = [], [], []
    for index in range(len(specimen.tilts.recorded_deg)):
        for repeat in range(repeats):
            one = _again(specimen, repeat)
            at = (places or {}).get(index)
            shot = expose(one, index) if at is None else expose_at(one, index, at)
            stem = folder / (f"scan-{index:03d}" + (f"-{repeat}" if repeats > 1 else ""))
            scan = _stored(shot, specimen, index, stem)
            scans.append(scan.model_copy(update={"repeat": repeat}) if repeats > 1 else scan)
            thickness.append(shot.thickness_nm / settings.instrument.step_nm)
            drift.append(one.tilts.drift_nm[index])
    parents = tuple(domain.crystal for domain in specimen.domains)
    truth = Truth(np.array(thickness), np.array(drift) / settings.instrument.step_nm, parents)
    return _series(structure, settings.instrument, tuple(scans)), truth


def _again(specimen, repeat):
    """Return the specimen as it is exposed once more: other electrons, and it has drifted."""
    if not repeat:
        return specimen
    settings = specimen.settings.model_copy(update={"seed": specimen.settings.seed + 1_000_003 * repeat})
    rng = np.random.default_rng([settings.seed, 9])
    step = specimen.settings.cluster.drift_px * specimen.settings.instrument.step_nm
    drift = specimen.tilts.drift_nm + rng.normal(0.0, step, specimen.tilts.drift_nm.shape)
    return specimen._replace(settings=settings, tilts=specimen.tilts._replace(drift_nm=drift))


def _stored(shot, specimen, index, stem) -> TiltScan:
    ny, nx = specimen.settings.instrument.scan_shape
    wide = nx + specimen.settings.instrument.flyback_columns
    rows = np.arange(ny * wide).reshape(ny, wide)[:, :nx].ravel()
    sizes = (shot.offsets[1:] - shot.offsets[:-1])[rows]
    events = np.concatenate([shot.events[shot.offsets[r] : shot.offsets[r + 1]] for r in rows])
    return TiltScan(
        tilt_deg=float(specimen.tilts.recorded_deg[index]),
        source=f"{stem.name}.h5",
        events=put_events(stem.with_suffix(".events"), np.concatenate([[0], np.cumsum(sizes)]), events),
        counts=len(events),
    )


def _series(structure, instrument, scans) -> TiltSeries:
    return TiltSeries(
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
        scans=scans,
        provenance=Provenance(engine="test", version="1"),
    )
