"""Rotation series: every format, gaps, wandering beams, odd pixels, damaged files."""

import json
from pathlib import Path

import fabio
import mrcfile
import numpy as np
import pytest
import tifffile

from adapters.formats.cbf import write_cbf
from adapters.formats.frame_reader import FrameFileReader
from tasks.frames.models import FrameSeries
from tasks.frames.settings import FrameSettings
from tasks.frames.sweeps import partition
from tasks.frames.task import read_rotation
from tasks.ingest import listed_files
from tasks.ingest.source import read_source
from tasks.model import SourceError
from tests.synthetic.nexus_master import write_master

SHAPE = (48, 52)
CENTRE = (23.3, 26.8)


def image(seed: int, centre: tuple[float, float] = CENTRE, *, beam: float = 800.0) -> np.ndarray:
    rows, columns = np.indices(SHAPE)
    mean = 1.0 + beam * np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / (2 * 1.5**2))
    return np.random.default_rng(seed).poisson(mean).astype(np.uint16)


def manifest(folder: Path, pattern: str, *, width: float = 0.25, **detector: object) -> Path:
    content = {
        "format": "rotation series", "version": 1, "sample": "test", "composition": None,
        "beam": {"energy_kev": 200.0},
        "detector": {"name": "d", "shape_px": list(SHAPE), "pixel_size_mm": 0.055, "camera_length_mm": 436.1,
                     "direct_beam_px": [24.0, 26.0], "gain": 1.0, "pedestal": 0.0, "saturation": 65535.0, **detector},
        "rotation_axis": [0.6, 0.8, 0.0],
        "oscillation": {"start_deg": -10.0, "width_deg": width},
        "files": pattern,
    }  # fmt: skip
    (folder / "rotation_series.json").write_text(json.dumps(content))
    return folder


def read(folder: Path, **settings: object) -> FrameSeries:
    work = folder.parent / f"{folder.name}-work"
    return read_rotation(read_source(folder), FrameFileReader(), FrameSettings(**settings), work)


def tiffs(folder: Path, images: list[np.ndarray], numbers: list[int] | None = None) -> Path:
    folder.mkdir()
    for number, pixels in zip(numbers or range(1, len(images) + 1), images, strict=True):
        tifffile.imwrite(folder / f"f_{number:04d}.tif", pixels)
    return folder


def write_format(folder: Path, images: list[np.ndarray], kind: str) -> str:
    """Write the images by a library that is not the one that reads, where there is one; return the glob."""
    for number, pixels in enumerate(images, 1):
        path = folder / f"f_{number:04d}.{kind}"
        if kind == "tif":
            tifffile.imwrite(path, pixels)
        elif kind == "mrc":
            with mrcfile.new(path) as file:
                file.set_data(pixels)
        elif kind == "cbf":
            fabio.cbfimage.CbfImage(data=pixels.astype(np.int32), header={}).write(str(path))
        elif kind == "img":
            head = (
                f"DIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\nSIZE1={SHAPE[1]};\nSIZE2={SHAPE[0]};\n}}\n"
            )
            path.write_bytes(f"{{\nHEADER_BYTES=  512;\n{head}".ljust(512).encode() + pixels.astype("<u2").tobytes())
    return f"*.{kind}"


