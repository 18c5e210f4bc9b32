"""A simulated series on disk: complete, conserved, repeatable, its truth apart."""

import hashlib
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from adapters.formats.simulated_series import write_simulated_series
from adapters.formats.stempy_hdf5 import StempyReader
from tasks.ingest.manifest import load_manifest
from tasks.model import SettingsError
from tasks.simulate.demo_structure import uio66
from tasks.simulate.exposure import expose
from tasks.simulate.models import ClusterPlan, Instrument, ScatteringPlan, SimulationSettings, TiltPlan
from tasks.simulate.specimen import prepare_specimen

SETTINGS = SimulationSettings(
    seed=1,
    tilts=TiltPlan(start_deg=-10, stop_deg=10, step_deg=10),
    cluster=ClusterPlan(crystals=2, size_nm=120),
    instrument=Instrument(scan_shape=(10, 12), step_nm=30, flyback_columns=2),
    scattering=ScatteringPlan(d_min_angstrom=1.5, electrons_per_pattern=60),
)


def test_the_manifest_lists_every_scan_with_its_size(tmp_path: Path) -> None:
    manifest = json.loads(write_simulated_series(uio66(), SETTINGS, tmp_path).read_text())
    assert {path.name for path in tmp_path.glob("*.h5")} == {scan["file"] for scan in manifest["scans"]}
    for scan in manifest["scans"]:
        assert (tmp_path / scan["file"]).stat().st_size == scan["bytes"]
    assert [scan["tilt_deg"] for scan in manifest["scans"]] == [-10, 0, 10]
    assert manifest["scan"] == {"shape": [10, 12], "step_nm": 30, "flyback_columns": 2, "rotation_deg": 0}
    assert not any("truth" in str(value) for value in manifest.values())


def test_the_files_hold_the_simulated_electrons_and_the_truth_their_origin(tmp_path: Path) -> None:
    manifest = json.loads(write_simulated_series(uio66(), SETTINGS, tmp_path).read_text())
    expected = expose(prepare_specimen(uio66(), SETTINGS), 2)
    with h5py.File(tmp_path / manifest["scans"][2]["file"]) as file:
        entries = file["electron_events/frames"][()]
    assert len(entries) == 10 * 14
    assert np.array_equal(np.concatenate(entries), expected.events)
    with h5py.File(tmp_path / "truth/truth.h5") as truth:
        assert truth["thickness_nm"].shape == (3, 10, 12, 2)
        assert truth["thickness_nm"][2].sum() == pytest.approx(expected.thickness_nm.sum(), rel=1e-5)
        assert truth["domain_crystal"][()].tolist() == [0, 0, 1]
        assert np.array_equal(truth["bad"][2], expected.thickness_nm[1] > 0)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_simulated_series(uio66(), SETTINGS, tmp_path / name)
    for path in (tmp_path / "a").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), path.name


def test_a_folder_that_cannot_be_written_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(SettingsError, match="cannot write"):
        write_simulated_series(uio66(), SETTINGS, tmp_path / "taken")


def test_no_crystal_at_all_still_makes_a_series(tmp_path: Path) -> None:
    empty = SETTINGS.model_copy(update={"cluster": ClusterPlan(crystals=0)})
    assert write_simulated_series(uio66(), empty, tmp_path).is_file()


FAULTY = {
    "camera": {"counting": "local-maxima-3x3", "frames_per_position": 3},
    "sensor": {"dead_rows": 1, "dead_pixels": 5, "sector_scans": 0.5, "sector_frames": 0.05, "hot_pixels": 2},
    "beam_stop": {"radius_px": 4.0},
    "scan_faults": {"frames_lost": 0.1, "shifted_rows": 0.3, "dropped_frames": 2.0},
}


def faulty(**manifest: object) -> SimulationSettings:
    instrument = {**SETTINGS.instrument.model_dump(), **FAULTY, "manifest": manifest}
    return SETTINGS.model_copy(update={"instrument": Instrument.model_validate(instrument)})


