"""Parts of the detector that are dead at some tilts cost observations and nothing else."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from tasks.frames.models import FrameSeries
from tasks.integrate.builtin import BuiltinIntegrator
from tasks.integrate.models import Reflections
from tasks.integrate.reflection_file import read_merged
from tasks.integrate.spots.images import load_images
from tasks.integrate.spots.spot_search import SpotFinder, find_spots, radii_px
from tasks.model import FileRef
from tests.synthetic.frame_series import synthetic_frame_series
from tests.synthetic.structures import forsterite

DEAD = (slice(300, 420), slice(None))


def with_dead_part(series: FrameSeries, every: int, path: Path) -> FrameSeries:
    """Return the series with a band of rows dead in every so-manyth frame, and masked there."""
    with h5py.File(series.stack.path) as old, h5py.File(path, "w") as file:
        frames, half, mask = (np.asarray(old[name]) for name in ("frames", "half", "mask"))
        other = mask.copy()
        other[DEAD] = False
        of_frame = (np.arange(len(frames)) % every == 0).astype(np.int32)
        frames[of_frame == 1] *= other.astype(frames.dtype)
        half[of_frame == 1] *= other.astype(half.dtype)
        file["frames"], file["half"], file["mask"] = frames, half, mask & other
        file["masks"], file["mask_of_frame"] = np.array([mask, other]), of_frame
    return series.model_copy(update={"stack": FileRef.of(path)})


def integrated(series: FrameSeries, folder: Path) -> Reflections:
    folder.mkdir()
    return BuiltinIntegrator(d_min_angstrom=0.9).integrate(series, folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("masked")
    return synthetic_frame_series(forsterite(), np.arange(-30.0, 30.1, 1.0), folder, seed=21).series, folder


def test_intensities_are_those_of_whole_frames_and_their_number_is_less(made) -> None:
    series, folder = made
    whole = integrated(series, folder / "whole")
    part = integrated(with_dead_part(series, 3, folder / "part.h5"), folder / "parts")
    assert part.laue_group == whole.laue_group
    assert part.unit_cell.parameters == pytest.approx(whole.unit_cell.parameters, rel=1e-3)
    assert 0.85 * whole.overall.observations < part.overall.observations < whole.overall.observations
    assert part.overall.cc_half == pytest.approx(whole.overall.cc_half, abs=0.01)
    one, other = read_merged(whole.merged), read_merged(part.merged)
    index = {tuple(hkl): row for row, hkl in enumerate(one.hkl.tolist())}
    pairs = [(index[key], row) for row, key in enumerate(map(tuple, other.hkl.tolist())) if key in index]
    here, there = np.array(pairs).T
    strong = one.intensity[here] > 20 * one.sigma[here]
    ratio = other.intensity[there][strong] / one.intensity[here][strong]
    assert strong.sum() > 30
    assert np.median(np.abs(ratio / np.median(ratio) - 1.0)) < 0.03


def test_no_spot_is_found_on_what_is_masked_and_the_background_knows_no_gap(made) -> None:
    series, folder = made
    images = load_images(with_dead_part(series, 2, folder / "half.h5"))
    assert images.valid.all()
    np.testing.assert_array_equal(
        images.valid_in(0), ~np.isin(np.arange(576), np.arange(300, 420))[:, None] | ~images.valid
    )
    assert images.valid_in(1).all()
    whole = load_images(series)
    beside = images.mean[DEAD].mean() / whole.mean[DEAD].mean()
    assert beside == pytest.approx(1.0, abs=0.1)  # a mean of what was measured, not of zeros


def test_a_spot_of_which_a_part_is_masked_does_not_tell_its_place() -> None:
    image = np.zeros((64, 64), dtype=np.float32)
    grid = np.indices(image.shape)
    for row in (20, 40):
        image += 400.0 * np.exp(-0.5 * ((grid[0] - row) ** 2 + (grid[1] - 30) ** 2) / 1.5**2).astype(np.float32)
    valid = np.ones(image.shape, dtype=bool)
    valid[40:] = False
    finder = SpotFinder(threshold=5.0, radius=4.0, inner_radius=1.0)
    radius = radii_px(image.shape, np.array([2.0, 2.0]))
    found = find_spots(image, valid, np.full_like(image, 0.1), radius=radius, finder=finder)
    assert found.px.round(1).tolist() == [[20.0, 30.0]]
