"""The camera against closed forms and against what its own faults say."""

from math import erfc, exp, sqrt
from typing import Any

import numpy as np
import pytest

from tasks.simulate.arrived import Arrived
from tasks.simulate.camera import Camera, Recorded, prepare_camera, record
from tasks.simulate.camera_counting import FramedElectrons, charge_sharing, first_come, random_marks
from tasks.simulate.camera_plan import BeamStop, CameraPlan, DeadRegion, ScanFaults, SensorFaults
from tasks.simulate.models import Instrument

SHAPE = (60, 80)
LOCAL: dict[str, Any] = {"counting": "local-maxima-3x3"}


def instrument(**changes: object) -> Instrument:
    base = {"shape_px": SHAPE, "scan_shape": (20, 18), "flyback_columns": 2, "direct_beam_px": (30.0, 40.0)}
    return Instrument.model_validate({**base, **changes})


def uniform(rate: float, seed: int = 0, positions: int = 400) -> Arrived:
    """A Poisson field of `rate` electrons per pixel in every position, over the whole sensor."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rate * SHAPE[0] * SHAPE[1], positions)
    place = rng.random((counts.sum(), 2)) * SHAPE - 0.5
    return Arrived(np.repeat(np.arange(positions), counts), place)


def taken(arrived: Arrived, index: int = 0, **changes: object) -> tuple[Recorded, Camera]:
    camera = prepare_camera(instrument(**changes), 7)
    return record(arrived, camera, index), camera


def image(recorded: Recorded) -> np.ndarray:
    return np.bincount(recorded.events, minlength=SHAPE[0] * SHAPE[1]).reshape(SHAPE)


def lone(places: list[tuple[float, float]], deposit: list[float] | None = None) -> FramedElectrons:
    place = np.array(places)
    return FramedElectrons(np.array([0, len(place)]), place, np.array(deposit or np.linspace(1, 0.9, len(place))))


def test_ideal_counting_keeps_every_electron_in_its_pixel() -> None:
    arrived = uniform(0.05)
    recorded, _ = taken(arrived)
    row, column = np.rint(arrived.place_px).astype(int).T
    expected = np.sort(arrived.position * 10_000 + row * SHAPE[1] + column)
    entry = np.repeat(np.arange(400), np.diff(recorded.offsets))
    assert np.array_equal(entry * 10_000 + recorded.events, expected)
    assert np.array_equal(recorded.arrived, np.bincount(arrived.position, minlength=400))


def test_several_frames_share_a_position_evenly_and_lose_nothing() -> None:
    arrived = uniform(0.05)
    recorded, _ = taken(arrived, camera={"frames_per_position": 4})
    counts = np.diff(recorded.offsets).reshape(400, 4)
    assert np.array_equal(counts.sum(axis=1), np.bincount(arrived.position, minlength=400))
    share = counts.sum(axis=0) / counts.sum()
    assert share == pytest.approx(np.full(4, 0.25), abs=4 * np.sqrt(0.1875 / counts.sum()))


@pytest.mark.parametrize(("apart", "left"), [((0, 0), 1), ((0, 1), 1), ((1, 1), 1), ((0, 2), 2), ((2, 1), 2)])
def test_of_two_electrons_one_is_lost_within_a_pixel_of_the_other(apart: tuple[int, int], left: int) -> None:
    for turn in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        pair = lone([(10.0, 10.0), (10.0 + turn[0] * apart[0], 10.0 + turn[1] * apart[1])])
        sharing = charge_sharing(
            pair, np.zeros(SHAPE, dtype=bool), np.random.default_rng(0), spread_px=0.2, noise=0.0, threshold=0.2
        )
        for _, pixel in (random_marks(pair, SHAPE), first_come(pair, SHAPE), sharing):
            assert len(pixel) == left


@pytest.mark.parametrize("in_neighbourhood", [0.1, 1.0, 4.0])
def test_random_marks_leave_what_materns_second_process_leaves(in_neighbourhood: float) -> None:
    arrived = uniform(in_neighbourhood / 9, seed=1)
    recorded, _ = taken(arrived, camera={**LOCAL, "pile_up": "random-marks"})
    inner = image(recorded)[1:-1, 1:-1].sum() / (400 * 58 * 78)
    expected = (1 - np.exp(-in_neighbourhood)) / 9
    assert inner == pytest.approx(expected, abs=4 * np.sqrt(expected / (400 * 58 * 78)))


def test_first_come_jams_at_the_published_coverage() -> None:
    """Random sequential adsorption with nearest and diagonal exclusion: 0.1870 (Dickman, Wang & Jensen 1991)."""
    recorded, _ = taken(uniform(30.0, positions=8), camera={**LOCAL, "pile_up": "first-come"})
    inner = image(recorded)[6:-6, 6:-6] / 8
    assert inner.mean() == pytest.approx(0.18698, abs=0.002)


def test_a_lone_electron_is_counted_once_in_its_pixel_wherever_it_lands() -> None:
    rng = np.random.default_rng(3)
    place = rng.random((400, 2)) * SHAPE - 0.5
    recorded, _ = taken(Arrived(np.arange(400), place), camera={**LOCAL, "threshold": 0.02, "noise": 0.0})
    row, column = np.rint(place).astype(int).T
    assert np.array_equal(recorded.events, row * SHAPE[1] + column)
    assert np.array_equal(recorded.offsets, np.arange(401))


def test_a_threshold_loses_those_whose_charge_falls_below_it() -> None:
    """No spread: the charge stays in the pixel and is Moyal's, of distribution function erfc(exp(-x/2) / sqrt 2)."""
    place = np.tile([[30.0, 40.0]], (40_000, 1))
    plan = {**LOCAL, "charge_spread_px": 0.05, "noise": 0.0, "threshold": 1.3, "deposit_width": 0.25}
    camera = prepare_camera(instrument(scan_shape=(200, 198), camera=plan), 7)
    kept = np.diff(record(Arrived(np.arange(40_000), place), camera, 0).offsets).sum() / 40_000
    assert kept == pytest.approx(1 - erfc(exp(-(1.3 - 1) / 0.25 / 2) / sqrt(2)), abs=4 * sqrt(0.25 / 40_000))


