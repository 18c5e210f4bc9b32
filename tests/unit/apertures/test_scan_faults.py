"""Scans of which positions lie beside their places, or were not measured, against the truth of the forward model."""

import h5py
import numpy as np
import pytest

from tasks.apertures.aperture_file import read_apertures
from tasks.apertures.automatic import AutomaticApertures
from tasks.apertures.factorise import Factors
from tasks.apertures.holes import fill_holes
from tasks.apertures.places import identity, put_back_by, taken_back
from tasks.apertures.shifted_rows import scans_with_shifted_rows
from tasks.events.repeated import repeated_positions
from tasks.ingest import open_events
from tasks.simulate.demo_structure import uio66
from tasks.simulate.models import ClusterPlan, Instrument, SimulationSettings, TiltPlan
from tests.synthetic.aperture_scores import masks_of_set, score_apertures
from tests.synthetic.made_segmentation import made_segmentation
from tests.synthetic.scan_faults import rewritten, shifted, with_scan
from tests.synthetic.simulated_store import simulated_store

SHAPE = (32, 32)
SETTINGS = SimulationSettings(
    seed=11,
    tilts=TiltPlan(start_deg=-5, stop_deg=5, step_deg=1.25),
    cluster=ClusterPlan(crystals=2, size_nm=120, bad_fraction=0, drift_px=0.5),
    instrument=Instrument(scan_shape=SHAPE, shape_px=(256, 256), pixel_size_mm=0.0225),
)
EVERY_SECOND = np.arange(1, SHAPE[0], 2)


def pictured(image):
    return made_segmentation(np.maximum(image, 0.0)[None], bragg=image)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    series, truth = simulated_store(uio66(), SETTINGS, folder)
    return series, truth, AutomaticApertures().propose(series, folder)


@pytest.mark.parametrize("rows", [slice(18, None), slice(12, 24), slice(0, None, 2)])
@pytest.mark.parametrize("columns", [-6, 3])
def test_shifted_rows_are_found_with_their_columns_and_no_other_scan_is_called_so(rows, columns):
    rng = np.random.default_rng(1)
    slow, fast = np.indices((36, 36))
    shape = ((slow - 18) ** 2 + (fast - 14) ** 2 < 90) | ((slow - 20) ** 2 + (fast - 25) ** 2 < 20)
    images = [rng.poisson(3.0 + 25.0 * shape * rng.uniform(0.3, 1.5)) - 3.0 for _ in range(9)]
    images[4][rows] = np.roll(images[4][rows], -columns, axis=1)
    found = scans_with_shifted_rows([pictured(image) for image in images], np.zeros((9, 2)))
    assert [one.scan for one in found] == [4]
    lit = shape.any(axis=1)
    true = np.zeros(36, dtype=int)
    true[rows] = columns
    assert len(set((found[0].shift - true)[lit].tolist())) == 1


@pytest.mark.parametrize("first", [17, 25])
def test_two_dropped_frames_are_a_shift_that_begins_within_the_scan(first):
    rng = np.random.default_rng(5)
    slow, fast = np.indices((40, 40))
    shape = ((slow - 18) ** 2 + (fast - 15) ** 2 < 150) | ((slow - 27) ** 2 + (fast - 27) ** 2 < 60)
    images = [rng.poisson(3.0 + 25.0 * shape * rng.uniform(0.3, 1.5)) - 3.0 for _ in range(9)]
    images[6][first:] = np.roll(images[6][first:], -2, axis=1)
    (found,) = scans_with_shifted_rows([pictured(image) for image in images], np.zeros((9, 2)))
    assert (found.scan, found.columns) == (6, 2)
    assert np.flatnonzero(np.diff(found.shift)).tolist() == [first - 1]


