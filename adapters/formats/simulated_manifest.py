"""The manifest of a simulated series, with the optional facts that the settings tell."""

from pathlib import Path
from typing import Any

import numpy as np

from tasks.simulate import Instrument, Specimen, Structure, transmitted

MASK_NAME = "mask.npy"
HALF = 0.5  # of the electrons stopped: the outline of a beam stop


def series_manifest(structure: Structure, specimen: Specimen, scans: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the manifest; `scans` as `scan_entry` gives them."""
    settings = specimen.settings
    instrument = settings.instrument
    return {
        "format": "4D-STEM tilt series",
        "version": 1,
        "sample": settings.sample or structure.name,
        "composition": structure.composition.formula(),
        "beam": _beam(instrument),
        "detector": _detector(specimen),
        "scan": {
            "shape": instrument.scan_shape,
            "step_nm": instrument.step_nm,
            "flyback_columns": instrument.flyback_columns,
            "rotation_deg": instrument.scan_rotation_deg,
        },
        "tilt_axis": instrument.tilt_axis,
        "scans": scans,
        "notes": {"origin": "simulated by apertura", "seed": str(settings.seed)},
    }


def scan_entry(specimen: Specimen, index: int, file: Path) -> dict[str, Any]:
    """Return what the manifest says of one scan, written to `file`."""
    settings = specimen.settings
    entry: dict[str, Any] = {
        "file": file.name,
        "tilt_deg": float(specimen.tilts.recorded_deg[index]),
        "bytes": file.stat().st_size,
    }
    if "order" in settings.instrument.manifest.tell:
        entry["order"] = int(specimen.tilts.order[index])
    if "dose" in settings.instrument.manifest.tell:
        entry["dose_e_per_A2"] = settings.dose_e_per_a2
    if settings.tilts.repeats > 1:
        entry["repeat"] = index % settings.tilts.repeats
    return entry


def _beam(instrument: Instrument) -> dict[str, Any]:
    beam = {"energy_kev": instrument.manifest.energy_kev or instrument.energy_kev}
    if "convergence" in instrument.manifest.tell:
        beam["convergence_mrad"] = instrument.convergence_mrad
    return beam


def _detector(specimen: Specimen) -> dict[str, Any]:
    instrument = specimen.settings.instrument
    told = instrument.manifest
    detector: dict[str, Any] = {
        "name": told.detector_name,
        "shape_px": instrument.shape_px,
        "pixel_size_mm": instrument.pixel_size_mm,
        "camera_length_mm": instrument.camera_length_mm * told.camera_length_factor,
        "direct_beam_px": instrument.beam_centre_px if instrument.record_direct_beam else None,
    }
    if told.camera_length_relative_error is not None:
        detector["camera_length_relative_error"] = told.camera_length_relative_error
    if "counting" in told.tell:
        camera = instrument.camera
        detector["counting"] = {"method": camera.counting, "frames_per_position": camera.frames_per_position}
    if "bad-rectangles" in told.tell:
        regions = specimen.camera.sensor.regions
        dead = [region.within(instrument.shape_px) for region in regions if region.scans == region.frames == 1]
        detector["bad_rectangles_px"] = dead
    if "mask" in told.tell:
        detector["mask"] = MASK_NAME
    return detector


def write_mask(specimen: Specimen, folder: Path) -> None:
    """Write the mask that the manifest names: pixels dead in all scans, and behind the beam stop."""
    instrument = specimen.settings.instrument
    mask = specimen.camera.sensor.always_dead()
    if instrument.beam_stop is not None:
        places = np.indices(instrument.shape_px).reshape(2, -1).T.astype(np.float64)
        passed = transmitted(instrument.beam_stop, instrument.beam_centre_px, places)
        mask |= (passed < HALF).reshape(instrument.shape_px)
    np.save(folder / MASK_NAME, mask.astype(np.uint8), allow_pickle=False)
