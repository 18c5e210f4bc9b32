"""Sums of events: every electron once, at its place, for every stempy version, beam position and thread count."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.formats.stempy_hdf5 import StempyReader
from tasks.apertures.models import CrystalAperture
from tasks.events.canvas import canvas_for, covered
from tasks.events.store import ScanEvents
from tasks.events.sums import sum_events
from tasks.frames.models import FrameSeries
from tasks.frames.settings import FrameSettings
from tasks.frames.stack import each_frame
from tasks.frames.task import find_beams, sum_frames, summary
from tasks.ingest.models import TiltSeries
from tasks.ingest.settings import IngestSettings
from tasks.ingest.source import read_source
from tasks.ingest.task import ingest_tilt_series
from tasks.ingest.validity import find_validity
from tasks.model import FileRef, InputError
from tests.synthetic.stored_events import loaded, put_events

SHAPE = (64, 56)
SCAN = (6, 7)


def write_stempy(path: Path, version: int, pixels: list[np.ndarray], *, scan: tuple[int, int]) -> None:
    """Write a file of one version by h5py alone; `pixels` are the electrons of each position, flyback included."""
    entries, positions = list(pixels), np.arange(len(pixels))
    if version == 2:
        entries = [part for pixel in pixels for part in (pixel[::2], pixel[1::2])]
        positions = np.repeat(positions, 2)
        order = np.random.default_rng(0).permutation(len(entries))
        entries, positions = [entries[i] for i in order], positions[order]
    if version == 3:
        entries = [part for pixel in pixels for part in (pixel[::3], pixel[1::3], pixel[2::3])]
    with h5py.File(path, "w") as file:
        group = file.create_group("electron_events")
        if version > 1:
            (group if version == 3 else file).attrs["version"] = version
        frames = group.create_dataset("frames", (len(entries),), dtype=h5py.vlen_dtype(np.uint32))
        for index, entry in enumerate(entries):
            frames[index] = entry.astype(np.uint32)
        frames.attrs["Nx"], frames.attrs["Ny"] = SHAPE
        listed = group.create_dataset("scan_positions", data=positions)
        listed.attrs["Nx"], listed.attrs["Ny"] = scan[1], scan[0]


def electrons(
    rng: np.random.Generator, centre: np.ndarray, count: int, *, beam: bool = True, spots: np.ndarray | None = None
) -> np.ndarray:
    """Return flat pixels of a direct beam, a halo and Bragg spots; a few pixels are hit several times."""
    kind = rng.random(count)
    spread = np.where(kind < 0.4, 1.2, 12.0) if beam else np.full(count, 12.0)
    place = centre + rng.normal(size=(count, 2)) * spread[:, None]
    if spots is not None:
        at = spots[rng.integers(0, len(spots), count)] + rng.normal(size=(count, 2)) * 0.8
        place = np.where((kind > 0.7)[:, None], centre + at, place)
    pixel = np.rint(place).astype(int)
    pixel = pixel[((pixel >= 0) & (pixel < SHAPE)).all(axis=1)]
    return pixel[:, 0] * SHAPE[1] + pixel[:, 1]


def make_series(
    folder: Path, centres: np.ndarray, *, version: int = 3, motion: np.ndarray | None = None, per_position: int = 60,
    start: list[float] | None = None,
) -> tuple[TiltSeries, int]:  # fmt: skip
    """Write and ingest a series; return it and the electrons of all files, flyback included."""
    source = folder / f"source{version}"
    source.mkdir(parents=True)
    listed, total = [], 0
    full = (SCAN[0], SCAN[1] + 1)
    middle = (np.array(SCAN) - 1) / 2
    for index, centre in enumerate(centres):
        rng = np.random.default_rng([version, index])
        places = np.stack(np.divmod(np.arange(full[0] * full[1]), full[1]), axis=1)
        move = (places - middle) @ (np.zeros((2, 2)) if motion is None else motion).T
        pixels = [electrons(rng, centre + step, per_position) for step in move]
        total += sum(map(len, pixels))
        path = source / f"s_{index:03d}.h5"
        write_stempy(path, version, pixels, scan=full)
        listed.append({"file": path.name, "tilt_deg": 2.0 * index - 5.0, "bytes": path.stat().st_size})
    manifest = {
        "format": "4D-STEM tilt series", "version": 1, "sample": "test", "beam": {"energy_kev": 300.0},
        "detector": {"name": "d", "shape_px": list(SHAPE), "pixel_size_mm": 0.01, "camera_length_mm": 110.0,
                     "direct_beam_px": start},
        "scan": {"shape": list(SCAN), "step_nm": 10.0, "flyback_columns": 1, "rotation_deg": 0.0},
        "tilt_axis": [1.0, 0.0, 0.0], "scans": listed,
    }  # fmt: skip
    (source / "tilt_series.json").write_text(json.dumps(manifest))
    return ingest_tilt_series(read_source(source), StempyReader(), IngestSettings(), folder / f"ingest{version}"), total


def aperture_of(folder: Path, series: TiltSeries, masks: np.ndarray, *, shift_deg: float = 0.0) -> CrystalAperture:
    with h5py.File(folder / "masks.h5", "w") as file:
        file["masks"] = masks
        file["tilt_deg"] = [scan.tilt_deg + shift_deg for scan in series.scans]
    return CrystalAperture(
        id="crystal-01",
        origin="user",
        masks=FileRef.of(folder / "masks.h5"),
        positions_per_tilt=tuple(int(mask.sum()) for mask in masks),
    )


def all_positions(count: int) -> np.ndarray:
    return np.ones((count, *SCAN), dtype=bool)


def summed(folder: Path, series: TiltSeries, masks: np.ndarray, **choices: object) -> FrameSeries:
    return sum_frames(series, aperture_of(folder, series, masks), FrameSettings(**choices), folder / "frames")


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_aperture_of_all_positions_holds_every_electron_of_the_source(tmp_path: Path, version: int) -> None:
    rng = np.random.default_rng(5)
    centres = np.array([31.5, 27.5]) + rng.normal(size=(6, 2)) * 5  # many electrons are shifted beyond the detector
    series, total = make_series(tmp_path, centres, version=version, motion=np.array([[0.5, 0.0], [0.1, -0.6]]))

    frames = summed(tmp_path, series, all_positions(6))

    flyback = sum(scan.flyback_counts for scan in series.scans)
    assert flyback > 0
    assert int(frames.images.sum(dtype=np.int64)) == total - flyback == sum(s.counts for s in series.scans)
    assert sum(frame.counts for frame in frames.frames) == total - flyback


def test_each_electron_lies_where_shift_and_canvas_put_it() -> None:
    offsets = np.array([0, 2, 2, 5], dtype=np.uint64)
    events = np.array([0, 11, 5, 5, 6], dtype=np.uint32)  # 3 rows, 4 columns
    shifts = np.array([[1, -1], [-2, 3]])
    canvas = canvas_for(shifts, (3, 4))
    whole, half = sum_events(
        ScanEvents(offsets, events),
        positions=np.array([0, 2]),
        shifts=shifts,
        detector_columns=4,
        canvas=canvas,
        coin=None,
    )

    expected = np.zeros(canvas.shape, dtype=int)
    for pixel, shift in zip([0, 11, 5, 5, 6], [0, 0, 1, 1, 1], strict=True):
        row, column = divmod(pixel, 4)
        expected[row + shifts[shift, 0] + canvas.top, column + shifts[shift, 1] + canvas.left] += 1
    np.testing.assert_array_equal(whole, expected)
    assert half is None
    assert (canvas.shape, canvas.top, canvas.left) == ((6, 8), 2, 1)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=1, max_size=6))
def test_the_mask_is_where_every_shifted_detector_lies(shifts: list[tuple[int, int]]) -> None:
    moves, shape = np.array(shifts), (8, 9)
    canvas = canvas_for(moves, shape)
    expected = np.ones(canvas.shape, dtype=bool)
    for row, column in moves:
        here = np.zeros(canvas.shape, dtype=bool)
        here[row + canvas.top : row + canvas.top + 8, column + canvas.left : column + canvas.left + 9] = True
        assert here.sum() == 72
        expected &= here
    np.testing.assert_array_equal(covered(moves, shape, canvas), expected)


def test_electrons_outside_the_canvas_are_an_error_not_a_loss() -> None:
    with pytest.raises(ValueError, match="1 of 2 electrons lie outside"):
        sum_events(
            ScanEvents(np.array([0, 2], dtype=np.uint64), np.array([0, 11], dtype=np.uint32)), positions=np.array([0]),
            shifts=np.array([[1, 0]]), detector_columns=4, canvas=canvas_for(np.zeros((1, 2), int), (3, 4)), coin=None,
        )  # fmt: skip


def test_every_frame_is_centred_to_within_its_residual(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    centres = np.array([31.2, 27.7]) + rng.normal(size=(7, 2)) * 4
    series, _ = make_series(tmp_path, centres, per_position=300)

    frames = summed(tmp_path, series, all_positions(7), descan="off")

    target = np.array(frames.direct_beam_px)
    for frame, centre, pixels in zip(frames.frames, centres, each_frame(frames.stack), strict=True):
        assert np.abs(np.array(frame.beam_found_px) - centre).max() < 0.2
        assert np.abs(frame.beam_residual_px).max() <= 0.5
        rows, columns = np.indices(pixels.shape)
        near = np.hypot(rows - target[0], columns - target[1]) < 4
        weight = pixels * near
        seen = np.array([(weight * rows).sum(), (weight * columns).sum()]) / weight.sum()
        assert np.abs(seen - target - frame.beam_residual_px).max() < 0.25


def test_a_steady_beam_shifts_nothing(tmp_path: Path) -> None:
    series, _ = make_series(tmp_path, np.full((5, 2), [30.3, 26.6]), per_position=200)
    frames = summed(tmp_path, series, all_positions(5))
    assert frames.detector.shape_px == SHAPE
    assert frames.mask.all()
    assert frames.direct_beam_px == pytest.approx((30.3, 26.6), abs=0.2)
    assert frames.warnings == ()
    assert frames.detector.direct_beam_px == frames.direct_beam_px


def test_descan_is_found_and_taken_out(tmp_path: Path) -> None:
    motion = np.array([[0.9, 0.0], [0.0, -1.1]])
    series, _ = make_series(tmp_path, np.full((6, 2), [31.0, 27.0]), motion=motion, per_position=400)

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    found = summed(tmp_path / "a", series, all_positions(6))
    kept = summed(tmp_path / "b", series, all_positions(6), descan="off")

    def sharpness(frames: FrameSeries) -> float:
        return float(frames.images.max(axis=(1, 2)).mean())

    assert any("moves by" in warning for warning in found.warnings)
    assert sharpness(found) > 2 * sharpness(kept)


def test_the_motion_is_measured_to_a_few_hundredths_of_a_pixel_per_step(tmp_path: Path) -> None:
    motion = np.array([[0.5, -0.2], [0.1, 0.4]])
    series, _ = make_series(tmp_path, np.full((6, 2), [31.0, 27.0]), motion=motion, per_position=400)
    beams = find_beams(series, FrameSettings(), tmp_path / "beams")
    np.testing.assert_allclose(beams.descan_px, motion, atol=0.03)
    np.testing.assert_allclose(beams.px, [[31.0, 27.0]] * 6, atol=0.2)


def test_descan_is_not_invented(tmp_path: Path) -> None:
    series, _ = make_series(tmp_path, np.full((6, 2), [31.0, 27.0]), per_position=100)
    assert not any("moves by" in warning for warning in summed(tmp_path, series, all_positions(6)).warnings)


def test_halves_are_a_fair_coin_that_the_seed_repeats(tmp_path: Path) -> None:
    series, _ = make_series(tmp_path, np.full((5, 2), [31.0, 27.0]), per_position=300)
    for name in "abcd":
        (tmp_path / name).mkdir()
    first = summed(tmp_path / "a", series, all_positions(5), seed=1)
    again = summed(tmp_path / "b", series, all_positions(5), seed=1)
    other = summed(tmp_path / "c", series, all_positions(5), seed=2)
    none = summed(tmp_path / "d", series, all_positions(5), split_events=False)

    whole, half = first.images, first.half
    assert half is not None
    assert (half <= whole).all()
    counts = whole.sum(dtype=np.int64)
    assert abs(half.sum(dtype=np.int64) - counts / 2) < 5 * np.sqrt(counts) / 2
    assert first.stack.sha256 == again.stack.sha256
    assert not np.array_equal(half, other.half)
    np.testing.assert_array_equal(whole, other.images)
    assert none.half is None


def test_threads_do_not_change_a_single_count(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    series, _ = make_series(tmp_path, np.array([31.0, 27.0]) + rng.normal(size=(5, 2)) * 3, per_position=200)
    folders = [tmp_path / str(index) for index in range(4)]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda folder: summed(folder, series, all_positions(5)).stack.sha256, folders))
    assert len(set(found)) == 1


def test_frames_know_their_order_and_dose_those_of_tilts_without_a_mask_included(tmp_path: Path) -> None:
    series, _ = make_series(tmp_path, np.full((5, 2), (31.0, 27.0)))
    given = zip(series.scans, (2, 0, 3, 1, 4), (1.0, 2.0, 4.0, 8.0, 1.0), strict=True)
    scans = tuple(s.model_copy(update={"order": order, "dose_e_per_A2": dose}) for s, order, dose in given)
    masks = all_positions(5)
    masks[3] = False

    frames = summed(tmp_path, series.model_copy(update={"scans": scans}), masks).frames

    assert [frame.order for frame in frames] == [2, 0, 3, 4]
    assert [frame.accumulated_dose_e_per_A2 for frame in frames] == [10.5, 1.0, 13.0, 15.5]
    assert {frame.order for frame in summed(tmp_path, series, all_positions(5)).frames} == {None}


def test_tilts_without_a_mask_are_gaps(tmp_path: Path) -> None:
    series, _ = make_series(tmp_path, np.full((6, 2), [31.0, 27.0]))
    masks = all_positions(6)
    masks[2] = False
    masks[4] = False
    masks[4, 1:3, 2:6] = True

    frames = summed(tmp_path, series, masks)

    assert [frame.number for frame in frames.frames] == [0, 1, 3, 4, 5]
    assert [frame.angle_deg for frame in frames.frames] == [-5.0, -3.0, 1.0, 3.0, 5.0]
    assert frames.frames[3].aperture_box == (1, 2, 2, 4)
    assert frames.frames[3].positions == 8
    assert frames.is_still
    assert "5 frames from -5 to 5 deg" in summary(frames)


@pytest.mark.parametrize(
    ("masks", "shift", "message"),
    [
        (np.zeros((5, *SCAN), bool), 0.0, "empty at every tilt"),
        (np.ones((4, *SCAN), bool), 0.0, "masks of shape"),
        (np.ones((5, 7, 6), bool), 0.0, "masks of shape"),
        (np.ones((5, *SCAN), bool), 0.5, "tilt_deg differs"),
    ],
)
def test_an_aperture_of_something_else_is_refused(
    tmp_path: Path, masks: np.ndarray, shift: float, message: str
) -> None:
    series, _ = make_series(tmp_path, np.full((5, 2), [31.0, 27.0]))
    with h5py.File(tmp_path / "masks.h5", "w") as file:
        file["masks"] = masks
        file["tilt_deg"] = [scan.tilt_deg + shift for scan in series.scans][: len(masks)]
    aperture = CrystalAperture(
        id="crystal-01", origin="user", masks=FileRef.of(tmp_path / "masks.h5"), positions_per_tilt=(1,) * 5
    )
    with pytest.raises(InputError, match=message):
        sum_frames(series, aperture, FrameSettings(), tmp_path / "frames")


def test_hot_and_dead_pixels_are_masked_and_nothing_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    centres = np.array([31.0, 27.0]) + rng.normal(size=(8, 2)) * 2
    series, _ = make_series(tmp_path, centres, per_position=400)
    series = series.model_copy(
        update={"scans": tuple(scan.model_copy(update={"frames_told": False}) for scan in series.scans)}
    )  # which electron came in which camera frame is not kept below
    clean = series.validity
    for scan in series.scans:  # a pixel that counts at every position, and one in the halo that never does
        offsets, events = loaded(scan)
        kept = events != 40 * SHAPE[1] + 30
        place = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets.astype(int)))[kept]
        place = np.concatenate([place, np.arange(len(offsets) - 1)])
        events = np.concatenate([events[kept], np.full(len(offsets) - 1, 60 * SHAPE[1] + 50)])
        order = np.argsort(place, kind="stable")
        put_events(scan.events.path, np.searchsorted(place[order], np.arange(len(offsets))), events[order])

    none = np.zeros(SHAPE, dtype=bool)
    series = series.model_copy(update={"validity": find_validity(series.scans, series.detector, none, tmp_path)})
    found = find_beams(series, FrameSettings(), tmp_path / "found")
    frames = sum_frames(series, aperture_of(tmp_path, series, all_positions(8)), FrameSettings(), tmp_path / "f", found)

    assert clean is not None
    assert clean.all_valid
    assert not clean.parts
    assert np.argwhere(~series.valid_pixels()[0]).tolist() == [[40, 30], [60, 50]]
    assert [part.kind for part in series.validity.parts] == ["hot pixels", "dead pixels"]
    assert any("hot pixels, 1 pixels" in warning for warning in frames.warnings)
    whole, masks = frames.images, frames.masks
    for index, (frame, pixels) in enumerate(zip(frames.frames, whole, strict=True)):
        shift = np.rint(np.array(frames.direct_beam_px) + frame.beam_residual_px - frame.beam_found_px).astype(int)
        hot = (60 + shift[0], 50 + shift[1])
        assert pixels[hot] >= SCAN[0] * SCAN[1]
        assert not masks.valid_in(index)[hot]
        assert not frames.mask[hot]


def test_counts_beyond_sixteen_bits_are_kept(tmp_path: Path) -> None:
    whole, _ = sum_events(
        ScanEvents(np.array([0, 70_000], dtype=np.uint64), np.full(70_000, 3, dtype=np.uint32)),
        positions=np.array([0]),
        shifts=np.zeros((1, 2), int), detector_columns=4, canvas=canvas_for(np.zeros((1, 2), int), (3, 4)), coin=None,
    )  # fmt: skip
    assert whole.max() == 70_000


def without(series: TiltSeries, dead: dict[int, np.ndarray]) -> TiltSeries:
    """Drop the electrons of some scans on dead pixels, in place, and look for faults again."""
    for number, pixels in dead.items():
        scan = series.scans[number]
        offsets, events = loaded(scan)
        kept = ~pixels.ravel()[events]
        place = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets.astype(int)))[kept]
        put_events(scan.events.path, np.searchsorted(place, np.arange(len(offsets))), events[kept])
    folder = series.scans[0].events.path.parent
    scans = tuple(
        scan.model_copy(update={"frames_told": False}) for scan in series.scans
    )  # the frames' bounds are not kept
    series = series.model_copy(update={"scans": scans})
    found = find_validity(series.scans, series.detector, np.zeros(SHAPE, dtype=bool), folder)
    return series.model_copy(update={"validity": found})


def test_every_frame_has_the_mask_of_its_scan_laid_where_its_detector_lies(tmp_path: Path) -> None:
    centres = np.array([31.0, 27.0]) + np.array([[0, 0], [0, 3], [2, 0], [0, 0], [-2, 1], [1, 1]])
    series, _ = make_series(tmp_path, centres, per_position=900)
    dead = np.zeros(SHAPE, dtype=bool)
    dead[40:48] = True
    always = np.zeros(SHAPE, dtype=bool)
    always[:, 20] = True
    series = without(series, {number: always | (dead if number in {1, 4} else False) for number in range(6)})

    parts = {part.kind: part for part in series.validity.parts}
    assert parts["columns"].rectangle_px == (0, 20, 63, 20)
    assert parts["rows"].rectangle_px == (40, 0, 47, 55)
    assert parts["rows"].scans == (1, 4)

    frames = sum_frames(series, aperture_of(tmp_path, series, all_positions(6)), FrameSettings(), tmp_path / "f")
    masks = frames.masks
    rows, columns = np.indices(frames.detector.shape_px)
    for index, frame in enumerate(frames.frames):
        shift = np.rint(np.array(frames.direct_beam_px) + frame.beam_residual_px - frame.beam_found_px).astype(int)
        row, column = rows - shift[0], columns - shift[1]
        hidden = (column == 20) | ((row >= 40) & (row < 48) & (index in {1, 4}))
        inside = frames.mask | hidden  # the rim of the canvas is in no mask
        np.testing.assert_array_equal(
            masks.valid_in(index)[inside], ~hidden[inside] & masks.different.any(axis=0)[inside]
        )
    np.testing.assert_array_equal(frames.mask, masks.different.all(axis=0))


def test_camera_frames_that_are_lost_are_no_exposures(tmp_path: Path) -> None:
    series, _ = make_series(tmp_path, np.tile([31.0, 27.0], (5, 1)))
    whole = sum_frames(series, aperture_of(tmp_path, series, all_positions(5)), FrameSettings(), tmp_path / "whole")
    scan = series.scans[2]
    offsets, events = loaded(scan)
    lengths = np.diff(offsets)
    kept = np.repeat(~np.isin(np.arange(len(lengths)), [3, 17, 30]), lengths)
    lengths[[3, 17, 30]] = 0
    put_events(scan.events.path, np.concatenate([[0], np.cumsum(lengths)]), events[kept])
    scans = tuple(one.model_copy(update={"frames_told": False}) for one in series.scans)  # their bounds are not kept
    series = series.model_copy(update={"scans": scans})
    frames = sum_frames(series, aperture_of(tmp_path, series, all_positions(5)), FrameSettings(), tmp_path / "lost")
    assert [frame.positions for frame in whole.frames] == [42] * 5
    assert [frame.positions for frame in frames.frames] == [42, 42, 39, 42, 42]
