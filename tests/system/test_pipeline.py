"""The main job on a small simulated series: files to structures, resumed, and damaged.

With DIALS it goes through the flight check of test_facility.py.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from adapters.formats.simulated_series import write_simulated_series
from flows.export import export_run
from flows.flight_check import tiny_case
from flows.progress import QuietSteps
from flows.run_folder import read_results
from flows.runs import run_pipeline
from flows.settings import load_settings
from tasks.apertures import propose_apertures
from tasks.frames import DirectBeams, sum_frames
from tasks.ingest.models import TiltSeries
from tasks.model import SettingsError
from tasks.refine.models import Refinement
from tasks.simulate.demo_structure import uio66
from tasks.stage import read_document

ROOT = Path(__file__).resolve().parents[2]
ZIRCONIUM_TOLERANCE_ANGSTROM = 0.02


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series") / "source"
    write_simulated_series(uio66(), tiny_case(), folder)
    return folder


@pytest.fixture(scope="module")
def solved(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_pipeline(source, tmp_path_factory.mktemp("runs") / "run", load_settings(None, []), QuietSteps())


def refined(run: Path) -> Refinement:
    results = read_results(run)
    (crystal,) = [crystal for crystal in results["crystals"] if crystal["status"] == "solved"]
    return read_document(run / "crystals" / crystal["id"] / "refine", Refinement)


def test_the_structure_is_the_one_that_was_simulated(solved: Path) -> None:
    assert read_results(solved)["status"] == "solved"
    model = refined(solved)
    assert model.space_group == "F m -3 m"
    assert model.unit_cell.a == pytest.approx(uio66().cell.a, rel=0.002)
    assert model.r1 < 0.15
    assert is_uio66(model)


def is_uio66(model: Refinement) -> bool:
    """Tell whether zirconium and every other non-hydrogen site are there, for either origin of F m -3 m."""
    known = [(atom.element, np.array(atom.position)) for atom in uio66().atoms if atom.element != "H"]
    found = [(atom.element, np.array(atom.position)) for atom in model.atoms if atom.element != "H"]
    operations = [(np.array(op.rot) / op.DEN, np.array(op.tran) / op.DEN) for op in uio66().group]

    def distance(first: np.ndarray, second: np.ndarray, shift: float) -> float:
        images = [rotation @ first + translation + shift - second for rotation, translation in operations]
        return min(float(np.linalg.norm(image - np.round(image))) for image in images) * uio66().cell.a

    def fits(shift: float) -> bool:
        for element, position in known:
            limit = ZIRCONIUM_TOLERANCE_ANGSTROM if element == "Zr" else 0.3
            if not any(distance(position, other, shift) < limit for name, other in found if name == element):
                return False
        return True

    return fits(0.0) or fits(0.5)


def test_results_have_every_field_that_programs_rely_on(solved: Path) -> None:
    results = read_results(solved)
    assert results["schema"] == 1
    crystal: dict[str, Any] = next(item for item in results["crystals"] if item["status"] == "solved")
    assert (solved / crystal["integration"]["hkl"]).is_file()
    assert (solved / crystal["refinement"]["cif"]).is_file()
    with h5py.File(solved / crystal["aperture"]["masks"], "r") as file:
        assert file["masks"].shape[0] == file["tilt_deg"].shape[0] == len(crystal["aperture"]["positions_per_tilt"])
        assert file["masks"].dtype == bool
    fields = "engine unit_cell space_group d_min_angstrom observations unique completeness multiplicity i_over_sigma"
    assert set(f"{fields} r_meas r_pim cc_half hkl".split()) <= set(crystal["integration"])
    fields = "engine r1 r1_all wr2 goof reflections parameters cif"
    assert set(fields.split()) <= set(crystal["refinement"])
    assert 0 <= crystal["refinement"]["r1"] <= 1
    page = (solved / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)\s*=\s*['\"]?(?:https?:)?//|url\(\s*['\"]?https?:", page)


def test_every_electron_of_an_all_positions_aperture_is_in_the_frames(solved: Path, tmp_path: Path) -> None:
    series = read_document(solved / "ingest", TiltSeries)
    masks = tmp_path / "all.h5"
    with h5py.File(masks, "w") as file:
        file["masks"] = np.ones((len(series.scans), *series.scan.shape), dtype=bool)
        file["tilt_deg"] = [scan.tilt_deg for scan in series.scans]
    settings = load_settings(None, [f"apertures.file={masks}"])
    (aperture,) = propose_apertures(series, settings.apertures, workdir=tmp_path / "apertures").crystals
    beams = read_document(solved / "beams", DirectBeams)
    frames = sum_frames(series, aperture, settings.frames, workdir=tmp_path / "frames", beams=beams)
    assert sum(frame.counts for frame in frames.frames) == sum(scan.counts for scan in series.scans)


def test_a_finished_run_is_taken_from_its_folder(solved: Path, source: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in solved.rglob("document.json")}
    again = run_pipeline(source, solved, load_settings(None, []), QuietSteps())
    assert {path: path.stat().st_mtime_ns for path in again.rglob("document.json")} == before


def test_a_killed_run_goes_on_from_its_last_finished_unit(source: Path, solved: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flows.cli", "run", str(source), "--out", str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PREFECT_API_URL", None)
    running = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    limit = time.monotonic() + 300
    while not (tmp_path / "run" / "apertures" / "document.json").is_file() and time.monotonic() < limit:
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    finished = (tmp_path / "run" / "ingest" / "document.json").stat().st_mtime_ns
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "ingest" / "document.json").stat().st_mtime_ns == finished
    assert refined(tmp_path / "run").cif.path.read_bytes() == refined(solved).cif.path.read_bytes()


def test_damaged_scans_cost_their_tilts_and_are_named(source: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(source, damaged, ignore=shutil.ignore_patterns("truth"))
    manifest = json.loads((damaged / "tilt_series.json").read_text())
    first, second, third = (damaged / scan["file"] for scan in manifest["scans"][:3])
    first.unlink()
    second.write_bytes(second.read_bytes()[: second.stat().st_size // 2])
    content = bytearray(third.read_bytes())
    content[:512] = bytes(512)
    third.write_bytes(bytes(content))
    results = read_results(run_pipeline(damaged, tmp_path / "run", load_settings(None, []), QuietSteps()))
    assert {scan["source"] for scan in results["source"]["lost"]} == {first.name, second.name, third.name}
    assert results["status"] == "solved"
    assert first.name in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


EXPORTS = {
    "xds": "XDS.INP",
    "dials": "process.sh",
    "nxmx": "crystal-01_01.nxs",
    "stacks": "crystal-01.mrc.mdoc",
    "pets": "crystal-01.pts",
    "cif-pets": "crystal-01.cif_pets",
    "shelx": "job.ins",
    "deposit": "crystal-01.zip",
}


@pytest.mark.parametrize(("target", "runs"), EXPORTS.items())
def test_a_run_is_exported_for_other_programs(solved: Path, tmp_path: Path, target: str, runs: str) -> None:
    folders = export_run(solved, target, tmp_path / "out", crystal=None)
    assert folders
    for folder in folders:
        assert (folder / runs).is_file()
        assert list(folder.glob("README*"))
    with pytest.raises(SettingsError, match="not an empty folder"):
        export_run(solved, target, tmp_path / "out", crystal=None)