def test_efficiency_thins_evenly_or_by_pixel() -> None:
    arrived = uniform(0.5)
    thinned, _ = taken(arrived, camera={"efficiency": 0.8})
    assert len(thinned.events) / len(arrived.position) == pytest.approx(
        0.8, abs=4 * 0.4 / np.sqrt(len(arrived.position))
    )
    uneven, camera = taken(arrived, camera={"efficiency": 0.8, "efficiency_spread": 0.1})
    assert camera.sensitivity is not None
    expected = camera.sensitivity * 200
    assert np.corrcoef(image(uneven).ravel(), expected.ravel())[0, 1] > 0.6
    assert image(uneven).sum() == pytest.approx(expected.sum(), rel=0.01)


def test_dark_counts_hot_pixels_and_tracks_come_as_often_as_stated() -> None:
    nothing = Arrived(np.zeros(0, dtype=np.int64), np.zeros((0, 2)))
    dark, _ = taken(nothing, camera={"dark_counts": 3.0})
    assert len(dark.events) == pytest.approx(1200, abs=4 * np.sqrt(1200))
    hot, camera = taken(nothing, sensor={"hot_pixels": 5, "hot_rate": 0.5})
    assert np.array_equal(np.flatnonzero(image(hot)), camera.sensor.hot_pixels)
    assert np.allclose(image(hot).ravel()[camera.sensor.hot_pixels], 200, atol=40)
    tracks, _ = taken(nothing, camera={"cosmic_hits": 0.05, "cosmic_length_px": 6.0})
    hit = np.diff(tracks.offsets)
    assert (hit > 0).sum() == pytest.approx(400 * (1 - np.exp(-0.05)), abs=18)
    assert hit[hit > 0].mean() > 3


def test_dead_parts_are_where_the_truth_says_and_nowhere_else() -> None:
    sensor = {
        "dead_rows": 2,
        "dead_columns": 1,
        "dead_blocks": 1,
        "dead_pixels": 9,
        "sector_px": [15, 80],
        "dead_sectors": 1,
    }
    for plan in ({}, LOCAL):
        recorded, camera = taken(uniform(0.2), sensor=sensor, camera=plan)
        dead = camera.sensor.always_dead()
        assert np.array_equal(recorded.dead.dead, dead)
        assert np.array_equal(image(recorded) == 0, dead)
        assert 15 * 80 < dead.sum() < 15 * 80 + 2 * 80 + 60 + 256 + 10


def test_a_region_of_some_scans_or_some_frames_is_missing_there_only() -> None:
    part = DeadRegion(rectangle_px=(0, 0, 14, 79), scans=0.5)
    flicker = DeadRegion(rectangle_px=(30, 0, 44, 79), frames=0.25)
    arrived, seen = uniform(0.05), []
    for index in range(12):
        recorded, _ = taken(arrived, index, sensor=SensorFaults(regions=(part, flicker)))
        dead = image(recorded)[:15].sum() == 0
        assert dead == recorded.dead.dead[0, 0]
        seen.append(dead)
        (gap,) = recorded.dead.gaps
        entry = np.repeat(np.arange(400), np.diff(recorded.offsets))
        row = recorded.events // SHAPE[1]
        lit = np.bincount(entry[(row >= 30) & (row < 45)], minlength=400)
        assert np.array_equal(lit == 0, gap.missing)
        assert gap.missing.mean() == pytest.approx(0.25, abs=0.1)
    assert 0 < sum(seen) < 12


