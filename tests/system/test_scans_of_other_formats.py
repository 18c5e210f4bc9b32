"""A tilt series in the formats of other detectors is the same event store, and gives the same apertures."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from adapters.formats.scans.scan_reader import ScanFileReader
from adapters.formats.simulated_series import write_simulated_series
from adapters.formats.stempy_writer import write_scan
from tasks.apertures import AutomaticApertures, propose_apertures
from tasks.ingest import (
    IngestSettings,
    ScanData,
    TiltSeries,
    completeness,
    ingest_tilt_series,
    listed_files,
    open_events,
    read_source,
)
from tasks.simulate.demo_structure import uio66
from tasks.simulate.models import ClusterPlan, Instrument, SimulationSettings, TiltPlan
from tests.synthetic.scan_files import write_arina, write_hyperspy, write_mib

SCAN, FRAME, FLYBACK = (18, 18), (216, 216), 1
Counts = list[np.ndarray]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Counts]:
    """Return the manifest of a small series of two crystals, and the counts of its scans, flyback included."""
    folder = tmp_path_factory.mktemp("simulated")
    settings = SimulationSettings(
        seed=7,
        tilts=TiltPlan(start_deg=-4, stop_deg=4, step_deg=2),
        cluster=ClusterPlan(crystals=2, bad_fraction=0.0, size_nm=80.0),
        instrument=Instrument(scan_shape=SCAN, shape_px=FRAME, pixel_size_mm=0.027),
    )
    write_simulated_series(uio66(), settings, folder)
    manifest = json.loads((folder / "tilt_series.json").read_text())
    assert manifest["scan"]["flyback_columns"] == FLYBACK
    return manifest, [counts_of(folder / scan["file"]) for scan in manifest["scans"]]


def counts_of(path: Path) -> np.ndarray:
    """Return the counts of a stempy file by h5py alone, (rows, columns, slow, fast)."""
    full = (SCAN[0], SCAN[1] + FLYBACK)
    with h5py.File(path) as file:
        entries = file["electron_events/frames"][()]
    per_position = len(entries) // (full[0] * full[1])
    found = np.zeros((full[0] * full[1], FRAME[0] * FRAME[1]), dtype=np.uint16)
    for index, entry in enumerate(entries):
        np.add.at(found[index // per_position], entry, 1)
    return found.reshape(*full, *FRAME)


def write_stempy(path: Path, counts: np.ndarray) -> Path:
    """Write the electrons of each position in the order of the pixels, one camera frame for each position."""
    flat = counts.reshape(-1, FRAME[0] * FRAME[1])
    lengths = flat.sum(axis=1, dtype=np.int64)
    position, pixel = np.nonzero(flat)
    events = np.repeat(pixel, flat[position, pixel])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    write_scan(path, offsets, events, scan_shape_with_flyback=counts.shape[:2], frame_shape=FRAME)
    return path


FORMATS: dict[str, Callable[[Path, np.ndarray], Path]] = {
    "h5": write_stempy,
    "mib": lambda path, counts: write_mib(path, counts, kind="U16"),
    "master.h5": lambda path, counts: write_arina(path, counts, per_file=100),
    "hspy": lambda path, counts: write_hyperspy(path, counts, chunks=(4, 4, 54, 54)),
}


def drop(folder: Path, simulated: tuple[dict, Counts], kind: str) -> Path:
    manifest, scans = simulated
    folder.mkdir()
    listed = []
    for number, (scan, counts) in enumerate(zip(manifest["scans"], scans, strict=True)):
        path = FORMATS[kind](folder / f"scan_{number}_{kind}", counts)
        listed.append({**scan, "file": path.name, "bytes": path.stat().st_size})
    counting = {"method": "ideal", "frames_per_position": 1}
    written = {**manifest, "scans": listed, "detector": {**manifest["detector"], "counting": counting}}
    (folder / "tilt_series.json").write_text(json.dumps(written))
    return folder


def ingest(folder: Path, work: Path) -> TiltSeries:
    return ingest_tilt_series(read_source(folder), ScanFileReader(), IngestSettings(), work)


def stored(series: TiltSeries) -> list[bytes]:
    """Return the bytes of the event store, scan by scan."""
    return [scan.events.path.read_bytes() for scan in series.scans]


def test_the_event_store_and_the_apertures_are_those_of_stempy_s_files(
    tmp_path: Path, simulated: tuple[dict, Counts]
) -> None:
    expected = ingest(drop(tmp_path / "h5", simulated, "h5"), tmp_path / "work-h5")
    apertures = propose_apertures(expected, AutomaticApertures(), workdir=tmp_path / "apertures-h5")
    assert len(apertures.crystals) >= 1
    for kind in ("mib", "master.h5", "hspy"):
        series = ingest(drop(tmp_path / kind, simulated, kind), tmp_path / f"work-{kind}")
        assert stored(series) == stored(expected)
        assert [scan.flyback_counts for scan in series.scans] == [scan.flyback_counts for scan in expected.scans]
    found = propose_apertures(series, AutomaticApertures(), workdir=tmp_path / "apertures-other")
    assert [one.id for one in found.crystals] == [one.id for one in apertures.crystals]
    for one, other in zip(found.crystals, apertures.crystals, strict=True):
        assert one.masks.path.read_bytes() == other.masks.path.read_bytes()


def test_formats_may_be_mixed_and_damage_costs_its_tilt(tmp_path: Path, simulated: tuple[dict, Counts]) -> None:
    folder = drop(tmp_path / "s", simulated, "mib")
    manifest = json.loads((folder / "tilt_series.json").read_text())
    first, second, third = manifest["scans"][:3]
    first["file"] = write_arina(folder / "a_master.h5", simulated[1][0], per_file=300).name
    second["file"] = write_arina(folder / "b_master.h5", simulated[1][1], per_file=300).name
    (folder / "b_data_000002.h5").unlink()
    whole = (folder / third["file"]).read_bytes()
    (folder / third["file"]).write_bytes(whole[: len(whole) // 2])
    for scan in (first, second, third):
        scan["bytes"] = (folder / scan["file"]).stat().st_size
    (folder / "tilt_series.json").write_text(json.dumps(manifest))
    series = ingest_tilt_series(read_source(folder), ScanFileReader(), IngestSettings(tilts_min=3), tmp_path / "work")
    assert series.scans[0].source == "a_master.h5"
    assert sum(scan.counts for scan in series.scans[:1]) == simulated[1][0][:, : SCAN[1]].sum()
    reasons = {scan.source: scan.reason for scan in series.lost}
    assert set(reasons) == {"b_master.h5", third["file"]}
    assert "b_data_000002.h5" in reasons["b_master.h5"]
    assert "ends within frame" in reasons[third["file"]] or "the file has" in reasons[third["file"]]
    assert "a_master.h5: a_data_000001.h5" in series.provenance.inputs


def test_files_beside_a_scan_are_waited_for_and_part_of_the_source(
    tmp_path: Path, simulated: tuple[dict, Counts]
) -> None:
    manifest, scans = simulated
    path = write_arina(tmp_path / "a_master.h5", scans[0], per_file=200)
    parts = sorted(tmp_path.glob("a_data_*.h5"))
    beside = [{"file": part.name, "bytes": part.stat().st_size} for part in parts]
    scan = {"file": path.name, "tilt_deg": 0.0, "bytes": path.stat().st_size, "beside": beside}
    (tmp_path / "tilt_series.json").write_text(json.dumps({**manifest, "scans": [scan]}))
    whole = read_source(tmp_path)
    assert completeness(tmp_path) == ()
    assert set(parts) <= set(listed_files(tmp_path))
    assert [ref.path for ref in whole.files[0].parts] == parts
    content = parts[1].read_bytes()
    parts[1].write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert read_source(tmp_path) != whole
    parts[1].write_bytes(content[:-5])
    assert completeness(tmp_path) == (
        f"{parts[1].name}: the file has {len(content) - 5} bytes, the manifest says {len(content)}",
    )
    assert read_source(tmp_path).files[0].problem.startswith(f"{parts[1].name} beside it: the file has")


def test_a_scan_that_is_not_counted_says_what_to_write(tmp_path: Path, simulated: tuple[dict, Counts]) -> None:
    folder = drop(tmp_path / "s", simulated, "hspy")
    manifest = json.loads((folder / "tilt_series.json").read_text())
    del manifest["detector"]["counting"]
    (folder / "tilt_series.json").write_text(json.dumps(manifest))
    with pytest.raises(Exception, match=r"detector\.conversion is needed.*units_per_electron"):
        ingest(folder, tmp_path / "work")
    manifest["detector"]["conversion"] = {"units_per_electron": 1.0, "pedestal": 0.0}
    (folder / "tilt_series.json").write_text(json.dumps(manifest))
    series = ingest(folder, tmp_path / "work2")
    assert not series.lost
    assert len(open_events(series.scans[0]).events) == series.scans[0].counts


def test_scan_data_of_one_position_is_sorted(tmp_path: Path, simulated: tuple[dict, Counts]) -> None:
    path = write_mib(tmp_path / "a.mib", simulated[1][0], kind="U16")
    data: ScanData = ScanFileReader().read(path, scan_shape=SCAN, flyback_columns=FLYBACK, frame_shape=FRAME)
    for begin, end in zip(data.offsets[:40].astype(int), data.offsets[1:41].astype(int), strict=True):
        assert (np.diff(data.events[begin:end].astype(np.int64)) >= 0).all()
