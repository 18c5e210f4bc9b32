"""Simulated tilt series on disk: stempy scans, their manifest, and the truth, which the pipeline never opens."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from adapters.formats.stempy_writer import write_scan
from tasks.model import SettingsError
from tasks.simulate import Exposure, SimulationSettings, Specimen, Structure, expose, prepare_specimen

MANIFEST_NAME = "tilt_series.json"
TRUTH_NAME = "truth/truth.h5"


def write_simulated_series(
    structure: Structure,
    settings: SimulationSettings,
    out: Path,
    *,
    on_scan: Callable[[int, int], None] | None = None,
) -> Path:
    """Simulate into `out`: scans, ``truth/truth.h5``, and last the manifest; return the manifest's path.

    Equal structure and settings give equal bytes. `on_scan` is called with (scans done, scans in all).

    Raises
    ------
    SettingsError
        If the folder cannot be written.
    """
    specimen = prepare_specimen(structure, settings)
    manifest = out / MANIFEST_NAME
    truth = out / TRUTH_NAME
    try:
        manifest.unlink(missing_ok=True)  # its presence says "complete"
        truth.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(truth, "w") as file:
            _write_truth(file, structure, specimen)
            scans = []
            total = len(specimen.tilts.recorded_deg)
            for index in range(total):
                exposure = expose(specimen, index)
                _write_truth_of_scan(file, specimen, index, exposure)
                scans.append(_write_scan(specimen, index, exposure, out))
                if on_scan is not None:
                    on_scan(index + 1, total)
        _write_json(manifest, _manifest(structure, specimen, scans))
    except OSError as error:
        raise SettingsError(f"{out}: cannot write the simulated series: {error}", "choose another folder") from error
    return manifest


def _write_scan(specimen: Specimen, index: int, exposure: Exposure, out: Path) -> dict[str, Any]:
    instrument = specimen.settings.instrument
    path = out / f"FOURD_261122_0101_00012_{index + 1:05d}.h5"
    write_scan(
        path,
        exposure.offsets,
        exposure.events,
        scan_shape_with_flyback=(instrument.scan_shape[0], instrument.scan_shape[1] + instrument.flyback_columns),
        frame_shape=instrument.shape_px,
    )
    tilt = float(specimen.tilts.recorded_deg[index])
    return {"file": path.name, "tilt_deg": tilt, "bytes": path.stat().st_size}


def _manifest(structure: Structure, specimen: Specimen, scans: list[dict[str, Any]]) -> dict[str, Any]:
    instrument = specimen.settings.instrument
    return {
        "format": "4D-STEM tilt series",
        "version": 1,
        "sample": specimen.settings.sample or structure.name,
        "composition": structure.composition.formula(),
        "beam": {"energy_kev": instrument.energy_kev},
        "detector": {
            "name": "4D Camera",
            "shape_px": instrument.shape_px,
            "pixel_size_mm": instrument.pixel_size_mm,
            "camera_length_mm": instrument.camera_length_mm,
            "direct_beam_px": instrument.beam_centre_px if instrument.record_direct_beam else None,
        },
        "scan": {
            "shape": instrument.scan_shape,
            "step_nm": instrument.step_nm,
            "flyback_columns": instrument.flyback_columns,
            "rotation_deg": instrument.scan_rotation_deg,
        },
        "tilt_axis": instrument.tilt_axis,
        "scans": scans,
        "notes": {"origin": "simulated by apertura", "seed": str(specimen.settings.seed)},
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)  # noqa: PTH105 - pathlib's rename does not replace on every system


def _write_truth(file: h5py.File, structure: Structure, specimen: Specimen) -> None:
    """Write what holds for all scans; ``domain_*`` run over crystals and their misoriented parts."""
    tilts, domains = specimen.tilts, specimen.domains
    file.attrs["structure"] = structure.model_dump_json()
    file.attrs["settings"] = specimen.settings.model_dump_json()
    file["tilt_deg"] = tilts.recorded_deg
    file["true_tilt_deg"] = tilts.true_deg
    file["drift_nm"] = tilts.drift_nm  # laboratory x, y
    file["beam_px"] = tilts.beam_px  # slow, fast
    file["hkl"] = specimen.reflections.hkl
    file["f_squared"] = specimen.reflections.f_squared
    file["intensity"] = specimen.intensity
    file["domain_crystal"] = np.array([domain.crystal for domain in domains], dtype=np.int32)
    file["domain_bad"] = np.array([domain.bad for domain in domains], dtype=bool)
    file["domain_ub"] = np.array([domain.ub for domain in domains]).reshape(-1, 3, 3)
    shape = (len(tilts.recorded_deg), *specimen.settings.instrument.scan_shape)
    for name in ("thickness_nm", "bragg_fraction"):
        file.create_dataset(name, (*shape, specimen.settings.cluster.crystals), dtype=np.float32)
    file.create_dataset("bad", shape, dtype=bool)


def _write_truth_of_scan(file: h5py.File, specimen: Specimen, index: int, exposure: Exposure) -> None:
    """Write the maps of one scan: sums over the domains of each crystal, and where misoriented parts lie."""
    if not specimen.settings.cluster.crystals:
        return
    crystal = np.array([domain.crystal for domain in specimen.domains])
    bad = np.array([domain.bad for domain in specimen.domains])
    for name, maps in (("thickness_nm", exposure.thickness_nm), ("bragg_fraction", exposure.bragg_fraction)):
        file[name][index] = _by_crystal(maps, crystal, specimen.settings.cluster.crystals)
    file["bad"][index] = (exposure.thickness_nm[bad] > 0).any(axis=0)


def _by_crystal(maps: NDArray[np.float64], crystal: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    summed = np.zeros((*maps.shape[1:], count), dtype=np.float32)
    for number, image in zip(crystal, maps, strict=True):
        summed[..., number] += image
    return summed
