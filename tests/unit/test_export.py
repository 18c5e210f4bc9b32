"""`apertura export`: what it offers is what it does, what a run lacks is said, and nothing is half written."""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from adapters.formats.cif_pets_writer import pets_axes
from flows.cli import app
from flows.export import SCANS, TARGETS, export_run
from tasks.frames.models import Frame, FrameSeries
from tasks.frames.stack import write_stack
from tasks.ingest.models import ScanGrid, TiltScan, TiltSeries
from tasks.integrate.models import SpaceGroupCandidate
from tasks.model import Beam, Detector, Document, FileRef, SettingsError, SourceError, UnitCell
from tasks.model.provenance import Provenance
from tasks.refine.models import Refinement
from tests.synthetic.reflections_from_hkl import reflections_from_hkl
from tests.synthetic.stored_events import put_events

SHAPE = (16, 20)
MADE = Provenance(engine="test", version="0")
BEAM, CAMERA = Beam(energy_kev=200), Detector(name="c", shape_px=SHAPE, pixel_size_mm=0.1, camera_length_mm=300)
CELL = UnitCell(a=5, b=6, c=7, alpha=90, beta=100, gamma=90)


def finish(folder: Path, document: Document) -> None:
    """Write a document as a finished step does."""
    record = {"key": "k", "document": document.model_dump(mode="json", context={"root": folder})}
    (folder / "document.json").write_text(json.dumps(record))


def results(run: Path, *crystals: dict) -> None:
    run.mkdir(exist_ok=True)
    content = {"status": "solved", "source": {"composition": "C2 H4"}, "crystals": crystals, "merged": None}
    (run / "results.json").write_text(json.dumps(content))
    (run / "report.html").write_text("<p>report</p>")


def with_frames(crystal: Path) -> None:
    folder = crystal / "frames"
    folder.mkdir(parents=True)
    images = np.random.default_rng(3).poisson(2.0, (4, *SHAPE)).astype(np.uint16)
    stack = write_stack(folder / "frames.h5", images, count=4, mask=np.ones(SHAPE, dtype=bool), dtype=np.uint16)
    frames = tuple(Frame(number=i, angle_deg=float(i), width_deg=0, counts=float(images[i].sum())) for i in range(4))
    series = FrameSeries(
        id=crystal.name, sample="s", composition=None, beam=BEAM, detector=CAMERA, direct_beam_px=(7.5, 9.5),
        rotation_axis=(1, 0, 0), frames=frames, stack=stack, provenance=MADE,
    )  # fmt: skip
    finish(folder, series)


def with_intensities(crystal: Path) -> None:
    hkl = np.array([[h, k, l] for h in range(4) for k in range(4) for l in range(1, 4)], dtype=np.int32)
    intensity = np.random.default_rng(4).exponential(100.0, len(hkl))
    data = reflections_from_hkl(
        crystal / "integrate", crystal.name, hkl=hkl, intensity=intensity, sigma=np.sqrt(intensity) + 1, cell=CELL,
        laue_group="P 1 2/m 1", space_group="P 1 21/c 1",
    )  # fmt: skip
    group = SpaceGroupCandidate(symbol="P 1 21/c 1", hall="-P 2ybc", score=1.0)
    finish(crystal / "integrate", data.model_copy(update={"candidates": (group,)}))