def test_a_sheared_scan_is_no_scan_with_shifted_rows():
    """Eight columns from the first row to the last: every row is put back by its own."""
    rng = np.random.default_rng(6)
    slow, fast = np.indices((40, 40))
    shape = ((slow - 15) ** 2 + (fast - 15) ** 2 < 120) | ((slow - 27) ** 2 + (fast - 26) ** 2 < 90)
    images = [rng.poisson(3.0 + 25.0 * shape * rng.uniform(0.3, 1.5)) - 3.0 for _ in range(9)]
    true = np.rint(8 * (np.arange(40) / 39 - 0.5)).astype(int)
    for row in range(40):
        images[5][row] = np.roll(images[5][row], -true[row])
    (found,) = scans_with_shifted_rows([pictured(image) for image in images], np.zeros((9, 2)))
    assert (found.scan, found.sheared) == (5, True)
    assert abs(found.columns - 8) <= 1
    left = (found.shift - true)[shape.any(axis=1)]
    assert np.ptp(left) <= 1


def test_rows_that_go_to_both_sides_are_all_put_back():
    rng = np.random.default_rng(2)
    slow, fast = np.indices((40, 40))
    shape = (slow - 20) ** 2 + (fast - 20) ** 2 < 150
    images = [rng.poisson(3.0 + 25.0 * shape * rng.uniform(0.3, 1.5)) - 3.0 for _ in range(9)]
    true = np.zeros(40, dtype=int)
    true[10:16], true[24:30] = 5, -4
    for row in range(40):
        images[3][row] = np.roll(images[3][row], -true[row])
    (found,) = scans_with_shifted_rows([pictured(image) for image in images], np.zeros((9, 2)))
    assert np.array_equal(found.shift[shape.any(axis=1)], true[shape.any(axis=1)])


@pytest.mark.parametrize("size", [20, 32])
def test_pictures_without_a_contour_say_nothing(size):
    rng = np.random.default_rng(7)
    images = [pictured(rng.poisson(20.0, (size, size)).astype(float)) for _ in range(9)]
    assert scans_with_shifted_rows(images, np.zeros((9, 2))) == []


def test_a_sound_series_has_no_fault_and_no_map_of_places(sound):
    _, _, apertures = sound
    assert apertures.faults == ()
    assert apertures.places is None


@pytest.mark.parametrize("rows", [EVERY_SECOND, np.arange(14, SHAPE[0])])
def test_apertures_of_a_scan_with_shifted_rows_are_put_back_to_file_positions(sound, tmp_path, rows):
    """The truth is that of the file positions: an aperture in true places would lie beside it by six columns."""
    series, truth = simulated_store(uio66(), SETTINGS, tmp_path, {4: shifted(SHAPE, rows, 6)})
    apertures = AutomaticApertures().propose(series, tmp_path)
    assert [(one.kind, one.source, one.columns) for one in apertures.faults] == [
        ("shifted rows", series.scans[4].source, 6)
    ]
    masks = masks_of_set(apertures)[:, 4].any(axis=0)
    clean = truth.clean()[4].any(axis=0)
    before = masks_of_set(sound[2])[:, 4].any(axis=0).sum() / sound[1].clean()[4].sum()
    assert (masks & clean).sum() / masks.sum() >= 0.97
    assert (masks & clean).sum() / clean.sum() >= 0.9 * before
    with h5py.File(apertures.places.path) as file:
        places = np.asarray(file["places"])
    assert np.array_equal(places[3], identity(SHAPE))
    assert score_apertures(apertures, truth).swaps == 0


def test_masks_go_to_true_places_and_back_without_a_change():
    rng = np.random.default_rng(0)
    places = identity((20, 24))
    places[::3, :, 1] += 4
    how = put_back_by(places)
    mask = rng.random((2, 20, 24)) < 0.4
    there = mask.reshape(2, -1)[:, np.maximum(how.source, 0)] & (how.source >= 0)
    seen = (how.home >= 0).reshape(20, 24)
    back = taken_back(there.reshape(mask.shape), how, np.ones((20, 24), dtype=bool))
    assert np.array_equal(back, mask & seen)
    assert seen.sum() == 20 * 24 - 4 * 7


def test_a_sound_map_is_the_identity():
    how = put_back_by(identity((5, 7)))
    assert np.array_equal(how.source, np.arange(35))
    assert np.array_equal(how.home, np.arange(35))


def test_a_stretched_scan_has_no_holes_within_what_was_scanned():
    places = identity((30, 30))
    places[..., 0] = 1.07 * (places[..., 0] - 14.5) + 14.5
    assert (put_back_by(places).source >= 0).all()


