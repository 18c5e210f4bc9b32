"""Tilts at which a crystal hardly diffracts, and regions that are noise."""

import numpy as np

from tasks.apertures.automatic import trusted
from tasks.apertures.faint import fill_from_neighbours
from tasks.apertures.follow import prediction
from tasks.apertures.models import ApertureFigures, ApertureScores
from tasks.apertures.outlines import Outlines
from tasks.apertures.packed import TrackMasks, packed
from tests.synthetic.made_segmentation import made_segmentation

SHAPE = (20, 20)


def square(row, column, size=8):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[row : row + size, column : column + size] = True
    return mask


def series(offset, *, other):
    """Three scans of track 0, without a region of it in the second, which has one of track 1 at `other`."""
    clean = TrackMasks(2, 3, SHAPE)
    present = [{0: packed(square(4, 4))}, {}, {0: packed(square(4, 4))}]
    for scan in (0, 2):
        clean.put(0, scan, square(4, 4))
    if other is not None:
        clean.put(1, 1, square(*other))
        present[1] = {1: packed(square(*other))}
    outlines = [Outlines(one, {}, {}, ({}, {})) for one in present]
    scans = [made_segmentation(np.zeros((0, *SHAPE)))] * 3
    return clean, outlines, scans, np.array([[0.0, 0.0], offset, [0.0, 0.0]])


def test_a_crystal_is_where_the_scans_around_have_it():
    clean, outlines, scans, offsets = series((2.0, -1.0), other=(14, 14))
    fill_from_neighbours(clean, outlines, scans, offsets)
    assert np.array_equal(clean.get(0, 1), square(7, 4, size=6))


def test_positions_that_touch_another_crystal_are_left_out():
    clean, outlines, scans, offsets = series((0.0, 0.0), other=(10, 4))
    fill_from_neighbours(clean, outlines, scans, offsets)
    assert clean.get(0, 1).any()
    assert not clean.get(0, 1)[8:].any()


def test_a_scan_without_any_crystal_stays_a_gap():
    clean, outlines, scans, offsets = series((0.0, 0.0), other=None)
    fill_from_neighbours(clean, outlines, scans, offsets)
    assert not clean.positions[:, 1].any()


def test_a_faint_picture_is_predicted_from_more_scans_than_a_bright_one():
    bright, other = square(4, 4) * 100.0, square(10, 10) * 100.0
    offsets = np.zeros((4, 2))
    scenes = [{0: other}, {0: bright}, {}, {}]
    assert np.array_equal(prediction(scenes, 0, 2, offsets), bright)
    faint = [{number: image * 0.01 for number, image in scene.items()} for scene in scenes]
    predicted = prediction(faint, 0, 2, offsets)
    assert predicted[5, 5] > predicted[17, 17] > 0


def test_noise_that_is_pure_and_in_place_is_not_trusted():
    seen, confidence = np.ones(9, dtype=bool), np.full(9, 0.9)
    figures = ApertureFigures(bragg_electrons=100.0, purity=0.9, signal_to_noise=12.0)
    noise = figures.model_copy(update={"signal_to_noise": 3.8})
    assert trusted(seen, confidence, ApertureScores(clean=figures, all_positions=figures))
    assert not trusted(seen, confidence, ApertureScores(clean=noise, all_positions=figures))
    assert not trusted(seen, confidence - 0.3, ApertureScores(clean=figures, all_positions=figures))
