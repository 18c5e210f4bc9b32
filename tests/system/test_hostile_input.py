"""Hundreds of damaged inputs: a typed error or a result; never a crash, a hang, a traceback, or a file elsewhere."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.formats.frame_reader import FrameFileReader
from adapters.formats.read_intensities import read_intensity_file, reflections_from_file
from adapters.formats.stempy_hdf5 import StempyReader
from flows import cli
from flows.settings import load_settings
from flows.site import read_site
from tasks.apertures.aperture_file import read_apertures, write_apertures
from tasks.frames.settings import FrameSettings
from tasks.frames.task import read_rotation
from tasks.ingest.manifest import completeness
from tasks.ingest.settings import IngestSettings
from tasks.ingest.source import read_source
from tasks.ingest.task import ingest_tilt_series
from tasks.model import ApertureError, UnitCell
from tests.synthetic.hostile_files import mutated, no_longer_than
from tests.system.facility_bench import drop, drop_rotation

ROOT = Path(__file__).resolve().parents[2]
HANG_S = 60
EXIT_CODES = {0, 1, 2, 3, 4}
SHAPE, TILTS = (8, 10), (-1.0, 0.0, 1.5)
HKL = "".join(
    f"{h:4d}{k:4d}{l:4d}{10.0 * (h + k + l):8.2f}{1.0:8.2f}{1:4d}\n"
    for h in range(1, 5)
    for k in range(4)
    for l in range(4)
)
VALUES = [None, True, -1, 0, 1e308, -1e-308, 2**70, "", "x" * 5000, "../../etc/passwd", "\0", [], [[]], {}, {"a": 1}]


def survives(read: Callable[[], object]) -> bool:
    """Read hostile input; return whether it was taken. Anything but a typed error is a failure of the test."""
    with no_longer_than(HANG_S):
        try:
            read()
        except ApertureError:
            return False
    return True


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def places(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Return the places of all values in nested lists and mappings."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in ((*path, key), *places(item, (*path, key)))]


def with_value(content: object, place: tuple[object, ...], value: object) -> object:
    changed = json.loads(json.dumps(content))
    at = changed
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    return changed


@pytest.fixture(scope="module")
def tilt_series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drop(tmp_path_factory.mktemp("good") / "series", seed=1)


@pytest.fixture(scope="module")
def manifest(tilt_series: Path) -> dict:
    return json.loads((tilt_series / "tilt_series.json").read_text())


def test_sixty_mutated_manifests(tilt_series: Path) -> None:
    rng, path = np.random.default_rng(1), tilt_series / "tilt_series.json"
    good = path.read_bytes()
    try:
        for _ in range(60):
            path.write_bytes(mutated(good, rng))
            survives(lambda: read_source(tilt_series))
            completeness(tilt_series)
    finally:
        path.write_bytes(good)


@settings(
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_sixty_manifests_with_a_wrong_value(data: st.DataObject, tilt_series: Path, manifest: dict) -> None:
    path = tilt_series / "tilt_series.json"
    place = data.draw(st.sampled_from(places(manifest)))
    content = with_value(manifest, place, data.draw(st.sampled_from(VALUES)))
    good = path.read_bytes()
    try:
        path.write_text(json.dumps(content))
        survives(lambda: read_source(tilt_series))
        completeness(tilt_series)
    finally:
        path.write_bytes(good)


def test_thirty_mutated_scans_cost_no_more_than_themselves(tmp_path: Path) -> None:
    rng, folder = np.random.default_rng(2), drop(tmp_path / "s", seed=2)
    content = json.loads((folder / "tilt_series.json").read_text())
    good = (folder / "scan_0.h5").read_bytes()
    for number in range(30):
        path = folder / f"bad_{number}.h5"
        path.write_bytes(mutated(good, rng) or b"x")
        content["scans"].append({"file": path.name, "tilt_deg": 10.0 + number, "bytes": path.stat().st_size})
    (folder / "tilt_series.json").write_text(json.dumps(content))
    work = tmp_path / "work"
    with no_longer_than(300):
        series = ingest_tilt_series(read_source(folder), StempyReader(), IngestSettings(), work / "ingest")
    lost = {scan.source for scan in series.lost}
    assert not lost & {f"scan_{number}.h5" for number in range(6)}
    assert len(series.lost) + len(series.scans) == 36
    assert lost, "a mutation that nobody notices in all of thirty"
    assert {path.name for path in tmp_path.iterdir()} == {"s", "work"}


def test_thirty_mutated_frames_cost_no_more_than_themselves(tmp_path: Path) -> None:
    rng, folder = np.random.default_rng(3), drop_rotation(tmp_path / "s")
    good = (folder / "f_0000.tif").read_bytes()
    for number in range(8, 38):
        (folder / f"f_{number:04d}.tif").write_bytes(mutated(good, rng))
    with no_longer_than(HANG_S):
        series = read_rotation(read_source(folder), FrameFileReader(), FrameSettings(), tmp_path / "frames")
    assert {frame.number for frame in series.frames} >= set(range(8))
    assert tifffile.imread(folder / "f_0000.tif").shape == (48, 52)


def test_sixty_mutated_files_of_intensities(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(4), tmp_path / "a.hkl"
    for _ in range(60):
        path.write_bytes(mutated(HKL.encode(), rng))
        survives(lambda: read_intensity_file(path))


CIF_LOOP = "data_a\n_cell_length_a 8\nloop_\n_refln_index_h\n_refln_index_k\n_refln_index_l\n_refln_F_squared_meas\n"
LISTED = "".join(f"{h} {k} {l} {10.0 * (h + k + l)} 1.0\n" for h in range(1, 5) for k in range(4) for l in range(4))
REFLECTION_FILES = {
    "a.fcf": CIF_LOOP + "_refln_F_squared_sigma\n" + LISTED,
    "b.cif": "data_b\n_chemical_formula_sum 'C2 H3 O'\n_shelx_hkl_file\n;\n" + HKL + ";\n",
    "c.csv": "h,k,l,I,sigma\n" + LISTED.replace(" ", ","),
    "d.hkl": HKL.replace("   1\n", "  -2\n", 3),
    "e.ins": "TITL\nCELL 0.0251 8 9 10 90 95 90\nLATT -1\nSFAC C O\nUNIT 4 4\nHKLF 4 1 1 0 0 0 1 0 0 0 1\n",
}


@pytest.mark.parametrize("name", REFLECTION_FILES)
def test_two_hundred_mutated_files_of_each_form_of_reflections(tmp_path: Path, name: str) -> None:
    rng, path = np.random.default_rng(12), tmp_path / name
    (tmp_path / "e.hkl").write_text(HKL)
    before = files_below(tmp_path) | {path}
    for _ in range(200):
        path.write_bytes(mutated(REFLECTION_FILES[name].encode(), rng))
        survives(lambda: read_intensity_file(path))
    assert files_below(tmp_path) == before


def test_six_mutated_files_of_intensities_as_a_data_set(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(5), tmp_path / "a.hkl"
    cell = UnitCell(a=8, b=9, c=10, alpha=90, beta=95, gamma=90)
    for number in range(6):
        path.write_bytes(mutated(HKL.encode(), rng))
        workdir = tmp_path / f"{number}"
        workdir.mkdir()
        survives(lambda workdir=workdir: reflections_from_file(path, cell=cell, energy_kev=200.0, workdir=workdir))


def test_forty_mutated_files_of_apertures(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    write_apertures({"crystal-01": rng.random((3, *SHAPE)) > 0.5}, TILTS, tmp_path / "good.h5")
    polygon = {"tilt_deg": None, "polygon": [[1, 1], [1, 4], [5, 4], [5, 1]]}
    drawn = {
        "format": "apertura apertures",
        "version": 1,
        "scan_shape": list(SHAPE),
        "crystals": [{"id": "crystal-01", "apertures": [polygon]}],
    }
    for name, good in (("a.h5", (tmp_path / "good.h5").read_bytes()), ("a.json", json.dumps(drawn).encode())):
        for _ in range(20):
            path = tmp_path / name
            path.write_bytes(mutated(good, rng))
            survives(lambda path=path: read_apertures(path, scan_shape=SHAPE, tilt_deg=TILTS))


def test_forty_mutated_site_and_settings_files(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(7), tmp_path / "a.yaml"
    site = {"name": "x", "incoming": [str(tmp_path)], "runs": str(tmp_path), "retention": {"solved_days": 3.0}}
    config = {"composition": "C6 H6", "integrate": {"engine": "builtin"}, "workers": 2}
    for content, read in ((site, read_site), (config, lambda path: load_settings(path, []))):
        for _ in range(20):
            path.write_bytes(mutated(yaml.safe_dump(content).encode(), rng))
            survives(lambda read=read: read(path))


def in_process(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["apertura", *arguments])
    with no_longer_than(HANG_S), pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_the_command_line_ends_with_a_documented_code(
    tilt_series: Path, manifest: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    before = files_below(tilt_series)
    rng = np.random.default_rng(8)
    cases = places(manifest)
    for _ in range(20):
        place = cases[int(rng.integers(len(cases)))]
        (source / "tilt_series.json").write_text(json.dumps(with_value(manifest, place, "../../x")))
        code = in_process(monkeypatch, "run", str(source), "--out", str(out))
        said = capsys.readouterr().err
        assert code in EXIT_CODES, said
        assert "Traceback" not in said
    for number in range(10):
        hkl = tmp_path / "a.hkl"
        hkl.write_bytes(mutated(b"not intensities " * 8, rng))
        code = in_process(monkeypatch, "solve", str(hkl), "--out", str(tmp_path / f"out-{number}"), "--cell", "8,9,1")
        said = capsys.readouterr().err
        assert code in EXIT_CODES, said
        assert "Traceback" not in said
    assert files_below(tilt_series) == before
    strange = [path for path in tmp_path.iterdir() if not path.name.startswith("out")]
    assert {path.name for path in strange} == {"source", "a.hkl"}
    assert [path.name for path in source.iterdir()] == ["tilt_series.json"]


@pytest.mark.parametrize("damage", ["manifest", "settings"])
def test_a_process_ends_without_a_traceback(damage: str, tilt_series: Path, manifest: dict, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    content = with_value(manifest, ("scans", 0, "file"), "../../../etc/passwd") if damage == "manifest" else manifest
    (source / "tilt_series.json").write_text(json.dumps(content))
    config = tmp_path / "settings.yaml"
    config.write_bytes(b"{: \xff" if damage == "settings" else b"")
    started = time.monotonic()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "flows.cli",
            "run",
            str(source),
            "--out",
            str(tmp_path / "out"),
            "--config",
            str(config),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={**{k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode in EXIT_CODES - {0}
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < 600
