"""Real detector files: every pixel, the beam, the angles; the cinchonine series as a whole."""

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import fabio
import numpy as np
import pytest
import tifffile

from adapters.formats.cbf import write_cbf
from adapters.formats.frame_reader import FrameFileReader
from tasks.frames.models import FrameSeries
from tasks.frames.settings import FrameSettings
from tasks.frames.stack import each_frame
from tasks.frames.sweeps import partition
from tasks.frames.task import read_rotation
from tasks.ingest.source import read_source
from tasks.model import SourceError
from tests.synthetic.cinchonine_manifest import MANIFEST

pytestmark = pytest.mark.needs_shared


def unpack(archive: Path, folder: Path, *, every: int = 1) -> list[Path]:
    """Unpack every n-th image of an archive, sorted by name; return their paths."""
    folder.mkdir(parents=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            name = Path(member.name).name
            digits = "".join(c for c in Path(name).stem if c.isdigit())
            if member.isfile() and digits and (int(digits) - ("corr" in archive.name)) % every == 0:
                stream = tar.extractfile(member)
                (folder / name).write_bytes(stream.read())
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def cinchonine(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[FrameSeries, list[Path]]:
    work = tmp_path_factory.mktemp("cinchonine")
    paths = unpack(shared_data / "cinchonine" / "diff_corr_405_tif.tar.xz", work / "source")
    (work / "source" / "rotation_series.json").write_text(json.dumps(MANIFEST))
    series = read_rotation(read_source(work / "source"), FrameFileReader(), FrameSettings(), work / "frames")
    return series, paths


def test_all_frames_of_cinchonine_are_read(cinchonine: tuple[FrameSeries, list[Path]]) -> None:
    series, paths = cinchonine
    assert len(series.frames) == len(paths) == 405
    assert [frame.number for frame in series.frames] == list(range(1, 406))
    assert series.frames[-1].angle_deg == pytest.approx(-50.46 + 404 * 0.2522, abs=1e-6)
    assert (series.gain, series.pedestal, series.saturation) == (16.0, 0.0, 65535.0)
    assert series.warnings == ()
    for path, frame, pixels in zip(paths, series.frames, each_frame(series.stack), strict=True):
        stored = tifffile.imread(path)
        np.testing.assert_array_equal(pixels, stored)
        assert frame.counts == pytest.approx(stored.sum() / 16)
    assert series.mask.all()
    (sweep,) = partition(series)
    assert sweep.exact
    assert (sweep.start_deg, sweep.step_deg) == (-50.46, 0.2522)


def test_the_beam_of_cinchonine_is_steady_and_near_that_of_its_authors(
    cinchonine: tuple[FrameSeries, list[Path]],
) -> None:
    series, _ = cinchonine
    beams = np.array([frame.beam_found_px for frame in series.frames])
    assert beams.std(axis=0).max() < 0.5  # the authors centred to whole pixels
    # XDS: DETECTOR COORDINATES (PIXELS) OF DIRECT BEAM 257.52 258.61, refined on the spots, counted from 1
    assert np.abs(np.array(series.direct_beam_px) - (257.61, 256.52)).max() < 2.5


def test_raw_and_centred_frames_differ_by_the_whole_pixels_of_their_authors(
    shared_data: Path, tmp_path: Path, cinchonine: tuple[FrameSeries, list[Path]]
) -> None:
    unpack(shared_data / "cinchonine" / "diff_raw_405_tiff.tar.xz", tmp_path / "raw", every=10)
    detector = {**MANIFEST["detector"], "gain": 1.0, "saturation": 4095.0, "direct_beam_px": None}
    content = {**MANIFEST, "detector": detector, "files": "*.tiff"}
    (tmp_path / "raw" / "rotation_series.json").write_text(json.dumps(content))

    raw = read_rotation(read_source(tmp_path / "raw"), FrameFileReader(), FrameSettings(), tmp_path / "frames")

    centred = {frame.number - 1: frame.beam_found_px for frame in cinchonine[0].frames}
    moved = np.array([np.subtract(frame.beam_found_px, centred[frame.number]) for frame in raw.frames])
    assert len(moved) == 41
    assert np.abs(moved - np.rint(moved)).max() < 0.1
    assert np.ptp(moved, axis=0).max() >= 2  # the beam did wander
    residual = np.array([frame.beam_residual_px for frame in raw.frames])
    assert np.abs(residual).max() <= 0.5


@pytest.mark.needs_dials
def test_dials_imports_cinchonine_as_one_sweep(cinchonine: tuple[FrameSeries, list[Path]], tmp_path: Path) -> None:
    program = shutil.which("dials.import")
    if program is None:
        pytest.skip("DIALS is not installed")
    series, _ = cinchonine
    paths = write_cbf(series, tmp_path)
    subprocess.run(
        [program, *map(str, paths), "output.experiments=i.expt"], cwd=tmp_path, check=True, timeout=300,
        capture_output=True,
    )  # fmt: skip
    models = json.loads((tmp_path / "i.expt").read_text())
    (scan,) = models["scan"]
    (panel,) = models["detector"][0]["panels"]
    assert scan["image_range"] == [1, 405]
    assert panel["trusted_range"][1] == 65535
    assert scan["oscillation"] == pytest.approx([-50.46, 0.2522], rel=1e-6)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("lysozyme_ED_timepix_frame438.cbf", (1032, 1032)),
        ("TIMEPIX_SU_512-stdgoni_0001.img", (512, 512)),
        ("simtbx_FormatSMVJHSim_001.img", (1024, 1024)),
        ("dxtbx_phi_scan_001.cbf", None),
    ],
)
def test_real_detector_files_are_read(shared_data: Path, name: str, shape: tuple[int, int] | None) -> None:
    path = shared_data / "frames" / name
    reference = fabio.open(path).data
    images = FrameFileReader().read(path, shape=shape or reference.shape).images
    assert images.shape == (1, *reference.shape)
    np.testing.assert_array_equal(images[0], reference)
    with pytest.raises(SourceError, match=r"detector.shape_px says \(7, 8\)"):
        FrameFileReader().read(path, shape=(7, 8))


def test_a_real_mib_frame_is_read(shared_data: Path) -> None:
    path = shared_data / "frames" / "skued_test.mib"
    stored = np.frombuffer(path.read_bytes()[384:], dtype=">u2").reshape(1, 256, 256)  # the row at the bottom first
    np.testing.assert_array_equal(FrameFileReader().read(path, shape=(256, 256)).images, stored[:, ::-1])
