"""Stacks of frames: mrcfile, tifffile and this project's own reader find every count, the .mdoc every tilt."""

import re
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile

from adapters.formats.frame_reader import FrameFileReader
from adapters.formats.frame_stacks_writer import write_mrc_stack, write_tiff_stack
from adapters.programs.export_frames import export_stacks
from tasks.frames.models import Frame, FrameSeries
from tasks.frames.stack import write_stack
from tasks.model import Beam, Detector, SourceError
from tasks.model.provenance import Provenance

SHAPE = (19, 23)
ANGLES = (-60.0, -58.75, -1.0, 0.1, 60.123456)


def series_of(folder: Path, *, largest: int = 900, width: float = 0.0) -> FrameSeries:
    images = np.random.default_rng(2).poisson(3.0, (len(ANGLES), *SHAPE)).astype(np.uint32)
    images[1, 4, 7] = largest
    mask = np.ones(SHAPE, dtype=bool)
    mask[3] = False
    return FrameSeries(
        id="crystal-01",
        sample="test",
        composition=None,
        beam=Beam(energy_kev=200),
        detector=Detector(name="camera", shape_px=SHAPE, pixel_size_mm=0.055, camera_length_mm=436.123456),
        direct_beam_px=(9.25, 11.5),
        rotation_axis=(0.8, -0.6, 0.0),
        frames=tuple(Frame(number=i, angle_deg=a, width_deg=width, counts=1.0) for i, a in enumerate(ANGLES)),
        stack=write_stack(folder / "stack.h5", images, count=len(ANGLES), mask=mask, dtype=np.uint32),
        provenance=Provenance(engine="test", version="0"),
    )


def sections_of(path: Path) -> list[dict[str, str]]:
    """Return the keys of each section of an .mdoc file, as the text says."""
    parts = re.split(r"^\[ZValue = (\d+)\]$", path.read_text(), flags=re.MULTILINE)
    assert parts[1::2] == [str(number) for number in range(len(parts) // 2)]
    return [dict(line.split(" = ") for line in part.strip().splitlines()) for part in parts[2::2]]


@pytest.mark.parametrize(("largest", "mode"), [(900, 6), (65535, 6), (65536, 2), (2**24 - 1, 2)])
def test_an_mrc_stack_holds_every_count(tmp_path: Path, largest: int, mode: int) -> None:
    series = series_of(tmp_path, largest=largest)
    write_mrc_stack(series, tmp_path / "a.mrc")
    with mrcfile.open(tmp_path / "a.mrc") as file:
        assert int(file.header.mode) == mode
        assert file.is_image_stack()
        np.testing.assert_array_equal(file.data, series.images)
    assert mrcfile.validate(tmp_path / "a.mrc")
    np.testing.assert_array_equal(FrameFileReader().read(tmp_path / "a.mrc", shape=SHAPE).images, series.images)


@pytest.mark.parametrize(("largest", "kind"), [(65535, np.uint16), (2**32 - 1, np.uint32)])
def test_a_tiff_stack_holds_every_count(tmp_path: Path, largest: int, kind: type) -> None:
    series = series_of(tmp_path, largest=largest)
    write_tiff_stack(series, tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert len(file.pages) == len(ANGLES)
        found = file.asarray()
    assert found.dtype == kind
    np.testing.assert_array_equal(found, series.images)
    np.testing.assert_array_equal(FrameFileReader().read(tmp_path / "a.tif", shape=SHAPE).images, series.images)


def test_counts_that_mrc_would_round_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not fit into MRC exactly"):
        write_mrc_stack(series_of(tmp_path, largest=2**24 + 1), tmp_path / "a.mrc")


@pytest.mark.parametrize("width", [0.0, 0.25])
def test_every_section_has_its_tilt(tmp_path: Path, width: float) -> None:
    export_stacks(series_of(tmp_path, width=width), tmp_path / "out", axis=(-0.8, 0.6, 0.0))
    for name in ("crystal-01.mrc.mdoc", "crystal-01.tif.mdoc"):
        sections = sections_of(tmp_path / "out" / name)
        assert [float(one["TiltAngle"]) for one in sections] == [angle + width / 2 for angle in ANGLES]
        assert [float(one.get("RotationDuringExposure", 0)) for one in sections] == [width] * len(ANGLES)
        text = (tmp_path / "out" / name).read_text()
        assert f"ImageSize = {SHAPE[1]} {SHAPE[0]}" in text
        assert "rotation axis -0.8 0.6 0" in text
        assert "camera length 436.123456 mm, pixel 0.055 mm" in text
    mask = tifffile.imread(tmp_path / "out" / "mask.tif")
    assert np.flatnonzero(mask.any(axis=1)).tolist() == [3]


def test_equal_series_give_equal_bytes(tmp_path: Path) -> None:
    series = series_of(tmp_path)
    for name in ("one", "two"):
        export_stacks(series, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
