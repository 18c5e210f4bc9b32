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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from adapters.formats.fcf import read_fit
from adapters.formats.simulated_series import write_simulated_series
from flows.export import export_run
from flows.progress import QuietSteps
from flows.regions import RegionsAsked, measure_regions
from flows.replay import replay
from flows.run_folder import read_results
from flows.runs import run_pipeline
from flows.settings import load_settings
from flows.tracing import trace
from tasks.apertures import propose_apertures
from tasks.apertures.models import ApertureSet
from tasks.frames import DirectBeams, sum_frames
from tasks.frames.models import FrameSeries
from tasks.ingest.events import open_events
from tasks.ingest.models import TiltSeries
from tasks.integrate.measurements import USED, read_traces
from tasks.integrate.models import Reflections
from tasks.model import FileRef, InputError, SettingsError, SourceError
from tasks.refine.models import Refinement
from tasks.report import MeasuredCrystal, worst_fitting
from tasks.simulate.demo_structure import uio66
from tasks.stage import read_document
from tasks.trace import ElectronSource
from tests.synthetic.coarse_series import coarse_case
from tests.synthetic.stored_events import loaded, put_events

ROOT = Path(__file__).resolve().parents[2]
ZIRCONIUM_TOLERANCE_ANGSTROM = 0.02
ASKED = ["study.nested=true", "study.positions=[4]"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series") / "source"
    write_simulated_series(uio66(), coarse_case(), folder)
    return folder


class InterruptedSteps(QuietSteps):
    """Those of a run that is interrupted when it begins with a step that nobody waits for."""

    @contextmanager
    def step(self, stage: str, crystal: str = "") -> Iterator[None]:
        if crystal == "4 of crystal-01":
            raise KeyboardInterrupt
        with super().step(stage, crystal):
            yield


@pytest.fixture(scope="module")
def first_results(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run that ended when its first report was there, and what its results.json said."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(source, folder, load_settings(None, ASKED), InterruptedSteps())
    return folder, read_results(folder)


@pytest.fixture(scope="module")
def solved(source: Path, first_results: tuple[Path, dict[str, Any]]) -> Path:
    return run_pipeline(source, first_results[0], load_settings(None, ASKED), QuietSteps())


def test_a_report_is_there_before_what_nobody_waits_for_and_grows(
    first_results: tuple[Path, dict[str, Any]], solved: Path
) -> None:
    first, last = first_results[1], read_results(solved)
    assert first["status"] == last["status"] == "solved"
    assert (first["to_come"], last["to_come"]) == (["nested"], [])
    assert last["crystals"][0]["nested"]
    assert first["crystals"] == [{**crystal, "nested": None} for crystal in last["crystals"]]
    assert "More is to come" not in (solved / "report.html").read_text(encoding="utf-8")


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


def test_a_run_says_how_much_of_a_crystal_would_have_sufficed(solved: Path) -> None:
    (crystal,) = [one for one in read_results(solved)["crystals"] if one["status"] == "solved"]
    (part,) = crystal["nested"]["regions"]
    assert part["positions"] == 4
    assert part["sufficed"], part["reason"]
    assert is_uio66(read_document(solved / "crystals" / crystal["id"] / "nested" / "positions-0004/refine", Refinement))
    assert crystal["nested"]["fraction"] == pytest.approx(part["electrons"] / crystal["frames"]["counts_total"])
    assert crystal["nested"]["fraction"] < 0.15
    assert "of its electrons would have sufficed: its best 4 of" in (solved / "report.html").read_text(encoding="utf-8")


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
    assert any("nested" in path.parts for path in before)
    again = run_pipeline(source, solved, load_settings(None, ASKED), QuietSteps())
    assert {path: path.stat().st_mtime_ns for path in again.rglob("document.json")} == before


def test_a_killed_run_goes_on_from_its_last_finished_unit_also_elsewhere(
    source: Path, solved: Path, tmp_path: Path
) -> None:
    """Killed in processes, it ends on Dask's workers, with the bytes of a run in threads."""
    command = [sys.executable, "-m", "flows.cli", "run", str(source), "--out", str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PREFECT_API_URL", None)
    begun, ended = ([*command, "--set", f"compute.engine={name}"] for name in ("processes", "dask"))
    running = subprocess.Popen(begun, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    limit = time.monotonic() + 300
    while not (tmp_path / "run" / "apertures" / "document.json").is_file() and time.monotonic() < limit:
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    finished = (tmp_path / "run" / "ingest" / "document.json").stat().st_mtime_ns
    done = subprocess.run(ended, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "in process" not in done.stderr
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
    settings = load_settings(None, ["position_maps=true"])
    results = read_results(run_pipeline(damaged, tmp_path / "run", settings, QuietSteps()))
    assert {scan["source"] for scan in results["source"]["lost"]} == {first.name, second.name, third.name}
    assert results["status"] == "solved"
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert first.name in page
    for crystal in results["crystals"]:  # straight, and mapped with the tilts that are left
        maps = crystal["maps"]
        assert maps["bend_deg"] < 0.2
        assert maps["by_parts"] is None
        with h5py.File(tmp_path / "run" / maps["file"], "r") as file:
            assert np.isfinite(file["angle_deg"][()]).sum() == maps["positions"] > 0
    assert "From position to position" in page


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


def test_a_reflection_leads_back_to_its_electrons(solved: Path) -> None:
    reflections = read_document(solved / "crystals" / "crystal-01" / "integrate", Reflections)
    frames = read_document(solved / "crystals" / "crystal-01" / "frames", FrameSeries)
    series = read_document(solved / "ingest", TiltSeries)
    aperture = read_document(solved / "apertures", ApertureSet).masks["crystal-01"]
    assert reflections.traces is not None
    measured = read_traces(reflections.traces)
    chosen = reflections.hkl[np.argsort(-reflections.intensity)[:: max(1, len(reflections.hkl) // 12)]]
    seen = electrons = 0
    for hkl in chosen.tolist():
        traced = trace(solved, "crystal-01", ",".join(map(str, hkl)))
        assert traced.counts_total == sum(one.counts for one in traced.observations)
        electrons += traced.counts_total
        for one in traced.observations:
            row = np.flatnonzero((measured.hkl == one.hkl).all(axis=1) & (measured.frame == one.frame))
            assert one.counts == measured.counts[row[0]] == sum(pixel.counts for pixel in one.pixels)
            assert one.positions is not None
            assert one.counts == sum(place.counts for place in one.positions)
            tilt = frames.frames[one.frame].number
            offsets = open_events(series.scans[tilt]).offsets
            for place in one.positions:
                assert aperture[tilt, place.row, place.column]
                here = place.row * series.scan.shape[1] + place.column
                assert 0 < place.counts <= int(offsets[here + 1]) - int(offsets[here])
            seen += 1
    assert seen > 100
    assert electrons > 1000


def test_what_was_counted_is_what_the_rocking_curve_predicts(solved: Path) -> None:
    reflections = read_document(solved / "crystals" / "crystal-01" / "integrate", Reflections)
    assert reflections.traces is not None
    measured = read_traces(reflections.traces)
    used = measured.where(np.flatnonzero((measured.state == USED) & ~measured.overlapped & (measured.predicted > 50)))
    assert len(used.frame) > 50
    net = used.counts - used.background
    assert net.sum() == pytest.approx(used.predicted.sum(), rel=0.05)


@pytest.mark.parametrize(
    ("hkl", "why"),
    [
        ("1,0,0", "the centring of F m -3 m forbids it"),
        ("0,0,0", "it is the direct beam"),
        ("60,0,0", "to which spots were looked for"),
    ],
)
def test_what_was_not_measured_is_refused_with_the_reason(solved: Path, hkl: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        trace(solved, "crystal-01", hkl)


def test_a_trace_wants_a_reflection_and_a_crystal_of_the_run(solved: Path) -> None:
    with pytest.raises(SettingsError, match="not a reflection"):
        trace(solved, "crystal-01", "2,1")
    with pytest.raises(SettingsError, match="beyond any cell"):
        trace(solved, "crystal-01", "2,2,99999999999")
    with pytest.raises(SourceError, match="no crystal 'crystal-77'"):
        trace(solved, "crystal-77", "2,2,0")


def test_a_trace_is_drawn(solved: Path, tmp_path: Path) -> None:
    trace(solved, "crystal-01", "2,2,0", picture=tmp_path / "spot.png")
    assert (tmp_path / "spot.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SettingsError, match="--picture"):
        trace(solved, "crystal-01", "2,2,0", picture=tmp_path / "spot.nonsense")


@pytest.fixture(scope="module")
def measured(solved: Path) -> MeasuredCrystal:
    folder = solved / "crystals" / "crystal-01"
    series, beams = read_document(solved / "ingest", TiltSeries), read_document(solved / "beams", DirectBeams)
    (aperture,) = read_document(solved / "apertures", ApertureSet).crystals
    return MeasuredCrystal(
        read_document(folder / "integrate", Reflections),
        read_document(folder / "frames", FrameSeries),
        ElectronSource(series, aperture, beams),
    )


def test_the_worst_fitting_reflections_of_the_report_are_those_of_a_trace(
    solved: Path, measured: MeasuredCrystal
) -> None:
    model = refined(solved)
    found = worst_fitting(read_fit(model.fcf.path), model, measured.reflections, [measured])
    assert found.notes == ()
    (told,) = (one["worst_fitting"] for one in read_results(solved)["crystals"])
    assert [tuple(one["hkl"]) for one in told] == [one.misfit.hkl for one in found.reflections]
    assert len(told) == 10
    for one in found.reflections[:3]:
        ((_, hkl),) = one.traced_as
        traced = trace(solved, "crystal-01", ",".join(map(str, hkl)))
        known = {(each.hkl, each.tilt_deg): each for each in traced.observations}
        assert one.crossings
        for crossing in one.crossings:
            for place, tilt_deg in enumerate(crossing.tilt_deg):
                there = known[crossing.hkl, tilt_deg]
                assert (crossing.counts[place], crossing.predicted[place]) == (
                    there.counts,
                    pytest.approx(there.predicted, abs=0.01),
                )
            brightest = known[crossing.hkl, crossing.map.tilt_deg]
            assert crossing.map.electrons == brightest.counts == max(crossing.counts)
            assert crossing.map.positions_with_electrons == len(brightest.positions)
    page = (solved / "report.html").read_text(encoding="utf-8")
    assert page.count('class="rocking"') == sum(len(one.crossings) for one in found.reflections)


def test_without_the_event_store_the_report_shows_the_rocking_curves_alone(
    solved: Path, measured: MeasuredCrystal, tmp_path: Path
) -> None:
    model, electrons = refined(solved), measured.electrons
    assert electrons is not None
    gone = FileRef(path=tmp_path / "gone.npy", sha256=electrons.series.scans[0].events.sha256)
    first = electrons.series.scans[0].model_copy(update={"events": gone})
    series = electrons.series.model_copy(update={"scans": (first, *electrons.series.scans[1:])})
    bare = measured._replace(electrons=electrons._replace(series=series))
    found = worst_fitting(read_fit(model.fcf.path), model, measured.reflections, [bare])
    assert all(each.map is None for one in found.reflections for each in one.crossings)
    assert sum(len(one.crossings) for one in found.reflections) > 10
    assert found.notes == (f"crystal-01: no probe positions: {gone.path} is gone",)


def test_without_the_event_store_a_trace_shows_the_frames_alone(solved: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(solved, run)
    whole = trace(run, "crystal-01", "2,2,0")
    next((run / "ingest").glob("*.events")).unlink()
    bare = trace(run, "crystal-01", "2,2,0")
    assert bare.counts_total == whole.counts_total
    assert all(one.positions is None for one in bare.observations)
    assert "is gone" in bare.notes[0]


def test_a_changed_event_store_is_noticed_by_the_trace(solved: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(solved, run)
    strongest = max(trace(run, "crystal-01", "2,2,0").observations, key=lambda one: one.counts)
    frames = read_document(run / "crystals" / "crystal-01" / "frames", FrameSeries)
    scan = read_document(run / "ingest", TiltSeries).scans[frames.frames[strongest.frame].number]
    offsets, events = loaded(scan)
    put_events(scan.events.path, offsets, np.zeros_like(events))
    with pytest.raises(SourceError, match=r"the event store|outside the frame"):
        trace(run, "crystal-01", "2,2,0")


@pytest.mark.parametrize("name", ["integrate/traces.h5", "integrate/merged.npz", "frames/frames.h5"])
@pytest.mark.parametrize("content", [b"", None])
def test_a_damaged_file_of_a_run_is_named(solved: Path, tmp_path: Path, name: str, content: bytes | None) -> None:
    run = tmp_path / "run"
    shutil.copytree(solved, run)
    file = run / "crystals" / "crystal-01" / name
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    said = "gone" if content is None else "damaged"
    with pytest.raises(SourceError, match=f"{file.name}: {said}"):
        trace(run, "crystal-01", "2,2,0")
    if name.startswith("integrate"):
        (solve,) = replay(run, "solve")
        assert (solve.outcome, said in solve.why) == ("not repeated", True)


def test_a_run_of_another_version_is_not_taken_for_one_of_this(solved: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(solved, run)
    results = json.loads((run / "results.json").read_text())
    results["provenance"]["settings_changed"] = {"integrate.spell": 3}
    (run / "results.json").write_text(json.dumps(results))
    with pytest.raises(SourceError, match="not known to this version"):
        replay(run)
    document = run / "crystals" / "crystal-01" / "integrate" / "document.json"
    record = json.loads(document.read_text())
    record["document"]["spell"] = 3
    document.write_text(json.dumps(record))
    with pytest.raises(SourceError, match="not the document of a finished step"):
        trace(run, "crystal-01", "2,2,0")


def test_a_run_is_replayed_byte_for_byte(solved: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in solved.rglob("*")}
    for stage in ("ingest", "beams", "frames", "integrate", "solve"):
        done = replay(solved, stage)
        assert done
        assert [one.outcome for one in done] == ["same"] * len(done), done
    assert {path: path.stat().st_mtime_ns for path in solved.rglob("*")} == before


def test_a_replay_names_what_is_not_the_same(solved: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(solved, run)
    listing = next((run / "crystals" / "crystal-01" / "integrate").glob("*.hkl"))
    listing.write_text(listing.read_text().replace("1", "2", 1))
    next(listing.parent.glob("*.mtz")).unlink()
    (changed,) = replay(run, "integrate")
    assert changed.outcome == "differs"
    assert changed.why == f"{listing.name}; no longer in the run: {listing.with_suffix('.mtz').name}"
    with pytest.raises(SettingsError, match="no such stage"):
        replay(run, "cooking")


def test_a_replay_without_its_inputs_says_so(solved: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(solved, run)
    results = json.loads((run / "results.json").read_text())
    results["source"]["path"] = str(tmp_path / "gone")
    (run / "results.json").write_text(json.dumps(results))
    (ingest,) = replay(run, "ingest")
    assert ingest.outcome == "not repeated"
    assert "gone" in ingest.why


def test_a_region_too_small_to_be_indexed_is_measured_in_the_crystals_geometry(solved: Path, tmp_path: Path) -> None:
    out = measure_regions(solved, "crystal-01", RegionsAsked(positions=4), tmp_path / "region", QuietSteps())
    (region,) = read_results(out)["crystals"]
    whole = read_document(solved / "crystals" / "crystal-01" / "integrate", Reflections)
    part = read_document(out / "crystals" / "crystal-01" / "integrate", Reflections)
    frames = read_document(out / "crystals" / "crystal-01" / "frames", FrameSeries)
    assert all(frame.positions <= 4 for frame in frames.frames)
    assert part.laue_group == whole.laue_group
    assert region["integration"]["unit_cell"] == pytest.approx(whole.unit_cell.parameters, abs=1e-3)
    known = {tuple(hkl): value for hkl, value in zip(whole.hkl.tolist(), whole.intensity, strict=True)}
    pairs = [
        (known[tuple(hkl)], value)
        for hkl, value in zip(part.hkl.tolist(), part.intensity, strict=True)
        if tuple(hkl) in known
    ]
    assert len(pairs) > 50
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.9


def test_regions_of_a_run_that_lost_its_store_say_what_can_be_done(solved: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(solved, run)
    next((run / "ingest").glob("*.events")).unlink()
    asked, out = RegionsAsked(positions=4), tmp_path / "region"
    with pytest.raises(SourceError, match=r"events: gone: .*\n.*again, in a new folder"):
        measure_regions(run, "crystal-01", asked, out, QuietSteps())
    results = json.loads((run / "results.json").read_text())
    results["source"]["path"] = str(tmp_path / "absent")
    (run / "results.json").write_text(json.dumps(results))
    with pytest.raises(SourceError, match=r"events: gone: .*\n.*absent is gone, too"):
        measure_regions(run, "crystal-01", asked, out, QuietSteps())
    assert not out.exists()


def test_one_kind_of_region_is_asked_for(solved: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="give one of them"):
        measure_regions(solved, "crystal-01", RegionsAsked(split=2, positions=4), tmp_path / "a", QuietSteps())
    with pytest.raises(SettingsError, match="must be 1 or more"):
        measure_regions(solved, "crystal-01", RegionsAsked(positions=0), tmp_path / "b", QuietSteps())
    with pytest.raises(SettingsError, match="must be 1 or more"):
        measure_regions(solved, "crystal-01", RegionsAsked(split=0), tmp_path / "b", QuietSteps())
    with pytest.raises(SettingsError, match=r"has at most \d+ at one tilt"):
        measure_regions(solved, "crystal-01", RegionsAsked(positions=5000), tmp_path / "b", QuietSteps())
    with pytest.raises(SettingsError, match="no such file"):
        measure_regions(solved, "crystal-01", RegionsAsked(file=tmp_path / "none.h5"), tmp_path / "c", QuietSteps())
