"""DIALS driven for real: a simulated framework, a part of the real cinchonine series, and what goes wrong."""

import os
import shutil
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from adapters.host.runner import run_program
from adapters.programs.dials.engine import DialsIntegrator
from adapters.programs.export import export_dials
from adapters.programs.probe import DIALS
from tasks.frames.models import Frame, FrameSeries
from tasks.model import Beam, Detector, FileRef, NotIndexedError, ProgramFailedError, ProgramNotFoundError
from tasks.model.provenance import Provenance

has_dials = pytest.mark.skipif(shutil.which("dials.import") is None, reason="DIALS is not installed")


def series(folder: Path, frames: np.ndarray, *, start: float, width: float, **changes: object) -> FrameSeries:
    stack = folder / "stack.h5"
    with h5py.File(stack, "w") as file:
        file["frames"] = frames
        file["mask"] = np.ones(frames.shape[1:], dtype=bool)
    angles = [start + i * width for i in range(len(frames))]
    values: dict[str, object] = {
        "id": "crystal-01",
        "sample": "test",
        "composition": None,
        "beam": Beam(energy_kev=200.0),
        "detector": Detector(name="Cheetah", shape_px=frames.shape[1:], pixel_size_mm=0.055, camera_length_mm=436.1),
        "direct_beam_px": (253.6, 256.4),
        "rotation_axis": (0.7933, 0.6088, 0.0),
        "frames": tuple(
            Frame(number=i, angle_deg=a, width_deg=width, counts=float(f.sum()))
            for i, (a, f) in enumerate(zip(angles, frames, strict=True))
        ),
        "stack": FileRef.of(stack),
        "provenance": Provenance(engine="test", version="1"),
    }
    return FrameSeries(**(values | changes))


@pytest.fixture(scope="module")
def cinchonine(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> FrameSeries:
    """Return images 5 to 204 of the real series, with the sense of the axis turned round."""
    folder = tmp_path_factory.mktemp("cinchonine")
    with tarfile.open(shared_data / "cinchonine" / "diff_corr_405_tif.tar.xz") as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # none in Debian 12's Python
        archive.extractall(folder)
    images = np.stack([tifffile.imread(folder / "diff_corr" / f"{n:04d}.tif") for n in range(5, 205)])
    return series(
        folder,
        images,
        start=-50.46 + 5 * 0.2522,
        width=0.2522,
        gain=16.0,
        saturation=65535.0,
        rotation_axis=(-0.7933, -0.6088, 0.0),
    )


@pytest.mark.needs_dials
@has_dials
def test_half_of_the_real_series_gives_the_published_cell_group_and_axis(
    cinchonine: FrameSeries, tmp_path: Path
) -> None:
    found = DialsIntegrator(d_min_angstrom=1.0).integrate(cinchonine, tmp_path)
    published = (10.732, 7.283, 11.107, 90.0, 108.06, 90.0)
    assert found.unit_cell.parameters == pytest.approx(published, rel=0.01)
    assert (found.laue_group, found.space_group) == ("P 1 2/m 1", "P 1 21 1")
    assert found.axis_test.reversed
    assert found.axis_test.rmsd_px[1] < 0.5 * found.axis_test.rmsd_px[0]
    assert found.overall.cc_half > 0.95
    assert found.indexed_fraction > 0.6
    with h5py.File(found.pictures.path) as file:
        assert file["frame"].shape[0] == file["px"].shape[0] == file["hkl"].shape[0] > 500
        assert file["frame"][:].min() >= 0
        assert file["frame"][:].max() < 200
        inside = (file["px"][:] > -1).all(axis=1) & (file["px"][:] < 513).all(axis=1)
        assert inside.all()
    assert "scaled" in next(attempt.outcome for attempt in found.provenance.attempts if attempt.change == "scale")


@pytest.mark.needs_dials
@has_dials
def test_frames_without_diffraction_are_not_indexed(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).poisson(3.0, (6, 128, 128)).astype(np.uint16)
    detector = Detector(name="Cheetah", shape_px=(128, 128), pixel_size_mm=0.22, camera_length_mm=436.1)
    empty = series(tmp_path, noise, start=0.0, width=0.5, detector=detector, direct_beam_px=(63.5, 63.5))
    with pytest.raises(NotIndexedError, match="spots on 6 frames"):
        DialsIntegrator().integrate(empty, tmp_path)


@pytest.mark.needs_dials
@has_dials
def test_the_exported_folder_is_imported_and_searched_by_the_real_dials(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).poisson(3.0, (6, 128, 128)).astype(np.uint16)
    detector = Detector(name="Cheetah", shape_px=(128, 128), pixel_size_mm=0.22, camera_length_mm=436.1)
    frames = series(tmp_path, noise, start=0.0, width=0.5, detector=detector, direct_beam_px=(63.5, 63.5))
    export_dials(frames, tmp_path / "out", d_min_angstrom=0.9)
    script = (tmp_path / "out" / "process.sh").read_text().splitlines()
    (tmp_path / "out" / "first.sh").write_text("\n".join(script[:4]))
    run = run_program(["sh", "first.sh"], workdir=tmp_path / "out", timeout_s=300)
    assert run.returncode == 0, run.tail()
    assert (tmp_path / "out" / "imported.expt").is_file()
    assert (tmp_path / "out" / "README").read_text().count("\n") == 1


def stand_ins(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    folder.mkdir()
    for name in (DIALS.executable, *DIALS.needed_with, "dials.version"):
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("kill -9 $$", "killed by signal 9"),
        ("exit 0", "without imported.expt"),
        ("echo 'Sorry: no' >&2; exit 1", "Sorry"),
    ],
)
def test_a_program_that_dies_is_a_typed_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    stand_ins(tmp_path / "bin", monkeypatch, script)
    frames = series(tmp_path, np.ones((4, 16, 16), dtype=np.uint16), start=0.0, width=0.5)
    with pytest.raises(ProgramFailedError, match=words):
        DialsIntegrator().integrate(frames, tmp_path)


def test_without_dials_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = series(tmp_path, np.ones((4, 16, 16), dtype=np.uint16), start=0.0, width=0.5)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ProgramNotFoundError, match="apt-get install dials"):
        DialsIntegrator().integrate(frames, tmp_path)


def test_irregular_tilts_are_not_papered_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins(tmp_path / "bin", monkeypatch, "exit 0")
    frames = series(tmp_path, np.ones((4, 16, 16), dtype=np.uint16), start=0.0, width=0.5)
    odd = tuple(
        frame.model_copy(update={"angle_deg": a, "width_deg": 0.0})
        for frame, a in zip(frames.frames, (0.0, 1.0, 2.7, 6.1), strict=True)
    )
    with pytest.raises(NotIndexedError, match="equally spaced"):
        DialsIntegrator().integrate(frames.model_copy(update={"frames": odd}), tmp_path)
