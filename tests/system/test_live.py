"""A real series followed while it is measured, killed in mid-series, and run when it is complete."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.formats.simulated_series import write_simulated_series
from flows.progress import QuietSteps
from flows.runs import run_pipeline
from flows.settings import load_settings
from tasks.report import LiveState
from tasks.simulate import TiltPlan
from tasks.simulate.demo_structure import uio66
from tests.synthetic.coarse_series import coarse_case
from tests.synthetic.growing_series import GrowingFolder

ROOT = Path(__file__).resolve().parents[2]
ASKED = [
    *("compare_apertures=false", "integrate.d_min_angstrom=1.2"),
    *("refine.fits=1", "refine.completion_rounds=0", "refine.hydrogens=false", "refine.disorder=false"),
]
"""What makes a run short."""
OF_THE_PROCESS = {"live", "run.log", ".lock"}
"""Of a run folder: what is not its result."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series") / "whole"
    tilts = TiltPlan(start_deg=-36, stop_deg=36, step_deg=6)
    write_simulated_series(uio66(), coarse_case().model_copy(update={"tilts": tilts}), folder)
    return folder


def follow(growing: GrowingFolder, out: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "flows.cli", "run", "--live", str(growing.folder), "--out", str(out), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PREFECT_API_URL", None)
    return subprocess.Popen(
        [*command, *(part for one in ASKED for part in ("--set", one))],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def wait(until: Callable[[LiveState], bool], out: Path) -> LiveState:
    limit = time.monotonic() + 400
    while time.monotonic() < limit:
        time.sleep(0.1)
        path = out / "live" / "live.json"
        if path.is_file() and until(state := LiveState.model_validate_json(path.read_text(encoding="utf-8"))):
            return state
    raise TimeoutError


def content(run: Path) -> dict[str, bytes]:
    """Return every file of a result by its place, less the times that steps took and the path of the run."""
    found = {}
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        place = path.relative_to(run)
        if place.parts[0] not in OF_THE_PROCESS and place.name != "report.html":
            found[place.as_posix()] = path.read_bytes().replace(str(run).encode(), b"RUN")
    for name in ("results.json", "run.json"):
        said = json.loads(found[name])
        said.pop("timings_s", None)
        said.get("provenance", {}).pop("timings_s", None)
        found[name] = json.dumps(said).encode()
    return found


def test_a_killed_live_run_ends_as_a_run_on_the_complete_series_byte_for_byte(whole: Path, tmp_path: Path) -> None:
    growing = GrowingFolder(whole, tmp_path / "grow")
    out = tmp_path / "live-run"
    growing.add(growing.names[4:9])
    killed = follow(growing, out)
    wait(lambda one: len(one.read) == 5, out)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    stores = {path: path.stat().st_mtime_ns for path in (out / "live/scans").rglob("document.json")}
    assert len(stores) == 5
    growing.add(growing.names[:4])  # out of order
    ending = follow(growing, out)
    state = wait(lambda one: len(one.read) == 9 and any(crystal.unit_cell for crystal in one.crystals), out)
    (crystal,) = (one for one in state.crystals if one.unit_cell is not None)
    assert crystal.unit_cell is not None
    assert crystal.unit_cell.a == pytest.approx(uio66().cell.a, rel=0.01)
    assert crystal.completeness is not None
    assert crystal.completeness_planned is not None
    assert crystal.completeness <= crystal.completeness_planned
    assert {path: path.stat().st_mtime_ns for path in stores} == stores
    growing.add(growing.names[9:])
    growing.finish()
    printed, _ = ending.communicate(timeout=600)
    assert ending.returncode == (0 if json.loads(printed)["status"] == "solved" else 1)
    assert printed == (out / "results.json").read_text(encoding="utf-8") + "\n"
    assert "refresh" not in (out / "report.html").read_text(encoding="utf-8")
    ordinary = run_pipeline(growing.folder, tmp_path / "run", load_settings(None, ASKED), QuietSteps())
    assert content(out) == content(ordinary)
