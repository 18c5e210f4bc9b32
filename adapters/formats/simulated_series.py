"""Simulated tilt series on disk: stempy scans, their manifest, and the truth, which the pipeline never opens."""

import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py

from adapters.formats.simulated_manifest import scan_entry, series_manifest, write_mask
from adapters.formats.simulated_truth import write_truth, write_truth_of_scan
from adapters.formats.stempy_writer import WRITERS
from tasks.model import SettingsError
from tasks.simulate import Exposure, SimulationSettings, Specimen, Structure, expose, prepare_specimen

WORKERS_MAX = 8
"""Scans made side by side, each of some 100 MB while it is made. Chosen, not measured, but for two processors."""
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
            write_truth(file, structure, specimen)
            scans = []
            total = len(specimen.tilts.recorded_deg)
            for index, exposure in enumerate(_exposures(specimen, total)):
                write_truth_of_scan(file, specimen, index, exposure)
                scans.append(_write_scan(specimen, index, exposure, out))
                if on_scan is not None:
                    on_scan(index + 1, total)
        if "mask" in settings.instrument.manifest.tell:
            write_mask(specimen, out)
        _write_json(manifest, series_manifest(structure, specimen, scans))
    except OSError as error:
        raise SettingsError(f"{out}: cannot write the simulated series: {error}", "choose another folder") from error
    return manifest


def _exposures(specimen: Specimen, total: int) -> Iterator[Exposure]:
    """Yield the scans in their order; a few are made side by side, each from random streams of its own."""
    workers = min(os.cpu_count() or 1, WORKERS_MAX)
    with ThreadPoolExecutor(max_workers=workers) as pool:
        ahead = deque(pool.submit(expose, specimen, index) for index in range(min(workers, total)))
        for index in range(workers, total + workers):
            if index < total:
                ahead.append(pool.submit(expose, specimen, index))
            yield ahead.popleft().result()


def _write_scan(specimen: Specimen, index: int, exposure: Exposure, out: Path) -> dict[str, Any]:
    instrument = specimen.settings.instrument
    path = out / f"FOURD_261122_0101_00012_{index + 1:05d}.h5"
    WRITERS[instrument.manifest.stempy_version](
        path,
        exposure.offsets,
        exposure.events,
        scan_shape_with_flyback=(instrument.scan_shape[0], instrument.scan_shape[1] + instrument.flyback_columns),
        frame_shape=instrument.shape_px,
        frames_per_position=instrument.camera.frames_per_position,
    )
    return scan_entry(specimen, index, path)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)  # noqa: PTH105 - pathlib's rename does not replace on every system