def test_the_truth_says_what_the_camera_did(tmp_path: Path) -> None:
    manifest = json.loads(write_simulated_series(uio66(), faulty(), tmp_path).read_text())
    with h5py.File(tmp_path / "truth/truth.h5") as truth:
        assert truth["arrived"].shape == (3, 10, 14)
        assert truth["transmission"][287, 287] == pytest.approx(0, abs=0.01)
        assert (truth["transmission"][0] > 0.99).all()
        for index, scan in enumerate(manifest["scans"]):
            with h5py.File(tmp_path / scan["file"]) as file:
                entries = file["electron_events/frames"][()]
            assert len(entries) == 10 * 14 * 3
            empty = np.array([len(entry) == 0 for entry in entries])
            assert empty[truth["lost"][index]].all()
            assert empty[truth["source_entry"][index] < 0].all()
            lit = np.bincount(np.concatenate(entries).astype(int), minlength=576 * 576).reshape(576, 576)
            assert not lit[truth["dead"][index]].any()
            assert lit.sum() < truth["arrived"][index].sum()
        assert truth["dead"][0].sum() >= 576
        assert len(truth["gap_scan"]) == len(truth["gap_entry"]) == len(truth["gap_rectangle_px"]) > 0
        assert (truth["row_shift"][()] != 0).any()
        assert truth["hot_pixels"].shape == (2,)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_version_of_the_layout_holds_the_same_electrons(tmp_path: Path, version: int) -> None:
    settings = faulty(stempy_version=version)
    manifest = json.loads(write_simulated_series(uio66(), settings, tmp_path).read_text())
    expected = expose(prepare_specimen(uio66(), settings), 1)
    data = StempyReader().read(
        tmp_path / manifest["scans"][1]["file"], scan_shape=(10, 12), flyback_columns=2, frame_shape=(576, 576)
    )
    bounds = expected.offsets[::3]
    for row in range(10):
        for column in range(12):
            position, kept = row * 14 + column, row * 12 + column
            want = np.sort(expected.events[bounds[position] : bounds[position + 1]])
            got = np.sort(data.events[int(data.offsets[kept]) : int(data.offsets[kept + 1])])
            assert np.array_equal(got, want)


def test_a_manifest_that_tells_everything_is_in_the_contract(tmp_path: Path) -> None:
    told = ("counting", "convergence", "order", "dose", "mask", "bad-rectangles")
    path = write_simulated_series(
        uio66(),
        faulty(tell=told, camera_length_factor=1.03, camera_length_relative_error=0.02, energy_kev=200.0),
        tmp_path,
    )
    manifest = json.loads(path.read_text())
    load_manifest(tmp_path)  # refuses what the contract does not have
    assert manifest["beam"] == {"energy_kev": 200.0, "convergence_mrad": 0.15}
    detector = manifest["detector"]
    assert detector["counting"] == {"method": "local-maxima-3x3", "frames_per_position": 3}
    assert detector["camera_length_mm"] == pytest.approx(113.3)
    assert detector["camera_length_relative_error"] == 0.02
    assert [scan["order"] for scan in manifest["scans"]] == [0, 1, 2]
    assert manifest["scans"][0]["dose_e_per_A2"] == pytest.approx(60 / 300**2)
    mask = np.load(tmp_path / detector["mask"], allow_pickle=False)
    assert mask.shape == (576, 576)
    ((row, first, last_row, last),) = detector["bad_rectangles_px"]
    assert (row, first, last) == (last_row, 0, 575)
    assert mask[row].all()
    assert mask[288, 288]
    assert 576 + 40 < mask.sum() < 576 + 70


def test_repeated_scans_of_one_tilt_state_their_repeat_and_differ(tmp_path: Path) -> None:
    twice = SETTINGS.model_copy(update={"tilts": TiltPlan(start_deg=-10, stop_deg=0, step_deg=10, repeats=2)})
    manifest = json.loads(write_simulated_series(uio66(), twice, tmp_path).read_text())
    load_manifest(tmp_path)
    assert [(scan["tilt_deg"], scan["repeat"]) for scan in manifest["scans"]] == [(-10, 0), (-10, 1), (0, 0), (0, 1)]
    first, second = (tmp_path / scan["file"] for scan in manifest["scans"][:2])
    assert first.read_bytes() != second.read_bytes()


def test_the_same_seed_gives_the_same_bytes_with_faults_too(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_simulated_series(uio66(), faulty(), tmp_path / name)
    for path in (tmp_path / "a").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), path.name


def test_scans_made_side_by_side_are_those_made_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for workers in (1, 3):
        monkeypatch.setattr("adapters.formats.simulated_series.WORKERS_MAX", workers)
        monkeypatch.setattr("os.cpu_count", lambda: 3)
        write_simulated_series(uio66(), faulty(), tmp_path / str(workers))
    for path in (tmp_path / "1").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "3" / path.relative_to(tmp_path / "1")).read_bytes(), path.name


def test_the_default_series_is_still_the_one_of_before(tmp_path: Path) -> None:
    """Digests of version 0.2.0, before the camera was modelled."""
    write_simulated_series(uio66(), SETTINGS, tmp_path)
    digest = hashlib.sha256()
    for path in sorted(tmp_path.glob("*.h5")):
        with h5py.File(path) as file:
            for entry in file["electron_events/frames"][()]:
                digest.update(np.asarray(entry, dtype=np.uint32).tobytes() + b"|")
    assert digest.hexdigest()[:16] == "c83dc8b77415b625"
