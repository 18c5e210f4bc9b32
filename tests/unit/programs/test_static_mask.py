"""What programs are told of pixels that were not measured: one mask for all frames, values below all others in some."""

from pathlib import Path

import fabio
import numpy as np

from adapters.formats.cbf import unmeasured_value, write_cbf
from adapters.programs.dials.commands import import_argv, mask_phil
from adapters.programs.static_mask import static_mask
from adapters.programs.xds.input import XdsChoices, image_grid, xds_inp
from tasks.frames import FrameMasks
from tasks.frames.models import FrameSeries
from tasks.frames.stack import write_stack
from tests.synthetic.bare_frames import frames_at

SHAPE = (512, 512)


def series_of(folder: Path, masks: FrameMasks, *, pedestal: float = 0.0) -> FrameSeries:
    images = np.random.default_rng(1).poisson(3.0, (len(masks.of_frame), *SHAPE)).astype(np.uint16) + round(pedestal)
    path = folder / "stack.h5"
    different = (masks.different, masks.of_frame) if len(masks.different) > 1 else None
    every = masks.different.all(axis=0)
    stack = write_stack(path, images, count=len(images), mask=every, dtype=np.uint16, masks=different)
    tilts = np.arange(len(images), dtype=float)
    return frames_at(tilts, stack).model_copy(update={"pedestal": pedestal})


def masks_of(frames: int, dead_in: list[int]) -> FrameMasks:
    """A column that is dead always, a band of rows that is dead in some frames."""
    always = np.ones(SHAPE, dtype=bool)
    always[:, 100] = False
    some = always.copy()
    some[200:240] = False
    return FrameMasks(np.array([always, some]), np.isin(np.arange(frames), dead_in).astype(np.int64))


def test_what_is_masked_in_most_frames_is_masked_for_all() -> None:
    often, seldom = static_mask(masks_of(9, [0, 1, 2, 3, 4])), static_mask(masks_of(9, [2, 5, 8]))
    assert not often[:, 100].any()
    assert not seldom[:, 100].any()
    assert not often[200:240].any()
    assert seldom[200:240, :100].all()
    assert "rectangle = 0 512 200 240" in mask_phil(often)


def test_pixels_that_were_not_measured_lie_below_what_the_programs_trust(tmp_path: Path) -> None:
    for pedestal in (0.0, 8.0):
        folder = tmp_path / f"p{pedestal:g}"
        folder.mkdir()
        masks = masks_of(9, [2, 5, 8])
        series = series_of(folder, masks, pedestal=pedestal)
        np.testing.assert_array_equal(series.masks.of_frame, masks.of_frame)
        paths = write_cbf(series, folder)
        (argument,) = [text for text in import_argv(series, ["x"]) if text.startswith("panel.trusted_range=")]
        trusted = float(argument.partition("=")[2].partition(",")[0])
        (line,) = [
            text
            for text in xds_inp(series, image_grid(series), XdsChoices("ALL", 0.8, 20.0, 0.25), template="x").split(
                "\n"
            )
            if text.startswith("MINIMUM_VALID_PIXEL_VALUE=")
        ]
        for number, path in enumerate(paths):
            with fabio.open(path) as image:
                below = image.data == unmeasured_value(series)
                np.testing.assert_array_equal(below, ~masks.valid_in(number))
                assert (image.data[~below] >= -pedestal).all()
        assert unmeasured_value(series) < trusted
        assert unmeasured_value(series) < int(line.partition("=")[2])


def test_frames_that_do_not_differ_are_written_as_ever(tmp_path: Path) -> None:
    alike = FrameMasks(masks_of(5, []).different[:1], np.zeros(5, dtype=np.int64))
    series = series_of(tmp_path, alike)
    assert series.masks.different.shape == (1, *SHAPE)
    for path, pixels in zip(write_cbf(series, tmp_path), series.images, strict=True):
        with fabio.open(path) as image:
            np.testing.assert_array_equal(image.data, pixels)
