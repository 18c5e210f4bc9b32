"""How a camera counted, told from its events; what summed frames lost by it; what programs are given."""

from pathlib import Path

import numpy as np
import pytest

from tasks.events.beam_disc import BeamDisc
from tasks.events.canvas import canvas_for
from tasks.events.store import ScanEvents
from tasks.events.sums import sum_events
from tasks.frames.counting import FrameLoss, frame_loss
from tasks.frames.packing import CountedFrame, packing_of_beam
from tasks.frames.stack import each_corrected_frame, stored, write_stack
from tasks.ingest import exposures_of, judge_counting
from tasks.ingest.models import ScanGrid, TiltScan, TiltSeries
from tasks.model import Beam, Counting, Detector
from tasks.model.provenance import Provenance
from tests.synthetic.stored_events import put_events
from tests.synthetic.thinned import RULES, Rule, thinned

SHAPE = (160, 160)
SCAN = (16, 16)
CENTRE = (79.5, 79.5)
SPOTS = np.array([[row, column] for row in range(12, 160, 19) for column in range(12, 160, 19)], dtype=float)


def bright() -> np.ndarray:
    """Return the thickness of a round crystal over the scan, of mean one."""
    slow, fast = np.indices(SCAN)
    value = np.sqrt(np.maximum(1 - ((slow - 7.5) ** 2 + (fast - 7.5) ** 2) / 90, 0.01)).ravel()
    return value / value.mean()


def exposed(rates: np.ndarray, *, sigma: float = 0.7, seed: int = 1) -> ScanEvents:
    """Return spots of so many electrons per camera frame, on a weak background."""
    rng = np.random.default_rng(seed)
    position, pixel = [], []
    for spot, rate in zip(SPOTS, rates, strict=True):
        number = rng.poisson(rate * bright())
        place = spot + rng.normal(size=(number.sum(), 2)) * sigma
        position.append(np.repeat(np.arange(len(number)), number))
        pixel.append(np.rint(place).astype(int))
    number = rng.poisson(10.0, SCAN[0] * SCAN[1])
    position.append(np.repeat(np.arange(len(number)), number))
    pixel.append(rng.integers(0, SHAPE[0], (number.sum(), 2)))
    where, place = np.concatenate(position), np.concatenate(pixel)
    order = np.argsort(where, kind="stable")
    offsets = np.searchsorted(where[order], np.arange(SCAN[0] * SCAN[1] + 1)).astype(np.uint64)
    return ScanEvents(offsets, (place[order, 0] * SHAPE[1] + place[order, 1]).astype(np.uint32))


def counted(scan: ScanEvents, rule: Rule) -> ScanEvents:
    return ScanEvents(*thinned(scan.offsets, scan.events, SHAPE, rule, np.random.default_rng(9)))


def lost(scan: ScanEvents, packing: float = 1.0) -> tuple[np.ndarray, FrameLoss, CountedFrame]:
    positions = np.arange(SCAN[0] * SCAN[1])
    shifts = np.zeros((len(positions), 2), dtype=np.int64)
    canvas = canvas_for(shifts, SHAPE)
    whole, _ = sum_events(scan, positions=positions, shifts=shifts, detector_columns=SHAPE[1], canvas=canvas, coin=None)
    found = frame_loss(
        whole, scan, positions=positions, shifts=shifts, scan_shape=SCAN, detector_columns=SHAPE[1], canvas=canvas,
        centre=CENTRE, per_position=1.0, reach=1, packing=packing,
        least_spread=0.0,
    )  # fmt: skip
    return whole, found, CountedFrame(whole, scan, positions, shifts + canvas.origin, found)


def sums(image: np.ndarray) -> np.ndarray:
    corner = SPOTS.astype(int) - 4
    return np.array([image[r : r + 9, c : c + 9].sum() for r, c in corner])


@pytest.mark.parametrize("rule", RULES)
def test_spots_are_corrected_to_what_arrived_by_any_rule(rule: Rule) -> None:
    rates = np.geomspace(0.1, 2.2, len(SPOTS))
    scan = exposed(rates, seed=4)
    truth = sums(np.bincount(scan.events, minlength=SHAPE[0] * SHAPE[1]).reshape(SHAPE))
    away = np.hypot(*(SPOTS - CENTRE).T) > 25

    whole, found, _ = lost(counted(scan, rule))
    ratio = (sums(whole * found.factor) / truth)[away]

    assert (sums(whole) / truth)[away][-10:].mean() < 0.6
    assert ratio[-10:].mean() == pytest.approx(1.0, abs=0.12 if rule == "first" else 0.05)
    assert ratio.mean() == pytest.approx(1.0, abs=0.04 if rule == "first" else 0.03)
    assert found.spread == pytest.approx(bright().var(), abs=0.05)
    assert found.worst == pytest.approx(1 - (sums(whole) / truth)[away].min(), abs=0.18)


def disc_and_halo(rng: np.random.Generator, electrons: float) -> ScanEvents:
    """Return a beam of a radius of 6 px that loses up to half of so many electrons to all of the detector."""
    scattered = np.linspace(0.0, 0.5, SCAN[0] * SCAN[1])
    pixel, position = [], []
    for share in rng.permutation(scattered):
        beam, halo = rng.poisson(electrons * (1 - share)), rng.poisson(electrons * share)
        radius, azimuth = 6.0 * np.sqrt(rng.random(beam)), rng.uniform(0, 2 * np.pi, beam)
        inside = np.stack([radius * np.sin(azimuth), radius * np.cos(azimuth)], axis=1) + CENTRE
        place = np.concatenate([inside + rng.normal(0, 0.4, inside.shape), rng.uniform(0, SHAPE[0] - 1, (halo, 2))])
        pixel.append(np.rint(place).astype(int) @ [SHAPE[1], 1])
        position.append(beam + halo)
    offsets = np.concatenate([[0], np.cumsum(position)]).astype(np.uint64)
    return ScanEvents(offsets, np.concatenate(pixel).astype(np.uint32))


