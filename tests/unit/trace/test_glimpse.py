"""Crossings of reflections, from the file of what was measured."""

import numpy as np
import pytest

from tasks.crystal.symmetry import laue_group_of
from tasks.integrate.measurements import LEFT_OUT, read_traces
from tasks.model import SourceError
from tasks.trace import glimpses, kept_traces
from tests.synthetic.outcomes import example_outcome
from tests.synthetic.traced import Row, traces_file

LAUE = laue_group_of("F m -3 m")
ROWS = (
    Row((2, 0, 0), 0, counts=9, predicted=6.5),
    Row((2, 0, 0), 1, counts=52, predicted=49.0),
    Row((0, 0, -2), 2, counts=30, predicted=70.0),
    Row((0, 2, 2), 3, counts=99, predicted=90.0),
    Row((2, 0, 0), 4, counts=3, state=LEFT_OUT),
)


@pytest.fixture(scope="module")
def crystal(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("traced")
    outcome = example_outcome(folder, tilts=5).crystals[0]
    kept = outcome.reflections.model_copy(update={"traces": traces_file(folder / "traces.h5", ROWS)})
    return kept, outcome.frames


def test_equivalents_on_frames_in_a_row_are_one_crossing_each(crystal) -> None:
    reflections, frames = crystal
    every = read_traces(kept_traces(reflections))
    ((crossings, in_all),) = glimpses([np.array([[0, 2, 0]])], every, LAUE, frames, most=9)
    assert in_all == 3
    assert [one.hkl for one in crossings] == [(2, 0, 0), (0, 0, -2), (2, 0, 0)]
    first = crossings[0]
    assert first.counts.tolist() == [9, 52]
    assert first.used.tolist() == [True, True]
    tilts = [frame.angle_deg + frame.width_deg / 2 for frame in frames.frames]
    assert first.tilt_deg.tolist() == tilts[:2]
    assert crossings[2].used.tolist() == [False]
    assert [every.counts[one.brightest] for one in crossings] == [52, 30, 3]


def test_of_many_those_stay_that_have_or_should_have_most_electrons(crystal) -> None:
    reflections, frames = crystal
    wanted = [np.array([[2, 0, 0]]), np.array([[2, 2, 0]]), np.zeros((0, 3), np.int32)]
    first, other, none = glimpses(wanted, read_traces(kept_traces(reflections)), LAUE, frames, most=1)
    assert [one.hkl for one in first.crossings] == [(0, 0, -2)]  # 28 counted, 70 predicted
    assert (first.in_all, other.in_all, none) == (3, 1, ((), 0))


def test_without_the_file_there_is_nothing_to_see(crystal) -> None:
    with pytest.raises(SourceError, match="only the built-in"):
        kept_traces(crystal[0].model_copy(update={"traces": None}))