@pytest.mark.parametrize("shape", ["disc", "bar"])
def test_a_beam_stop_shades_its_disc_and_its_bar(shape: str) -> None:
    stop = BeamStop.model_validate({"shape": shape, "radius_px": 8, "transmission": 0.2, "edge_px": 0.01})
    recorded, _ = taken(uniform(1.0), beam_stop=stop)
    rows, columns = np.indices(SHAPE)
    shaded = np.hypot(rows - 30, columns - 40) < 7
    lit = np.hypot(rows - 30, columns - 40) > 9
    above = (rows < 30) & (np.abs(columns - 40) < 7)
    if shape == "bar":  # it comes from the top: 90 degrees, row 0 up
        shaded |= above
        lit &= ~((rows < 31) & (np.abs(columns - 40) < 9))
    assert image(recorded)[shaded].mean() == pytest.approx(80, rel=0.02)
    assert image(recorded)[lit].mean() == pytest.approx(400, rel=0.01)


def test_lost_frames_are_empty_entries_where_the_truth_says() -> None:
    recorded, _ = taken(uniform(0.05), scan_faults=ScanFaults(frames_lost=0.1), camera={"frames_per_position": 2})
    assert np.array_equal(np.diff(recorded.offsets) == 0, recorded.order.lost)
    assert recorded.order.lost.mean() == pytest.approx(0.1, abs=0.045)


def test_the_truth_puts_dropped_repeated_and_shifted_frames_back() -> None:
    arrived = uniform(0.02)
    faults = ScanFaults(dropped_frames=4, repeated_frames=3, shifted_rows=0.3)
    whole, _ = taken(arrived)
    mixed, _ = taken(arrived, scan_faults=faults)
    source = mixed.order.source
    assert not np.array_equal(source, np.arange(400))
    for entry, origin in enumerate(source):
        got = mixed.events[mixed.offsets[entry] : mixed.offsets[entry + 1]]
        want = whole.events[whole.offsets[origin] : whole.offsets[origin + 1]] if origin >= 0 else []
        assert np.array_equal(got, want)
    assert (mixed.order.row_shift != 0).any()


def test_a_shifted_row_alone_is_rolled_by_its_shift() -> None:
    recorded, _ = taken(uniform(0.02), scan_faults=ScanFaults(shifted_rows=0.3))
    rows = np.arange(400).reshape(20, 20)
    rolled = [np.roll(row, shift) for row, shift in zip(rows, recorded.order.row_shift, strict=True)]
    assert np.array_equal(recorded.order.source.reshape(20, 20), rolled)


def test_descan_bends_by_its_stated_shift_at_the_edges() -> None:
    rows, columns = np.divmod(np.arange(400), 20)
    place = np.tile([[30.0, 40.0]], (400, 1))
    recorded, _ = taken(Arrived(np.arange(400), place), scan_faults=ScanFaults(descan_quadratic_px=(4.0, 6.0)))
    row, column = np.divmod(recorded.events.astype(int), SHAPE[1])
    assert (row[(rows == 0) | (rows == 19)] == 34).all()
    assert (row[(rows == 9) | (rows == 10)] == 30).all()
    assert (column[(columns == 0) | (columns == 19)] == 46).all()


def test_one_effect_leaves_what_the_others_draw() -> None:
    arrived = uniform(0.05)
    plain, _ = taken(arrived, camera=CameraPlan(efficiency=0.8))
    faulty, _ = taken(arrived, camera=CameraPlan(efficiency=0.8), scan_faults=ScanFaults(frames_lost=0.1))
    kept = ~faulty.order.lost
    assert np.array_equal(np.diff(plain.offsets)[kept], np.diff(faulty.offsets)[kept])


def test_equal_seeds_give_equal_records() -> None:
    arrived = uniform(0.05)
    plan = CameraPlan.model_validate({**LOCAL, "dark_counts": 2.0, "cosmic_hits": 0.01, "efficiency": 0.9})
    first, second = (taken(arrived, camera=plan)[0] for _ in range(2))
    assert np.array_equal(first.events, second.events)
    assert np.array_equal(first.offsets, second.offsets)
    other = record(arrived, prepare_camera(instrument(camera=plan), 8), 0)
    assert len(other.events) != len(first.events) or not np.array_equal(other.events, first.events)
