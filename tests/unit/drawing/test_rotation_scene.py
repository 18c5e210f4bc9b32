"""A rotation series for looking: electrons frame by frame, what all have in common, memory that stays bounded."""

from pathlib import Path

import numpy as np
import pytest

from tasks.drawing import PredictedSpots, RotationFrame, RotationScene, largest_of, shaded
from tasks.ingest import RotationSeriesManifest, load_manifest
from tasks.model import SourceError
from tests.synthetic.rotation_folder import SHAPE, rotation_folder


class Frames:
    """Frames in memory that count how often they are read; those of `lost` cannot be."""

    def __init__(self, number: int, *, lost: tuple[int, ...] = ()) -> None:
        self.images = np.random.default_rng(0).poisson(20.0, (number, *SHAPE)).astype(np.float64)
        self.reads = 0
        self.lost = lost

    def __call__(self, index: int) -> np.ndarray:
        self.reads += 1
        if index in self.lost:
            raise SourceError(f"frame {index} is damaged")
        return self.images[index]


def scene_of(
    tmp_path: Path, frames: Frames, *, gain: float = 1.0, pedestal: float = 0.0, **more: object
) -> RotationScene:
    manifest = load_manifest(rotation_folder(tmp_path / "s", frames=1, gain=gain, pedestal=pedestal))
    assert isinstance(manifest, RotationSeriesManifest)
    known = tuple(RotationFrame(index, 0.25 * index, f"{index}") for index in range(len(frames.images)))
    return RotationScene(manifest, known, frames, not_used=np.zeros(SHAPE, dtype=bool), **more)


def test_frames_are_electrons_by_gain_and_pedestal(tmp_path: Path) -> None:
    frames = Frames(3)
    scene = scene_of(tmp_path, frames, gain=4.0, pedestal=6.0)
    np.testing.assert_allclose(scene.frame(1), (frames.images[1] - 6.0) / 4.0, rtol=1e-6)


def test_only_a_few_frames_stay_open_and_those_are_read_once(tmp_path: Path) -> None:
    frames = Frames(6)
    scene = scene_of(tmp_path, frames, open_frames=2)
    for index in (0, 1, 0, 1):
        scene.frame(index)
    assert frames.reads == 2
    scene.frame(2)
    scene.frame(1)
    assert frames.reads == 3
    scene.frame(0)
    assert frames.reads == 4


def test_what_all_frames_have_in_common_is_that_of_numpy(tmp_path: Path) -> None:
    frames = Frames(5)
    frames.images[2, 3, 4] = np.nan
    frames.images[:, 0, 0] = np.nan
    scene = scene_of(tmp_path, frames)
    assert np.isnan(scene.counts).all()
    found = scene.over_all()
    known = frames.images[:, 1:]
    np.testing.assert_allclose(found.mean[1:], np.nanmean(known, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(found.maximum[1:], np.nanmax(known, axis=0).astype(np.float32))
    np.testing.assert_array_equal(found.minimum[1:], np.nanmin(known, axis=0).astype(np.float32))
    assert all(np.isnan(image[0, 0]) for image in found[:3])
    np.testing.assert_allclose(scene.counts, np.nansum(frames.images, axis=(1, 2)))
    assert scene.image(0, "maximum") is found.maximum
    assert frames.reads == 5


def test_a_frame_that_cannot_be_read_is_a_gap(tmp_path: Path) -> None:
    frames = Frames(4, lost=(2,))
    scene = scene_of(tmp_path, frames)
    with pytest.raises(SourceError, match="damaged"):
        scene.frame(2)
    np.testing.assert_allclose(scene.over_all().mean, frames.images[[0, 1, 3]].mean(axis=0), rtol=1e-6)
    assert np.isnan(scene.counts).tolist() == [False, False, True, False]
    with pytest.raises(SourceError, match="4 frames"):
        scene.frame(4)


def test_spots_are_those_of_one_frame() -> None:
    spots = PredictedSpots(np.array([0, 2, 2]), np.arange(6.0).reshape(3, 2), np.eye(3, dtype=np.int32))
    assert spots.on(2).px.tolist() == [[2.0, 3.0], [4.0, 5.0]]
    assert spots.on(1).hkl.shape == (0, 3)


@pytest.mark.parametrize("stretch", ["log", "sqrt", "linear"])
def test_brighter_pixels_are_never_darker_on_the_screen(stretch: str) -> None:
    image = np.random.default_rng(0).gamma(1.0, 30.0, (40, 50)).astype(np.float32)
    shade = shaded(image, stretch)
    order = np.argsort(image, axis=None)
    assert (np.diff(shade.ravel()[order].astype(int)) >= 0).all()
    assert shade.max() == 255


def test_what_was_not_measured_is_black_and_a_dark_frame_stays_dark() -> None:
    image = np.array([[np.nan, -3.0], [0.0, 7.0]], dtype=np.float32)
    assert shaded(image, "log").tolist() == [[0, 0], [0, 255]]
    assert not shaded(np.zeros((3, 3), dtype=np.float32), "linear").any()


def test_binning_loses_no_masked_pixel() -> None:
    mask = np.zeros((5, 7), dtype=np.uint8)
    mask[4, 6] = 1
    small = largest_of(mask, 3)
    assert small.shape == (2, 3)
    assert small[1, 2] == 1
    assert small.sum() == 1
