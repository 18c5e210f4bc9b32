"""A facility on this machine for real: server, worker, watcher, a data set dropped in, the run seen in a browser."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from adapters.formats.stempy_hdf5 import write_scan
from flows.facility import Facility, load

ROOT = Path(__file__).resolve().parents[2]
RUN_S = 240.0
FLIGHT_CHECK_S = 840.0
ENDED = {"COMPLETED", "FAILED", "CRASHED"}

pytestmark = pytest.mark.needs_server


def command(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def drop(folder: Path, *, seed: int, complete: bool = True) -> Path:
    """Write a data set without any crystal: the run ends honestly, and soon."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    scans = []
    for number in range(6):
        per_position = rng.poisson(20, size=20)  # 4 rows of 4 positions and one of flyback
        offsets = np.concatenate([[0], np.cumsum(per_position)]).astype(np.uint64)
        pixels = np.clip(rng.normal(31.5, 4, size=(int(offsets[-1]), 2)).round(), 0, 63).astype(np.uint32)
        path = folder / f"scan_{number}.h5"
        events = (pixels[:, 0] * 64 + pixels[:, 1]).astype(np.uint32)
        write_scan(path, offsets, events, scan_shape_with_flyback=(4, 5), frame_shape=(64, 64))
        scans.append({"file": path.name, "tilt_deg": float(number), "bytes": path.stat().st_size})
    if not complete:
        (folder / "scan_5.h5").write_bytes(b"")
    manifest = {
        "format": "4D-STEM tilt series",
        "version": 1,
        "sample": folder.name,
        "composition": "C6 H6",
        "beam": {"energy_kev": 300.0},
        "detector": {
            "name": "4D Camera",
            "shape_px": [64, 64],
            "pixel_size_mm": 0.09,
            "camera_length_mm": 110.0,
            "direct_beam_px": [31.5, 31.5],
        },
        "scan": {"shape": [4, 4], "step_nm": 10.0, "flyback_columns": 1, "rotation_deg": 0.0},
        "tilt_axis": [1.0, 0.0, 0.0],
        "scans": scans,
        "notes": {},
    }
    partial = folder / ".manifest"
    partial.write_text(json.dumps(manifest))
    partial.replace(folder / "tilt_series.json")
    return folder


@pytest.fixture(scope="module")
def facility(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Facility]]:
    data = tmp_path_factory.mktemp("facility")
    started = command("facility", "up", "--data", str(data), "--port", str(free_port()))
    assert started.returncode == 0, started.stderr
    running = load(data)
    assert running is not None
    yield data, running
    command("facility", "down", "--data", str(data))


def posted(url: str, **body: Any) -> Any:
    """Return the answer to a request; SQLite that is busy is asked again."""
    for _ in range(60):
        answer = httpx.post(url, json=body, timeout=60)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
        time.sleep(0.5)
    assert answer.is_success, answer.text
    return answer.json()


def runs(facility: Facility) -> list[dict[str, Any]]:
    flows = {"flows": {"name": {"any_": ["solve-series"]}}}
    answer = httpx.post(f"{facility.url}/api/flow_runs/filter", json=flows, timeout=30)
    answer.raise_for_status()
    return list(answer.json())


def ended(facility: Facility, count: int) -> list[dict[str, Any]]:
    limit = time.monotonic() + RUN_S
    while time.monotonic() < limit:
        found = runs(facility)
        if len(found) >= count and all(run["state_type"] in ENDED for run in found):
            return found
        time.sleep(1.0)
    pytest.fail(f"not ended after {RUN_S} s: {[(run['name'], run['state_name']) for run in runs(facility)]}")


def test_a_dropped_data_set_is_run_once_and_ends_with_a_truthful_state(facility: tuple[Path, Facility]) -> None:
    data, running = facility
    drop(data / "incoming" / "first", seed=1)
    (run,) = ended(running, 1)
    assert run["state_type"] == "COMPLETED"
    assert run["state_name"] == "No crystals"
    assert run["name"].startswith("first: ")
    assert {"sample:first", "outcome:No crystals", "instrument:4D Camera"} <= set(run["tags"])
    (folder,) = [path for path in (data / "runs").iterdir() if path.name.startswith("first")]
    assert (folder / "report.html").is_file()


def test_a_half_written_data_set_never_starts(facility: tuple[Path, Facility]) -> None:
    data, running = facility
    before = len(runs(running))
    drop(data / "incoming" / "half", seed=2, complete=False)
    time.sleep(6)
    assert len(runs(running)) == before


def test_a_data_set_announced_again_has_no_second_run(facility: tuple[Path, Facility]) -> None:
    data, running = facility
    before = len(runs(running))
    for path in data.glob("ledger.db*"):
        path.unlink()
    os.kill(running.watcher_pid, signal.SIGKILL)
    again = command("watch", "--once", PREFECT_API_URL=f"{running.url}/api", APERTURA_SITE=str(data / "site.yaml"))
    assert again.returncode == 0, again.stderr
    time.sleep(2)
    assert len(runs(running)) == before


def test_status_names_the_last_outcome(facility: tuple[Path, Facility]) -> None:
    data, running = facility
    asked = command("status", "--json", PREFECT_API_URL=f"{running.url}/api", APERTURA_SITE=str(data / "site.yaml"))
    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout)
    assert answer["states"].get("No crystals") == 1
    assert answer["disk_free_gib"] > 0


def test_the_flight_check_finds_the_known_answer_with_every_installed_engine(facility: tuple[Path, Facility]) -> None:
    _, running = facility
    api = f"{running.url}/api"
    found = httpx.get(f"{api}/deployments/name/flight-check/flight-check", timeout=30).json()
    made = posted(f"{api}/deployments/{found['id']}/create_flow_run", parameters={})
    limit = time.monotonic() + FLIGHT_CHECK_S
    while (run := httpx.get(f"{api}/flow_runs/{made['id']}", timeout=30).json())["state_type"] not in ENDED:
        assert time.monotonic() < limit, run["state_name"]
        time.sleep(2.0)
    assert run["state_type"] == "COMPLETED", run["state"]["message"]
    wanted = {"flow_run_id": {"any_": [made["id"]]}, "key": {"any_": ["flight-check"]}}
    (table,) = posted(f"{api}/artifacts/filter", artifacts=wanted)
    chains = {row["engines"] for row in json.loads(table["data"])}
    assert "builtin + direct-methods + smtbx" in chains
    assert ("dials + charge-flipping + smtbx" in chains) == (shutil.which("dials.import") is not None)