@pytest.mark.parametrize("kind", ["tif", "mrc", "cbf", "img"])
def test_every_format_gives_every_pixel(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    images = [image(seed) for seed in range(6)]
    series = read(manifest(folder, write_format(folder, images, kind)))

    np.testing.assert_array_equal(series.images, images)
    assert series.mask.all()
    assert [frame.angle_deg for frame in series.frames] == pytest.approx([-10 + 0.25 * k for k in range(6)])
    assert {frame.width_deg for frame in series.frames} == {0.25}
    assert series.direct_beam_px == pytest.approx(CENTRE, abs=0.2)
    assert [frame.counts for frame in series.frames] == [float(pixels.sum()) for pixels in images]
    assert not series.is_still


@pytest.mark.parametrize("kind", ["tif", "mrc"])
def test_a_stack_in_one_file_is_a_series(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    images = np.stack([image(seed) for seed in range(6)])
    if kind == "tif":
        tifffile.imwrite(folder / "stack.tif", images)
    else:
        with mrcfile.new(folder / "stack.mrc") as file:
            file.set_data(images)
    series = read(manifest(folder, f"*.{kind}", width=-0.25))
    np.testing.assert_array_equal(series.images, images[::-1])
    assert [frame.number for frame in series.frames] == [5, 4, 3, 2, 1, 0]


def test_what_was_written_for_dials_is_read_again(tmp_path: Path) -> None:
    first = read(manifest(tiffs(tmp_path / "a", [image(seed) for seed in range(6)]), "*.tif"))
    (tmp_path / "b").mkdir()
    write_cbf(first, tmp_path / "b")
    second = read(manifest(tmp_path / "b", "crystal-01_01_*"))
    np.testing.assert_array_equal(second.images, first.images)
    assert [f.counts for f in second.frames] == [f.counts for f in first.frames]
    assert [f.angle_deg for f in second.frames] == [f.angle_deg for f in first.frames]


def test_a_gap_in_the_numbers_is_a_gap_in_the_rotation(tmp_path: Path) -> None:
    numbers = [3, 4, 5, 9, 10, 11]
    series = read(manifest(tiffs(tmp_path / "s", [image(n) for n in numbers], numbers), "*.tif"))
    assert [frame.number for frame in series.frames] == numbers
    assert [frame.angle_deg for frame in series.frames] == pytest.approx([-10 + 0.25 * (n - 3) for n in numbers])
    assert [(s.start_deg, len(s.indices)) for s in partition(series)] == [(-10.0, 3), (-8.5, 3)]


def test_a_rotation_the_other_way_is_sorted_by_angle(tmp_path: Path) -> None:
    images = [image(seed) for seed in range(6)]
    series = read(manifest(tiffs(tmp_path / "s", images), "*.tif", width=-0.25))
    assert [frame.angle_deg for frame in series.frames] == pytest.approx([-11.5, -11.25, -11.0, -10.75, -10.5, -10.25])
    assert [frame.number for frame in series.frames] == [6, 5, 4, 3, 2, 1]
    np.testing.assert_array_equal(series.images, images[::-1])


def test_a_wandering_beam_is_brought_to_one_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    centres = np.array(CENTRE) + rng.uniform(-4, 4, (8, 2))
    images = [image(k, tuple(centre)) for k, centre in enumerate(centres)]
    series = read(manifest(tiffs(tmp_path / "s", images), "*.tif"))

    assert any("wanders" in warning for warning in series.warnings)
    stack, mask = series.images, series.mask
    assert stack.shape[1:] == series.detector.shape_px == mask.shape
    assert [int(frame.sum()) for frame in stack] == [int(pixels.sum()) for pixels in images]
    assert 0 < mask.sum() < SHAPE[0] * SHAPE[1]
    for frame, pixels in zip(series.frames, stack, strict=True):
        top = np.unravel_index(np.argmax(pixels), pixels.shape)
        assert np.abs(np.array(top) - series.direct_beam_px).max() < 2.0
        assert np.abs(frame.beam_residual_px).max() <= 0.5


def test_the_manifests_beam_can_be_trusted(tmp_path: Path) -> None:
    images = [image(seed, (20.0, 20.0)) for seed in range(6)]
    series = read(manifest(tiffs(tmp_path / "s", images), "*.tif"), centring="manifest")
    assert series.direct_beam_px == (24.0, 26.0)
    np.testing.assert_array_equal(series.images, images)


def test_fractions_are_stored_times_sixteen_and_the_gain_follows(tmp_path: Path) -> None:
    images = [image(seed).astype(np.float32) + np.float32(0.25) for seed in range(6)]
    series = read(manifest(tiffs(tmp_path / "s", images), "*.tif", gain=2.0, saturation=1000.0))
    np.testing.assert_array_equal(series.images, np.array(images) * 16)
    assert (series.gain, series.saturation) == (32.0, 16000.0)
    assert series.frames[0].counts == pytest.approx(images[0].sum() / 2)
    assert any("times 16" in warning for warning in series.warnings)


def test_negative_noise_raises_the_pedestal(tmp_path: Path) -> None:
    images = [image(seed).astype(np.int32) - 3 for seed in range(6)]
    series = read(manifest(tiffs(tmp_path / "s", images), "*.tif", pedestal=-3.0, saturation=1000.0))
    np.testing.assert_array_equal(series.images, np.array(images) + 3)
    assert (series.pedestal, series.saturation) == (0.0, 1003.0)
    assert series.frames[0].counts == float(image(0).sum())


def test_pixels_that_are_never_valid_are_masked(tmp_path: Path) -> None:
    images = [image(seed).astype(np.float64) for seed in range(6)]
    for pixels in images:
        pixels[3, :] = -2
        pixels[4, 5] = np.nan
    series = read(manifest(tiffs(tmp_path / "s", images), "*.tif"))
    mask = series.mask
    assert not mask[3].any()
    assert not mask[4, 5]
    assert mask.sum() == SHAPE[0] * SHAPE[1] - SHAPE[1] - 1
    assert series.pedestal == 0
    assert series.gain == 1


def test_hot_pixels_are_masked_and_reflections_are_not(tmp_path: Path) -> None:
    images = [image(seed) for seed in range(8)]
    for k, pixels in enumerate(images):
        pixels[40, 40] = 500
        pixels[8, 10:12] += 300 if k in {2, 3} else 0
    mask = read(manifest(tiffs(tmp_path / "s", images), "*.tif")).mask
    assert not mask[40, 40]
    assert (~mask).sum() == 1


def test_thirty_two_bit_pixels_are_kept(tmp_path: Path) -> None:
    images = [image(seed).astype(np.uint32) for seed in range(6)]
    images[2][7, 7] = 1_000_000
    series = read(manifest(tiffs(tmp_path / "s", images), "*.tif", saturation=None))
    np.testing.assert_array_equal(series.images, images)
    assert series.saturation is None


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "cannot be read"),
        (lambda path: path.write_text("not an image"), "cannot be read"),
        (lambda path: tifffile.imwrite(path, np.zeros((4, 5), np.uint16)), "an image of"),
        (lambda path: tifffile.imwrite(path, np.stack([image(0)] * 2)), "holds 2 images"),
    ],
    ids=["truncated", "text", "shape", "stack"],
)
def test_a_damaged_frame_is_a_gap_that_is_named(tmp_path: Path, damage, reason: str) -> None:
    folder = manifest(tiffs(tmp_path / "s", [image(seed) for seed in range(8)]), "*.tif")
    damage(folder / "f_0003.tif")
    series = read(folder)
    assert [frame.number for frame in series.frames] == [1, 2, 4, 5, 6, 7, 8]
    (warning,) = series.warnings
    assert "1 files cannot be read: f_0003.tif" in warning
    assert reason in warning


