"""Maps over the probe positions that cannot be made cost no structure."""

import logging

import pytest

import flows.pipeline
from flows.pipeline import Run, with_maps
from flows.progress import QuietSteps
from flows.review import NoReview
from flows.settings import Settings
from tasks.model import FileRef, SourceError
from tasks.report import RunOutcome
from tests.synthetic.outcomes import example_outcome


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> RunOutcome:
    return example_outcome(tmp_path_factory.mktemp("run"), tilts=5)


def test_a_map_that_fails_is_told_and_the_crystal_goes_on(outcome, tmp_path, monkeypatch, caplog) -> None:
    def fails(*_args, **_options):
        raise SourceError("maps.h5: its orientations are not kept", "run again")

    monkeypatch.setattr(flows.pipeline, "map_crystal", fails)
    (tmp_path / "traces.h5").write_bytes(b"")
    crystal = outcome.crystals[0]
    kept = crystal.reflections.model_copy(update={"traces": FileRef.of(tmp_path / "traces.h5")})
    asked = crystal.model_copy(update={"reflections": kept})
    run = Run(tmp_path, Settings(position_maps=True), QuietSteps(), (), NoReview())
    with caplog.at_level(logging.WARNING):
        found = with_maps(run, None, None, asked)
    assert found == asked
    assert "crystal-01: no maps: maps.h5: its orientations are not kept" in caplog.text
