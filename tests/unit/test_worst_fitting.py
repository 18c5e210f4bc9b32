"""Whose measurements the worst-fitting reflections of a structure are looked for in."""

import json
from pathlib import Path

import pytest

import flows.worst_fitting
from flows.pipeline import Found, Run
from flows.progress import QuietSteps
from flows.review import NoReview
from flows.settings import Settings
from flows.worst_fitting import with_worst_fitting
from tasks.report import RunOutcome, WorstFitting
from tests.synthetic.outcomes import example_outcome


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> RunOutcome:
    return example_outcome(tmp_path_factory.mktemp("run"), tilts=5)


def run_in(folder: Path) -> Run:
    return Run(folder, Settings(), QuietSteps(), (), NoReview())


def found_of(outcome: RunOutcome) -> Found:
    return Found(None, outcome.apertures, outcome.crystals, outcome.merged_all)


def test_a_list_that_cannot_be_made_costs_no_report(outcome: RunOutcome, tmp_path: Path) -> None:
    told = with_worst_fitting(run_in(tmp_path), found_of(outcome))
    first, second, third = told.crystals
    assert first.worst is not None
    assert first.worst.reflections == ()
    assert "crystal-01-refined.fcf: not a readable FCF" in first.worst.notes[0]
    assert (second.worst, third.worst) == (None, None)  # they have no structure
    assert first.model_copy(update={"worst": outcome.crystals[0].worst}) == outcome.crystals[0]


def test_axes_that_cannot_be_reduced_cost_no_report_either(
    outcome: RunOutcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_arguments: object) -> WorstFitting:
        raise ValueError("no reduction of the cell")

    monkeypatch.setattr(flows.worst_fitting, "read_fit", lambda _path: None)
    monkeypatch.setattr(flows.worst_fitting, "worst_fitting", fails)
    told = with_worst_fitting(run_in(tmp_path), found_of(outcome))
    assert told.merged[0].worst == WorstFitting(
        reflections=(), notes=("There is no such list: no reduction of the cell",)
    )


def test_merged_data_are_looked_for_in_what_was_merged(
    outcome: RunOutcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = outcome.crystals[0].reflections
    assert first is not None
    beside = first.model_copy(update={"spots": 77})
    folder = tmp_path / "crystals" / "crystal-01" / "neighbours"
    folder.mkdir(parents=True)
    record = {"key": "k", "document": beside.model_dump(mode="json", context={"root": folder})}
    (folder / "document.json").write_text(json.dumps(record))
    asked = {}

    def seen(_fitted, _model, data, crystals) -> WorstFitting:
        asked[data.id] = [(one.reflections.id, one.reflections.spots, one.frames is not None) for one in crystals]
        return WorstFitting(reflections=())

    monkeypatch.setattr(flows.worst_fitting, "read_fit", lambda _path: None)
    monkeypatch.setattr(flows.worst_fitting, "worst_fitting", seen)
    with_worst_fitting(run_in(tmp_path), found_of(outcome))
    second = outcome.crystals[1].reflections
    assert second is not None
    assert asked == {
        "crystal-01": [("crystal-01", first.spots, True)],
        "merged-01": [("crystal-01", 77, True), (second.id, second.spots, True)],
    }
