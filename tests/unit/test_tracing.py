"""Which of a crystal's measurements a trace follows: its own, or those in the lattice of its neighbours."""

import json
from pathlib import Path

import pytest

from flows.tracing import ALSO_BESIDE, AS_MERGED, NOT_ALONE, crystal_of, trace
from tasks.frames import FrameSeries, stored_frame
from tasks.integrate import Reflections
from tasks.model import Document, SourceError
from tests.synthetic.outcomes import example_outcome
from tests.synthetic.traced import SIDE, Row, traces_file

HKL = (2, 2, 0)


class Crystal:
    """A crystal in a finished run, measured in places of the frames that tests choose."""

    def __init__(self, run: Path) -> None:
        self.run = run
        crystal = example_outcome(run, tilts=5).crystals[0]
        assert crystal.frames is not None
        assert crystal.reflections is not None
        self.frames: FrameSeries = crystal.frames
        self.reflections: Reflections = crystal.reflections
        content = {
            "status": "solved", "source": {"kind": "rotation series", "path": "/gone"}, "provenance": {},
            "crystals": [{"id": "crystal-01"}],
        }  # fmt: skip
        (run / "results.json").write_text(json.dumps(content))
        self._finish("frames", self.frames)

    def measured(self, name: str, px: tuple[int, int]) -> int:
        """Measure the reflection at a place of the third frame; return its electrons there."""
        slow, fast = (slice(at - SIDE // 2, at + SIDE // 2 + 1) for at in px)
        counts = int(stored_frame(self.frames.stack, 2)[slow, fast].sum())
        traces = traces_file(self.run / f"{name}.h5", [Row(HKL, 2, counts=counts)], px=px)
        self._finish(name, self.reflections.model_copy(update={"traces": traces}))
        return counts

    def _finish(self, name: str, document: Document) -> None:
        folder = self.run / "crystals" / "crystal-01" / name
        folder.mkdir(parents=True)
        record = {"key": "k", "document": document.model_dump(mode="json", context={"root": folder})}
        (folder / "document.json").write_text(json.dumps(record))


@pytest.fixture
def crystal(tmp_path: Path) -> Crystal:
    return Crystal(tmp_path)


def test_a_crystal_that_was_measured_beside_others_only_is_traced_there(crystal: Crystal) -> None:
    middle = crystal.frames.detector.shape_px[0] // 2
    counts = crystal.measured("neighbours", (middle, middle))
    assert counts > 0
    for merged in (False, True):
        traced = trace(crystal.run, "crystal-01", "2,2,0", merged=merged)
        assert traced.counts_total == counts
        assert NOT_ALONE in traced.notes


def test_the_geometry_of_a_crystal_is_its_own_or_that_in_the_lattice_of_its_neighbours(crystal: Crystal) -> None:
    crystal.measured("neighbours", (3, 3))
    beside = crystal_of(crystal.run, "crystal-01").reflections
    crystal.measured("integrate", (9, 9))
    own = crystal_of(crystal.run, "crystal-01").reflections
    assert beside.traces is not None
    assert own.traces is not None
    assert (beside.traces.path.stem, own.traces.path.stem) == ("neighbours", "integrate")


def test_of_two_measurements_its_own_is_traced_unless_the_merged_one_is_asked_for(crystal: Crystal) -> None:
    middle = crystal.frames.detector.shape_px[0] // 2
    own = crystal.measured("integrate", (middle, middle))
    beside = crystal.measured("neighbours", (3, 3))
    assert own != beside
    alone, merged = (trace(crystal.run, "crystal-01", "2,2,0", merged=asked) for asked in (False, True))
    assert (alone.counts_total, merged.counts_total) == (own, beside)
    assert ALSO_BESIDE in alone.notes
    assert AS_MERGED in merged.notes


def test_a_crystal_that_was_merged_with_none_is_traced_by_its_own_measurement(crystal: Crystal) -> None:
    own = crystal.measured("integrate", (9, 9))
    traced = trace(crystal.run, "crystal-01", "2,2,0", merged=True)
    assert traced.counts_total == own
    assert not set(traced.notes) & {AS_MERGED, ALSO_BESIDE, NOT_ALONE}


def test_a_crystal_without_any_intensities_did_not_come_so_far(crystal: Crystal) -> None:
    with pytest.raises(SourceError, match="did not come so far"):
        trace(crystal.run, "crystal-01", "2,2,0")