def test_frames_written_twice_are_found_electron_for_electron_and_are_in_no_aperture(sound, tmp_path):
    series, _ = simulated_store(uio66(), SETTINGS, tmp_path)
    masks = masks_of_set(sound[2])[:, 2].any(axis=0).ravel()
    chosen = np.flatnonzero(masks & np.roll(masks, 1))[5:60:6]
    events = open_events(series.scans[2])
    bounds = np.asarray(events.offsets, dtype=np.int64)
    copies = {int(p): np.array(events.events[bounds[p - 1] : bounds[p]]) for p in chosen}
    series = with_scan(series, 2, rewritten(series.scans[2], copies))
    assert np.array_equal(np.flatnonzero(repeated_positions(open_events(series.scans[2]))), chosen)
    assert not repeated_positions(open_events(series.scans[3])).any()
    apertures = AutomaticApertures().propose(series, tmp_path)
    again = masks_of_set(apertures)[:, 2].any(axis=0).ravel()
    assert not again[chosen].any()
    assert [(one.kind, one.positions) for one in apertures.faults] == [("repeated frames", len(chosen))]
    assert again.sum() >= 0.93 * (masks.sum() - len(chosen))


def test_lost_frames_cost_their_positions_and_no_others(sound, tmp_path):
    series, truth = simulated_store(uio66(), SETTINGS, tmp_path)
    lost = np.random.default_rng(3).choice(SHAPE[0] * SHAPE[1], 100, replace=False)
    nothing = dict.fromkeys(lost.tolist(), np.zeros(0, dtype=np.uint32))
    series = with_scan(series, 3, rewritten(series.scans[3], nothing))
    apertures = AutomaticApertures().propose(series, tmp_path)
    masks, before = (masks_of_set(one)[:, 3].any(axis=0).ravel() for one in (apertures, sound[2]))
    assert not masks[lost].any()
    assert [(one.kind, one.positions) for one in apertures.faults] == [("lost frames", 100)]
    kept = np.delete(before, lost).sum()
    assert masks.sum() >= 0.9 * kept
    assert (masks & truth.clean()[3].any(axis=0).ravel()).sum() >= 0.97 * masks.sum()


def test_holes_are_filled_from_around_and_nothing_else_changes():
    weights = np.outer(np.ones(100), [2.0, 5.0])
    good = np.ones((10, 10), dtype=bool)
    good[4:7, 4:7] = False
    broken = weights * good.ravel()[:, None]
    filled = fill_holes(Factors(broken, np.ones((2, 3))), good).weights
    np.testing.assert_allclose(filled, weights, rtol=1e-12)
    factors = Factors(broken, np.ones((2, 3)))
    assert fill_holes(factors, np.ones((10, 10), dtype=bool)) is factors


def test_two_scans_at_every_tilt_are_as_good_as_one_of_twice_the_dose(sound, tmp_path):
    """Each repeat has electrons and a drift of its own; both have an aperture, and together as many electrons."""
    half = SETTINGS.scattering.model_copy(update={"electrons_per_pattern": 125.0})
    series, truth = simulated_store(uio66(), SETTINGS.model_copy(update={"scattering": half}), tmp_path, repeats=2)
    apertures = AutomaticApertures().propose(series, tmp_path)
    scores, before = score_apertures(apertures, truth), score_apertures(sound[2], sound[1])
    assert (scores.found, scores.extra, scores.swaps) == (before.found, 0, 0)
    assert scores.precision >= 0.98
    assert scores.recall >= 0.95 * before.recall
    assert apertures.faults == ()
    twice = np.array([c.positions_per_tilt for c in apertures.crystals]).reshape(len(apertures.crystals), -1, 2)
    assert (twice.min(axis=2) > 0.7 * twice.max(axis=2)).mean() > 0.9
    back = masks_of_set(apertures)
    file = read_apertures(apertures.aperture_file.path, scan_shape=SHAPE, tilt_deg=apertures.tilt_deg)
    assert np.array_equal(np.array(list(file.values())), back)
