"""Sweeps: every frame once, equal steps only, gaps never bridged."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.frames.models import Frame, FrameSeries
from tasks.frames.sweeps import partition, usable_sweeps
from tasks.model import Beam, Detector, FileRef
from tasks.model.provenance import Provenance


def series_at(angles: list[float], width: float = 0.0) -> FrameSeries:
    return FrameSeries(
        id="crystal-01",
        sample="s",
        composition=None,
        beam=Beam(energy_kev=300),
        detector=Detector(name="d", shape_px=(4, 4), pixel_size_mm=0.01, camera_length_mm=100),
        direct_beam_px=(1.5, 1.5),
        rotation_axis=(1, 0, 0),
        frames=tuple(Frame(number=i, angle_deg=a, width_deg=width, counts=0) for i, a in enumerate(angles)),
        stack=FileRef(path=Path("/nowhere"), sha256=""),
        provenance=Provenance(engine="test", version="0"),
    )


@pytest.mark.parametrize(
    ("angles", "expected"),
    [
        ([0, 1, 2, 3], [(4, -0.5, 1)]),
        ([0, 0.5, 1, 4, 4.5], [(3, -0.25, 0.5), (2, 3.75, 0.5)]),
        ([0, 1, 2, 2.5, 3, 3.5], [(2, -0.5, 1), (4, 1.75, 0.5)]),
        ([0, 7, 8, 9, 10], [(1, -0.5, 1), (4, 6.5, 1)]),
        ([5], [(1, 4.5, 1)]),
        ([-60, -59.333, -58.667, -58], [(4, -60.3333333, 0.6666667)]),
    ],
)
def test_stills_become_wedges_centred_on_their_tilts(angles: list[float], expected: list[tuple]) -> None:
    got = [(len(s.indices), s.start_deg, s.step_deg) for s in partition(series_at(angles))]

    assert [g[0] for g in got] == [e[0] for e in expected]
    np.testing.assert_allclose([g[1:] for g in got], [e[1:] for e in expected], atol=1e-6)


def test_a_rotation_series_is_represented_exactly_and_its_gap_splits_it() -> None:
    angles = [-50.46 + 0.2522 * k for k in (0, 1, 2, 5, 6)]
    first, second = partition(series_at(angles, width=0.2522))

    assert first.exact
    assert second.exact
    assert (first.indices, second.indices) == ((0, 1, 2), (3, 4))
    assert first.start_deg == pytest.approx(-50.46, abs=1e-9)
    assert second.start_deg == pytest.approx(-50.46 + 5 * 0.2522, abs=1e-9)


@given(st.lists(st.integers(1, 400), min_size=0, max_size=30), st.sampled_from([0.0, 0.1]))
def test_any_series_is_covered_once_and_no_frame_is_moved(steps: list[int], width: float) -> None:
    angles = np.concatenate([[0.0], np.cumsum(steps)]) / 10
    found = partition(series_at(angles.tolist(), width))

    assert [i for sweep in found for i in sweep.indices] == list(range(len(angles)))
    for sweep in found:
        middles = sweep.start_deg + sweep.step_deg * (np.arange(len(sweep.indices)) + 0.5)
        error = np.abs(middles - angles[list(sweep.indices)] - width / 2).max()
        assert error <= 0.02 * sweep.step_deg + 1e-8
        assert error == pytest.approx(sweep.deviation_deg, abs=1e-8)


def test_long_series_take_no_time_and_drifting_steps_are_cut() -> None:
    begin = time.process_time()
    (sweep,) = partition(series_at([0.05 * k for k in range(5000)], width=0.05))
    assert time.process_time() - begin < 5
    assert len(sweep.indices) == 5000
    drifting = np.cumsum(0.5 * 1.002 ** np.arange(150))
    assert 1 < len(partition(series_at(drifting.tolist()))) < 30


def test_goniometer_jitter_leaves_few_frames_out_and_its_size_is_told() -> None:
    jitter = np.random.default_rng(4).normal(0, 0.1, 80)
    angles = np.arange(80) * 1.5 - 60 + jitter
    strict = sum(len(s.indices) for s in partition(series_at(angles.tolist())) if len(s.indices) >= 3)
    found = usable_sweeps(series_at(angles.tolist()), fewest=3)
    held = [s for s in found if len(s.indices) >= 3]
    assert strict < 40
    assert sum(len(s.indices) for s in held) >= 72
    for sweep in held:
        assert sweep.deviation_deg <= 0.1 * sweep.step_deg + 1e-8
        middles = sweep.start_deg + sweep.step_deg * (np.arange(len(sweep.indices)) + 0.5)
        assert np.abs(middles - angles[list(sweep.indices)]).max() == pytest.approx(sweep.deviation_deg, abs=1e-7)


def test_equal_steps_and_gaps_are_taken_as_they_are() -> None:
    series = series_at([0, 1, 2, 3, 8, 9, 10, 11])
    assert usable_sweeps(series, fewest=3) == partition(series)


def test_scans_repeated_at_every_tilt_make_a_sweep_for_each_repeat() -> None:
    angles = [a for tilt in (-2.0, -1.0, 0.0, 1.0) for a in (tilt, tilt)]
    parts = usable_sweeps(series_at(angles), fewest=3)

    assert [part.indices for part in parts] == [(0, 2, 4, 6), (1, 3, 5, 7)]
    assert {(part.start_deg, part.step_deg) for part in parts} == {(-2.5, 1.0)}


def test_a_tilt_that_alone_was_repeated_costs_one_frame() -> None:
    parts = partition(series_at([0.0, 1.0, 2.0, 2.0, 3.0, 4.0]))

    assert [part.indices for part in parts] == [(0, 1, 2, 4, 5), (3,)]