def test_too_few_readable_frames_stop_the_run(tmp_path: Path) -> None:
    folder = manifest(tiffs(tmp_path / "s", [np.zeros((5, 6), np.uint16)] * 8), "*.tif")
    with pytest.raises(SourceError, match=r"0 readable frames(.|\n)*detector.shape_px says \(48, 52\)"):
        read(folder)


def test_frames_without_a_beam_use_the_manifests(tmp_path: Path) -> None:
    images = [image(seed, beam=0.0) for seed in range(6)]
    series = read(manifest(tiffs(tmp_path / "a", images), "*.tif"))
    assert series.direct_beam_px == (24.0, 26.0)
    assert any("not measured on 6 of 6" in warning for warning in series.warnings)
    with pytest.raises(SourceError, match="direct beam is not seen"):
        read(manifest(tiffs(tmp_path / "b", images), "*.tif", direct_beam_px=None))


def master(folder: Path, **options: object) -> Path:
    folder.mkdir()
    frames = np.stack([image(seed) for seed in range(8)]).astype(np.uint32)
    frames[:, 20:22, :] = 2**32 - 1  # a gap between chips, at the camera's mark
    frames[3, 5, 6] = 2**32 - 1  # one that overflowed on one frame
    mask = np.zeros(SHAPE, dtype=np.uint32)
    mask[40, 41] = 2
    return write_master(folder / "x_master.h5", frames, images_per_file=3, mask=mask, **options)


