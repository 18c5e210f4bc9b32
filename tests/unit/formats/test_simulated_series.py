"""A simulated series on disk: complete, conserved, repeatable, its truth apart."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from adapters.formats.simulated_series import write_simulated_series
from tasks.model import SettingsError
from tasks.simulate.demo_structure import uio66
from tasks.simulate.exposure import expose, prepare_specimen
from tasks.simulate.models import ClusterPlan, Instrument, ScatteringPlan, SimulationSettings, TiltPlan

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
