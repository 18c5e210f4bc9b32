"""What is true of a simulated series: for tests and benchmarks, which alone read it."""

import h5py
import numpy as np
from numpy.typing import NDArray

from tasks.simulate import Exposure, Recorded, Specimen, Structure, transmitted


def write_truth(file: h5py.File, structure: Structure, specimen: Specimen) -> None:
    """Write what holds for all scans; ``domain_*`` run over crystals and their misoriented parts."""
    tilts, domains = specimen.tilts, specimen.domains
    file.attrs["structure"] = structure.model_dump_json()
    file.attrs["settings"] = specimen.settings.model_dump_json()
    file["tilt_deg"] = tilts.recorded_deg
    file["true_tilt_deg"] = tilts.true_deg
    file["drift_nm"] = tilts.drift_nm  # laboratory x, y
    file["beam_px"] = tilts.beam_px  # slow, fast
    file["order"] = tilts.order
    file["dose_e_per_a2"] = tilts.dose_e_per_a2  # before the middle of each scan
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
    _write_camera(file, specimen)


def write_truth_of_scan(file: h5py.File, specimen: Specimen, index: int, exposure: Exposure) -> None:
    """Write the maps of one scan: sums over the domains of each crystal, and where misoriented parts lie."""
    _write_recorded(file, index, exposure.recorded)
    if not specimen.settings.cluster.crystals:
        return
    crystal = np.array([domain.crystal for domain in specimen.domains])
    bad = np.array([domain.bad for domain in specimen.domains])
    for name, maps in (("thickness_nm", exposure.thickness_nm), ("bragg_fraction", exposure.bragg_fraction)):
        file[name][index] = _by_crystal(maps, crystal, specimen.settings.cluster.crystals)
    file["bad"][index] = (exposure.thickness_nm[bad] > 0).any(axis=0)
    _append_expected(file, index, exposure)


def _write_camera(file: h5py.File, specimen: Specimen) -> None:
    """Write what the camera is, and make room for what it does in each scan."""
    instrument = specimen.settings.instrument
    scans = len(specimen.tilts.recorded_deg)
    rows, columns = instrument.scan_shape[0], instrument.scan_shape[1] + instrument.flyback_columns
    entries = rows * columns * instrument.camera.frames_per_position
    file.create_dataset("arrived", (scans, rows, columns), dtype=np.uint32)
    sensor = specimen.camera.sensor
    if sensor.regions or sensor.dead_pixels.any():
        chunk = (1, *instrument.shape_px)
        file.create_dataset("dead", (scans, *instrument.shape_px), dtype=bool, chunks=chunk, compression="gzip")
        for name, width in (("gap_scan", ()), ("gap_entry", ()), ("gap_rectangle_px", (4,))):
            file.create_dataset(name, (0, *width), maxshape=(None, *width), dtype=np.int32, chunks=True)
    file["hot_pixels"] = sensor.hot_pixels  # flat
    file.create_dataset("source_entry", (scans, entries), dtype=np.int32)  # frame acquired as which; -1 = none
    file.create_dataset("lost", (scans, entries), dtype=bool)
    file.create_dataset("row_shift", (scans, rows), dtype=np.int32)
    if instrument.beam_stop is not None:
        places = np.indices(instrument.shape_px).reshape(2, -1).T.astype(np.float64)
        passed = transmitted(instrument.beam_stop, instrument.beam_centre_px, places)
        file["transmission"] = passed.reshape(instrument.shape_px).astype(np.float32)


def _write_recorded(file: h5py.File, index: int, recorded: Recorded) -> None:
    file["arrived"][index] = recorded.arrived.reshape(file["arrived"].shape[1:])
    file["source_entry"][index] = recorded.order.source
    file["lost"][index] = recorded.order.lost
    file["row_shift"][index] = recorded.order.row_shift
    if "dead" not in file:
        return
    file["dead"][index] = recorded.dead.dead
    for gap in recorded.dead.gaps:
        entry = np.flatnonzero(gap.missing)
        _append(file["gap_scan"], np.full(len(entry), index))
        _append(file["gap_entry"], entry)
        _append(file["gap_rectangle_px"], np.tile(gap.region.rectangle_px, (len(entry), 1)))


def _append_expected(file: h5py.File, index: int, exposure: Exposure) -> None:
    """Append the mean electrons of each reflection, sparse: scan, crystal, row of ``hkl``, electrons."""
    expected = exposure.expected
    if expected is None:
        return
    columns = (
        ("expected_scan", np.full(len(expected.row), index, dtype=np.int32)),
        ("expected_crystal", expected.crystal),
        ("expected_row", expected.row),
        ("expected_electrons", expected.electrons.astype(np.float32)),
    )
    for name, values in columns:
        if name not in file:
            file.create_dataset(name, (0,), maxshape=(None,), dtype=values.dtype, chunks=True)
        _append(file[name], values)


def _append(dataset: h5py.Dataset, values: NDArray[np.generic]) -> None:
    before = len(dataset)
    dataset.resize(before + len(values), axis=0)
    dataset[before:] = values


def _by_crystal(maps: NDArray[np.float64], crystal: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    summed = np.zeros((*maps.shape[1:], count), dtype=np.float32)
    for number, image in zip(crystal, maps, strict=True):
        summed[..., number] += image
    return summed