@pytest.mark.parametrize("pattern", ["x_master.h5", "*.h5"])
def test_a_master_and_its_data_files_are_one_stack(tmp_path: Path, pattern: str) -> None:
    folder = tmp_path / "source"
    geometry = {"distance_m": 0.44, "pixel_m": 55e-6, "beam_slow": 24.0, "beam_fast": 40.0}
    master(folder, omega_width_deg=0.25, geometry=geometry)
    series = read(manifest(folder, pattern, saturation=40000.0))
    assert [frame.number for frame in series.frames] == list(range(8))
    assert not series.mask[20:22].any()
    assert not series.mask[40, 41]
    assert series.mask[5, 6]  # an overload, not a dead pixel
    said = "\n".join(series.warnings)
    assert "detector.camera_length_mm is 436.1 in the manifest, the files say 440 (+0.9%): which is right?" in said
    assert (
        "detector.direct_beam_px[1] is 26 in the manifest, the files say 39.5 (+13.5 px)" in said
    )  # written from the corner
    assert "oscillation" not in said
    assert "beam.energy_kev" not in said
    names = {path.name for path in listed_files(folder)}
    assert names == {"rotation_series.json", "x_master.h5", *(f"x_data_{number:06d}.h5" for number in (1, 2, 3))}
    assert {name for name in series.provenance.inputs if name.startswith("x_")} == names - {"rotation_series.json"}


def test_a_folder_that_counts_as_one_file_is_hashed_by_what_it_holds(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    (folder / "a.zspy" / "deep").mkdir(parents=True)
    (folder / "a.zspy" / "deep" / "0").write_bytes(b"chunk")
    manifest(folder, "*.zspy")
    (file,) = read_source(folder).files
    assert {path.name for path in listed_files(folder)} == {"rotation_series.json", "0"}
    (folder / "a.zspy" / "deep" / "0").write_bytes(b"other")
    (changed,) = read_source(folder).files
    assert file.data is not None
    assert changed.data is not None
    assert file.data.sha256 != changed.data.sha256
    (folder / "a.zspy" / "deep" / "1").symlink_to(tmp_path)
    with pytest.raises(SourceError, match="outside the source folder"):
        read_source(folder)


def test_what_to_do_about_files_that_cannot_be_read_is_what_their_reader_says(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    master(folder)
    (folder / "x_data_000002.h5").unlink()
    with pytest.raises(SourceError, match=r"missing: x_data_000002\.h5") as told:
        read(manifest(folder, "x_master.h5"))
    assert told.value.advice == "copy them into the same folder"


def test_warnings_are_logged_for_who_runs_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "source"
    master(folder, geometry={"distance_m": 0.47})
    with caplog.at_level("WARNING", logger="apertura.frames"):
        series = read(manifest(folder, "x_master.h5", saturation=40000.0))
    assert {record.getMessage() for record in caplog.records} == {f"test: {text}" for text in series.warnings}
    assert any("the files say 470 (+7.8%)" in text for text in series.warnings)