def with_structure(folder: Path, name: str) -> None:
    folder.mkdir(parents=True)
    texts = {
        "cif": f"data_{name}\n_cell_length_a 5.0\n", "res": "TITL a\nHKLF 4\n", "ins": "TITL a\n", "fcf": "data_a\n",
        "hkl": "   1   0   0   12.00    1.00   1\n   0   0   0    0.00    0.00   0\n",
    }  # fmt: skip
    for kind, text in texts.items():
        (folder / f"refined.{kind}").write_text(text)
    files = {kind: FileRef.of(folder / f"refined.{kind}") for kind in texts}
    model = Refinement(
        id=name, space_group="P 1 21/c 1", hall="-P 2ybc", unit_cell=CELL, formula="C2 H4", atoms=(), r1=0.1,
        r1_all=0.1, wr2=0.2, goof=1.0, reflections=40, reflections_observed=30, parameters=9, shift_over_esd_max=0.0,
        density_max=0.1, density_min=-0.1, converged=True, verdict="solved", provenance=MADE, **files,
    )  # fmt: skip
    finish(folder, model)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of one crystal that came as far as a structure, refined with the contents of the second phase."""
    folder = tmp_path / "run"
    crystal = folder / "crystals" / "crystal-01"
    with_frames(crystal)
    with_intensities(crystal)
    with_structure(crystal / "phase-2" / "refine", "crystal-01")
    cif = "crystals/crystal-01/phase-2/refine/refined.cif"
    results(folder, {"id": "crystal-01", "status": "solved", "failure": None, "phases": [], "refinement": {"cif": cif}})
    return folder


def test_the_help_has_a_line_for_every_target() -> None:
    shown = CliRunner().invoke(app, ["export", "--help"]).stdout
    listed = re.findall(r"^\s*([a-z-]+)   +\S", shown, flags=re.MULTILINE)
    assert {*TARGETS, SCANS} <= set(listed)


@pytest.mark.parametrize("target", sorted({*TARGETS} - {"cif-pets"}))
def test_every_target_fills_a_folder_of_the_crystal(run: Path, tmp_path: Path, target: str) -> None:
    assert export_run(run, target, tmp_path / "out") == [tmp_path / "out" / "crystal-01"]
    assert any((tmp_path / "out" / "crystal-01").glob("README*"))


def test_pets_is_told_the_axis_counter_clockwise_as_its_own_files_have_it(run: Path, tmp_path: Path) -> None:
    document = run / "crystals" / "crystal-01" / "frames" / "document.json"
    record = json.loads(document.read_text())
    record["document"]["rotation_axis"] = [0.8, 0.6, 0.0]
    document.write_text(json.dumps(record))
    export_run(run, "pets", tmp_path / "out")
    words = (tmp_path / "out" / "crystal-01" / "crystal-01.pts").read_text().split()
    assert float(words[words.index("omega") + 1]) == pytest.approx(pets_axes(np.array([0.8, 0.6, 0.0]))[1], abs=1e-4)
    assert float(words[words.index("omega") + 1]) == pytest.approx(36.8699, abs=1e-4)


def test_a_deposit_holds_what_was_refined_and_its_bytes_do_not_change(run: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_run(run, "deposit", tmp_path / name)
    one, two = (tmp_path / name / "crystal-01" / "crystal-01.zip" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        refined = run / "crystals" / "crystal-01" / "phase-2" / "refine"
        for kind in ("hkl", "res", "fcf"):
            assert archive.read(f"crystal-01.{kind}") == (refined / f"refined.{kind}").read_bytes()
        assert b"_shelx_hkl_file" in archive.read("crystal-01.cif")
        frames = json.loads(archive.read("crystal-01_frames.json"))
        assert [frame["angle_deg"] for frame in frames["frames"]] == [0, 1, 2, 3]
        assert str(run) not in archive.read("crystal-01_frames.json").decode()
        page = archive.read("README.md").decode()
    assert [name for name in names if name != "README.md" and f"| {name} |" not in page] == []


def test_a_merged_set_is_deposited_without_frames_of_its_own(run: Path, tmp_path: Path) -> None:
    with_structure(run / "merged" / "cluster-1" / "refine", "cluster-1")
    content = json.loads((run / "results.json").read_text())
    content["merged"] = {"id": "cluster-1", "refinement": {"cif": "merged/cluster-1/refine/refined.cif"}}
    (run / "results.json").write_text(json.dumps(content))
    assert [path.name for path in export_run(run, "deposit", tmp_path / "out")] == ["crystal-01", "cluster-1"]
    with zipfile.ZipFile(tmp_path / "out" / "cluster-1" / "cluster-1.zip") as archive:
        assert not [name for name in archive.namelist() if "frames" in name or "unmerged" in name]


@pytest.mark.parametrize(
    ("target", "crystal", "error", "words"),
    [
        ("mtz", None, SettingsError, "unknown"),
        ("nxmx", "crystal-07", SourceError, "no crystal crystal-07"),
        ("deposit", "crystal-02", SourceError, "crystal-02: no refined structure, which --to deposit needs"),
        ("nxmx", "crystal-02", SourceError, "crystal-02: no frames"),
        ("cif-pets", "crystal-02", SourceError, "no intensities and frames"),
        ("cif-pets", "crystal-01", SourceError, "no intensities of single frames"),
        ("raw-csr", None, SourceError, "holds no scans"),
    ],
)
def test_what_cannot_be_exported_is_a_typed_error_and_leaves_nothing(
    run: Path, tmp_path: Path, target: str, crystal: str | None, error: type[Exception], words: str
) -> None:
    (run / "crystals" / "crystal-02").mkdir()
    with pytest.raises(error, match=words):
        export_run(run, target, tmp_path / "out", crystal=crystal)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_gone_is_named(run: Path, tmp_path: Path) -> None:
    (run / "crystals" / "crystal-01" / "frames" / "frames.h5").unlink()
    with pytest.raises(SourceError, match=r"frames\.h5"):
        export_run(run, "stacks", tmp_path / "out")


def test_a_source_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "tilt_series.json").write_text("{}")
    with pytest.raises(SettingsError, match="lies in the source"):
        export_run(tmp_path, "raw-csr", tmp_path / "export-raw-csr")
    assert [path.name for path in tmp_path.iterdir()] == ["tilt_series.json"]


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(SourceError, match="not the results of a finished run"):
        export_run(tmp_path / "run", "nxmx", tmp_path / "out")


def test_the_scans_of_a_run_are_exported_with_their_tilts(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "ingest"
    folder.mkdir(parents=True)
    file = put_events(folder / "scan.events", np.array([0, 2, 2, 3, 3]), np.array([7, 7, 319]))
    scan = TiltScan(
        tilt_deg=-30.5,
        source="a.h5",
        events=file,
        counts=3,
    )
    grid = ScanGrid(shape=(2, 2), step_nm=1.0, rotation_deg=0.0)
    series = TiltSeries(
        sample="s", composition=None, beam=BEAM, detector=CAMERA, scan=grid, tilt_axis=(1, 0, 0), scans=(scan,),
        provenance=MADE,
    )  # fmt: skip
    finish(folder, series)
    assert export_run(tmp_path / "run", "raw-csr", tmp_path / "out") == [tmp_path / "out"]
    assert np.fromfile(tmp_path / "out" / "scan-00000.indptr.dat", dtype="<i8").tolist() == [0, 1, 1, 2, 2]
    assert np.fromfile(tmp_path / "out" / "scan-00000.indices.dat", dtype="<i4").tolist() == [7, 319]
    assert np.fromfile(tmp_path / "out" / "scan-00000.values.dat", dtype="u1").tolist() == [2, 1]
    assert (tmp_path / "out" / "scans.csv").read_text().splitlines()[1] == "scan-00000.toml,-30.5,a.h5,3"
