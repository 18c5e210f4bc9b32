"""A byte of an event store that changes on the disk: told, and the stores made again from their source."""

import logging
from pathlib import Path

import pytest

from flows.progress import QuietSteps
from flows.run_folder import read_results
from flows.runs import run_pipeline
from flows.settings import load_settings
from tasks.model import DamagedStoreError
from tests.synthetic.small_scans import small_series


def test_a_damaged_store_is_made_again_from_the_source(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, settings = small_series(tmp_path / "source", 5), load_settings(None, [])
    folder = run_pipeline(source, tmp_path / "run", settings, QuietSteps())
    first = read_results(folder)
    stores = sorted((folder / "ingest").glob("*.events"))
    written = [store.read_bytes() for store in stores]
    assert len(stores) == 5
    stores[2].write_bytes(written[2][:40] + bytes([written[2][40] ^ 1]) + written[2][41:])
    with caplog.at_level(logging.WARNING):
        again = read_results(run_pipeline(source, tmp_path / "run", settings, QuietSteps()))
    assert f"{stores[2].name}: chunk 0" in caplog.text
    assert "made again from the source" in caplog.text
    assert [store.read_bytes() for store in stores] == written
    assert {**again, "timings_s": None} == {**first, "timings_s": None}


def test_a_store_that_is_damaged_again_and_again_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, settings = small_series(tmp_path / "source", 5), load_settings(None, [])
    calls = []

    def damaged(*_: object) -> None:
        calls.append(1)
        raise DamagedStoreError("scan-00000.events: chunk 0 is not what was written", "buy a disk")

    monkeypatch.setattr("flows.runs.solve_tilt_series", damaged)
    with pytest.raises(DamagedStoreError, match="chunk 0"):
        run_pipeline(source, tmp_path / "run", settings, QuietSteps())
    assert len(calls) == 2