@pytest.mark.parametrize("electrons", [60.0, 250.0])  # up to 5 and 20 within reach
@pytest.mark.parametrize(("rule", "packing"), [("marks", 1.0), ("first", 0.6), ("maxima", 1.0)])
def test_the_beam_tells_which_electron_survives(rule: Rule, packing: float, electrons: float) -> None:
    _, _, frame = lost(counted(disc_and_halo(np.random.default_rng(2), electrons), rule))

    found = packing_of_beam(
        [frame], centre=CENTRE, disc=BeamDisc(radius_px=6.0, edge_px=0.5), detector_columns=SHAPE[1], reach=1
    )

    assert found == pytest.approx(packing, abs=0.12)


def test_a_beam_of_few_electrons_or_of_a_point_tells_nothing() -> None:
    _, _, frame = lost(counted(disc_and_halo(np.random.default_rng(2), 0.5), "first"))
    for radius in (6.0, 3.0):
        disc = BeamDisc(radius_px=radius, edge_px=0.5)
        assert packing_of_beam([frame], centre=CENTRE, disc=disc, detector_columns=SHAPE[1], reach=1) == 1.0


def series_of(scan: ScanEvents, folder: Path, counting: Counting | None) -> TiltSeries:
    file = put_events(folder / "scan.events", scan.offsets, scan.events)
    listed = TiltScan(tilt_deg=0.0, source="s.h5", events=file, counts=len(scan.events))
    return TiltSeries(
        sample="s", composition=None, beam=Beam(energy_kev=300.0), counting=counting,
        detector=Detector(name="d", shape_px=SHAPE, pixel_size_mm=0.01, camera_length_mm=110.0),
        scan=ScanGrid(shape=SCAN, step_nm=10.0, rotation_deg=0.0), tilt_axis=(1.0, 0.0, 0.0), scans=(listed,),
        provenance=Provenance(engine="test", version="1"),
    )  # fmt: skip


MAXIMA = Counting(method="local-maxima-3x3", frames_per_position=1)
IDEAL = Counting(method="ideal", frames_per_position=1)


@pytest.mark.parametrize(
    ("rule", "stated", "reach", "note"),
    [
        (None, None, -1, None),
        (None, IDEAL, -1, None),
        (None, MAXIMA, -1, "the manifest says local maxima, but there are"),
        ("maxima", MAXIMA, 1, None),
        ("maxima", None, 1, "local maxima of 3 x 3 px were counted"),
        ("maxima", IDEAL, 1, "the manifest says otherwise"),
    ],
)
def test_the_events_are_believed_before_the_manifest(
    tmp_path: Path, rule: Rule | None, stated: Counting | None, reach: int, note: str | None
) -> None:
    scan = exposed(np.full(len(SPOTS), 1.0))
    found = judge_counting(series_of(scan if rule is None else counted(scan, rule), tmp_path, stated))
    assert (found.reach_px, found.known) == (reach, True)
    assert (found.note is None) if note is None else (note in str(found.note))


@pytest.mark.parametrize(("stated", "reach", "known"), [(None, -1, False), (MAXIMA, 1, True), (IDEAL, -1, True)])
def test_few_electrons_tell_nothing_and_the_manifest_is_believed(
    tmp_path: Path, stated: Counting | None, reach: int, known: bool
) -> None:
    scan = exposed(np.full(len(SPOTS), 1e-4))
    found = judge_counting(series_of(scan, tmp_path, stated))
    assert (found.reach_px, found.known, found.note) == (reach, known, None)


def test_lost_camera_frames_are_no_exposures() -> None:
    scan = exposed(np.full(len(SPOTS), 1.0))
    sizes = np.diff(scan.offsets.astype(int))
    gone = np.arange(len(sizes)) % 4 == 0
    kept = np.repeat(~gone, sizes)
    fewer = ScanEvents(np.concatenate([[0], np.cumsum(np.where(gone, 0, sizes))]).astype(np.uint64), scan.events[kept])
    every = np.arange(len(sizes))
    assert exposures_of(scan, every, 1.0) == len(sizes)
    assert exposures_of(fewer, every, 1.0) == (~gone).sum()


def test_programs_are_given_whole_numbers_of_the_same_sum(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    frames = rng.poisson(2.0, (2, 20, 30)).astype(np.uint16)
    factor = rng.uniform(1.0, 3.0, frames.shape).astype(np.float32)
    mask = np.ones((20, 30), dtype=bool)
    stack = write_stack(
        tmp_path / "s.h5", frames, count=2, mask=mask, dtype=np.uint16, beside={"correction": list(factor)}
    )
    for given, counts, ratio in zip(each_corrected_frame(stack), frames, factor, strict=True):
        assert abs(int(given.sum()) - float((counts * ratio.astype(float)).sum())) <= 0.5
        assert np.abs(given - counts * ratio).max() <= 1.0
    np.testing.assert_array_equal(stored(stack, "frames"), frames)
