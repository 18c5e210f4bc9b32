"""A crystal that bends, measured by parts: a small one, simulated."""

import logging

import numpy as np
import pytest

import flows.bent
from flows.bent import PartsBench, measured_by_parts
from flows.export import FinishedCrystal
from flows.parts import joined_parts
from flows.progress import QuietSteps
from flows.settings import Settings
from tasks.frames.models import FrameSeries
from tasks.integrate.models import Reflections
from tasks.maps import map_crystal
from tasks.model import NotIndexedError
from tasks.report import CrystalOutcome
from tasks.stage import read_document
from tests.synthetic.bent_crystal import BentCrystal, bent_crystal
from tests.synthetic.intensity_scores import score


@pytest.fixture(scope="module")
def bent(tmp_path_factory: pytest.TempPathFactory) -> tuple[BentCrystal, CrystalOutcome, PartsBench]:
    """Return a crystal of 80 nm that turns by 1.5 degrees, mapped, and where it is to be measured by parts."""
    folder = tmp_path_factory.mktemp("bent")
    crystal = bent_crystal(
        1.5, 10, folder, tilts={"step_deg": 4.0}, cluster={"size_nm": 80.0}, instrument={"scan_shape": (12, 12)}
    )
    maps = map_crystal(
        crystal.reflections, crystal.frames, crystal.aperture, crystal.series, crystal.beams, workdir=folder / "maps"
    )
    outcome = CrystalOutcome(
        id=crystal.aperture.id, aperture=crystal.aperture, frames=crystal.frames, reflections=crystal.reflections,
        maps=maps,
    )  # fmt: skip
    return crystal, outcome, PartsBench(crystal.series, crystal.beams, Settings(), QuietSteps(), folder / "crystal")


def test_parts_know_the_intensities_better_and_hold_every_electron_once(bent, caplog) -> None:
    crystal, outcome, bench = bent
    with caplog.at_level(logging.INFO):
        found = measured_by_parts(outcome, bench)
    assert found.parts is not None
    assert found.parts.better
    assert found.reflections == found.parts.joined
    assert found.parts.half_sets_parts > found.parts.half_sets_one
    whole, parts = (score(data, crystal.structure) for data in (found.parts.one, found.parts.joined))
    assert whole is not None
    assert parts is not None
    assert parts.overall > whole.overall
    assert f"intensities of {found.parts.parts} parts joined" in caplog.text
    folders = [bench.folder / "parts" / f"crystal-01-part-{n}" for n in range(1, found.parts.parts + 1)]
    frames = [read_document(folder / "frames", FrameSeries) for folder in folders]
    counts = sum(frame.counts for series in frames for frame in series.frames)
    assert counts == sum(frame.counts for frame in crystal.frames.frames)
    turns = [read_document(folder / "integrate", Reflections).provenance.parameters["turn_deg"] for folder in folders]
    ends = np.array([[float(angle) for angle in str(turn).split()] for turn in (turns[0], turns[-1])])
    assert 0.5 < np.linalg.norm(ends[1] - ends[0]) < 1.5
    assert joined_parts(bench.folder) == found.parts
    assert FinishedCrystal(bench.folder, {}, {}).reflections == found.reflections  # what an export takes


def test_a_crystal_that_does_not_bend_is_handed_back_as_it_is(bent, tmp_path) -> None:
    _, outcome, bench = bent
    straight = outcome.model_copy(update={"maps": outcome.maps.model_copy(update={"bend_deg": 0.1})})
    for crystal in (straight, outcome.model_copy(update={"maps": None})):
        assert measured_by_parts(crystal, bench._replace(folder=tmp_path)) is crystal
    assert not list(tmp_path.iterdir())
    assert joined_parts(tmp_path) is None


def test_a_part_that_cannot_be_measured_is_told_and_costs_nothing(bent, tmp_path, monkeypatch, caplog) -> None:
    _, outcome, bench = bent

    def refuses(*_args, **_options):
        raise NotIndexedError("9 % of 40 spots lie on the lattice", "another crystal")

    monkeypatch.setattr(flows.bent, "integrate_frames", refuses)
    assert measured_by_parts(outcome, bench._replace(folder=tmp_path)) is outcome
    assert "crystal-01: bends by" in caplog.text
    assert "9 % of 40 spots" in caplog.text
