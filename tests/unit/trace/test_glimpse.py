"""Crossings of reflections, from the file of what was measured."""

import h5py
import numpy as np
import pytest

from tasks.crystal.symmetry import laue_group_of
from tasks.integrate.measurements import LEFT_OUT, USED, read_traces
from tasks.model import FileRef, SourceError
from tasks.trace import glimpses, kept_traces
from tests.synthetic.outcomes import example_outcome

ROWS = [  # hkl, frame, counts, background, predicted, state
    ((2, 0, 0), 0, 9, 2.0, 6.5, USED),
    ((2, 0, 0), 1, 52, 2.0, 49.0, USED),
    ((2, 0, 0), 4, 3, 2.0, 1.0, LEFT_OUT),
    ((0, 0, -2), 2, 30, 2.0, 70.0, USED),
    ((0, 2, 2), 3, 99, 2.0, 90.0, USED),
]
LAUE = laue_group_of("F m -3 m")
CORE = np.ones((3, 3), dtype=bool)


@pytest.fixture(scope="module")
def crystal(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("traced")
    outcome = example_outcome(folder, tilts=5).crystals[0]
    path = folder / "traces.h5"
    hkl, frame, counts, background, predicted, state = zip(*ROWS)
    n = len(ROWS)
    with h5py.File(path, "w") as file:
        file["hkl"], file["frame"] = np.array(hkl, np.int32), np.array(frame)
        file["px"], file["centre"] = np.full((n, 2), 9.0), np.full((n, 2), 9)
        file["core"] = np.packbits(np.broadcast_to(CORE, (n, 3, 3)).reshape(n, -1), axis=1)
        file["counts"], file["background"], file["predicted"] = np.array(counts), np.array(background), predicted
        file["excitation"], file["state"] = np.zeros(n), np.array(state, np.uint8)
        file["overlapped"] = np.zeros(n, dtype=bool)
        file.attrs["side_px"] = 3
    kept = outcome.reflections.model_copy(update={"traces": FileRef.of(path)})
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
