"""Arrays on disk in place of memory, any number of threads, and fields of many tiles."""

import gc

import numpy as np
import pytest
from scipy.sparse import random as random_sparse

from tasks.apertures import at_once
from tasks.apertures.automatic import AutomaticApertures
from tasks.apertures.factorise import ROWS, Factors, factorise
from tasks.apertures.geometry import tilt_geometry
from tasks.apertures.masks import outline_of
from tasks.apertures.packed import packed
from tasks.apertures.pattern import BraggSpots, beside_beam
from tasks.apertures.register import register
from tasks.apertures.segmented import segment_series
from tasks.apertures.shelf import SCANS, Shelf, shelf_in
from tasks.apertures.tiles import (
    TileRegion,
    joined_in_size,
    tile_sizes,
    tiles_of,
    with_larger,
    without_coincidences,
    without_tails,
)
from tasks.apertures.window import Window
from tasks.events.scan_beam import DirectBeam
from tests.synthetic.diffracting_cluster import Cluster, write_cluster

SMALL = Cluster(seed=4, crystals=2, scan=(24, 24), detector=(128, 128), pixel_size_mm=0.045, tilts=(0.0, 1.0, 2.0))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return write_cluster(SMALL, tmp_path_factory.mktemp("small"))[0]


def test_what_is_laid_down_comes_back_and_its_file_goes_with_it(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([True, False])}
    laid = Shelf(tmp_path).lay(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(laid[name], array)
    assert len(list(tmp_path.iterdir())) == 1
    del laid
    gc.collect()
    assert not list(tmp_path.iterdir())


def _lay_and_break_off(workdir):
    with shelf_in(workdir) as shelf:
        held = shelf.lay({"a": np.zeros(3)})
        raise RuntimeError(f"broke off with {held.names} in {len(list((workdir / SCANS).iterdir()))} file")


def test_a_stage_that_breaks_off_leaves_none_of_its_arrays(tmp_path):
    with pytest.raises(RuntimeError, match="in 1 file"):
        _lay_and_break_off(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_segmentation_in_files_is_that_in_memory(small, tmp_path):
    with shelf_in(tmp_path) as shelf:
        stored = segment_series(small, AutomaticApertures(), shelf=shelf)
        for one, other in zip(stored, segment_series(small, AutomaticApertures()), strict=True):
            assert (one.counts != other.counts).nnz == 0
            assert (one.chosen_half != other.chosen_half).nnz == 0
            assert 0 < one.chosen_half.sum() < one.counts.sum()
            for name in ("weights", "patterns", "amplitude", "good"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
            for name in one.map_names:
                np.testing.assert_array_equal(one.map_of(name), other.map_of(name))


def test_masks_that_are_packed_are_the_same():
    mask = np.zeros((9, 13), dtype=bool)
    assert not packed(mask).mask().any()
    mask[2:5, 3:12] = np.random.default_rng(0).random((3, 9)) > 0.4
    one = packed(mask)
    np.testing.assert_array_equal(one.mask(), mask)
    assert one.positions == mask.sum()


def test_any_number_of_threads_gives_the_same_bits(small, monkeypatch):
    counts = random_sparse(2 * ROWS + 5, 12, density=0.05, format="csr", random_state=1)
    counts.data = np.ceil(5 * counts.data)
    rng = np.random.default_rng(2)
    start = Factors(rng.random((counts.shape[0], 3)), np.full((3, 12), 1 / 12) * rng.uniform(0.5, 1.5, (3, 12)))
    flat, found = np.full(counts.shape[0], 1.0 / counts.shape[0]), []
    tilts = np.array([scan.tilt_deg for scan in small.scans])
    for threads in (1, 2, 4):
        monkeypatch.setattr(at_once, "threads", lambda number=threads: number)
        fitted = factorise(counts, flat, np.ones(12), start=start, iterations=3)
        segmented = segment_series(small, AutomaticApertures())
        registered = register(segmented, tilts, geometry=tilt_geometry(small))
        arrays = [*fitted, *(one.weights for one in segmented), *(one.patterns for one in segmented)]
        arrays += [registered.offsets, *(array for pair in registered.pairs.values() for array in pair)]
        found.append([array.tobytes() for array in arrays])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("shape", [(128, 128), (100, 300), (257, 65)])
def test_tiles_cover_a_field_and_the_last_size_is_all_of_it(shape):
    for size in tile_sizes(shape):
        covered = np.zeros(shape, dtype=int)
        for window in tiles_of(shape, size):
            covered[window.slices] += 1
        assert covered.min() >= 1
    assert len(tiles_of(shape, tile_sizes(shape)[-1])) == 1


def disc(window, centre, radius, pattern):
    slow, fast = np.mgrid[window.top : window.bottom, window.left : window.right]
    image = 20.0 * ((slow - centre[0]) ** 2 + (fast - centre[1]) ** 2 < radius**2)
    return TileRegion(window, image, np.array(pattern) / np.sum(pattern))


def test_what_two_tiles_show_of_one_crystal_is_joined_and_another_in_its_place_is_not():
    left, right = Window(0, 64, 0, 64), Window(0, 64, 48, 112)
    one = [disc(tile, (30, 56), 6, (3, 2, 1, 0)) for tile in (left, right)]
    other = disc(right, (30, 58), 6, (0, 0, 1, 6))
    joined = joined_in_size([*one, other])
    assert sorted(tuple(found.window) for found in joined) == [(0, 64, 0, 112), (0, 64, 48, 112)]


def test_a_larger_tile_adds_what_smaller_ones_do_not_know():
    tile, field = Window(0, 64, 0, 64), Window(0, 128, 0, 128)
    part = disc(tile, (40, 40), 12, (1, 1, 1, 0, 0))
    whole = disc(field, (40, 40), 20, (1, 1, 1, 0, 0))
    other = disc(field, (90, 90), 20, (0, 0, 0, 1, 1))
    assert [found.window for found in with_larger([part], [whole, other])] == [field, field]
    known = [disc(tile, (30, 30), 8, (1, 1, 0, 0, 0)), disc(tile, (30, 44), 8, (0, 0, 0, 1, 1))]
    mixture = disc(field, (30, 37), 14, (1, 1, 0, 1, 1))
    assert with_larger(known, [mixture]) == known


def test_spots_in_which_crystals_coincide_make_no_region():
    field = Window(0, 128, 0, 128)
    bright, there = disc(field, (40, 40), 15, (1, 1, 0)), disc(field, (90, 90), 6, (0, 1, 1))
    faint = disc(field, (42, 40), 8, (0, 0, 1))
    faint = faint._replace(image=0.05 * faint.image)
    kept = without_coincidences([bright, faint, there], (128, 128))
    assert [one is other for one, other in zip(kept, (bright, there), strict=True)] == [True, True]


def test_small_crystals_of_a_large_field_are_told_apart(tmp_path):
    """Seven to nine positions across, in a field whose dark-field images were once binned to four positions."""
    cluster = Cluster(
        seed=1, crystals=5, scan=(144, 144), detector=(192, 192), pixel_size_mm=0.03, tilts=(0.0,),
        radius=(3.5, 4.5), spread=30.0, electrons=(40.0, 40.0, 60.0),
    )  # fmt: skip
    series, truth = write_cluster(cluster, tmp_path)
    (found,) = segment_series(series, AutomaticApertures())
    outlines = [outline_of(region.within()) for region in found.regions]
    assert len(outlines) == 5
    for thickness in truth.thickness[0] > 0:
        best = 0.0
        for region, outline in zip(found.regions, outlines, strict=True):
            inside = thickness[region.window.slices] & outline
            best = max(best, inside.sum() / (thickness.sum() + outline.sum() - inside.sum()))
        assert best > 0.6


@pytest.mark.parametrize(
    ("pattern", "of_background", "tail"),
    [
        ((0.5, 0.35, 0.1, 0.05), 3.0, True),
        ((0.5, 0.35, 0.1, 0.05), 0.1, False),  # a large cell's first orders
        ((0.05, 0.0, 0.6, 0.35), 3.0, False),  # a weak crystal on much background
    ],
)
def test_a_region_is_the_beams_tail_if_its_spots_lie_beside_it_and_hold_mostly_background(
    pattern: tuple[float, ...], of_background: float, tail: bool
) -> None:
    image = np.zeros((32, 32))
    image[8:20, 8:20] = 50.0
    factors = Factors(np.stack([image.ravel(), image.ravel()], axis=1), np.array([pattern, (0.0, 0.0, 0.5, 0.5)]))
    beside = np.array([True, True, False, False])
    amplitude = np.full((32, 32), 1.0 / 1024)
    expected = np.full(4, 25.0 * 1024 * of_background)  # 50 at every position in the two beside the beam, times that
    kept = without_tails(factors, amplitude, expected, beside)
    assert kept.patterns.tolist() == factors.patterns[1 if tail else 0 :].tolist()
    assert kept.weights.shape == (1024, len(kept.patterns))


def test_spots_lie_beside_the_beam_within_two_of_its_radii() -> None:
    beam = DirectBeam(np.array([30.0, 30.0]), 1.0, seen=True)
    spots = BraggSpots(np.array([[30.0, 39.0], [43.0, 30.0], [30.0, 45.0], [60.0, 60.0]]), np.ones(4))
    assert beside_beam(beam, spots).tolist() == [True, True, False, False]
    assert beside_beam(beam._replace(window_px=5.0), spots).tolist() == [True, False, False, False]
