"""A run folder belongs to one source and one set of settings."""

import json
from pathlib import Path

import pytest

from flows.run_folder import claimed, read_results, read_whole_results
from flows.settings import Settings, load_settings
from tasks.model import SettingsError, SourceError


def claim(folder: Path, *, key: str = "k", settings: Settings | None = None) -> None:
    with claimed(folder, source_key=key, source_name="source", settings=settings or Settings()):
        (folder / "work").write_text("done")


def test_the_same_run_is_taken_up_again(tmp_path: Path) -> None:
    claim(tmp_path / "run")
    claim(tmp_path / "run")
    assert (tmp_path / "run" / "work").read_text() == "done"


def test_another_source_is_refused(tmp_path: Path) -> None:
    claim(tmp_path / "run")
    with pytest.raises(SettingsError, match="another source"):
        claim(tmp_path / "run", key="other")


def test_a_run_goes_on_wherever_it_is_computed(tmp_path: Path) -> None:
    claim(tmp_path / "run")
    claim(tmp_path / "run", settings=load_settings(None, ["compute.engine=processes", "compute.workers=7"]))


def test_other_settings_are_refused(tmp_path: Path) -> None:
    claim(tmp_path / "run")
    with pytest.raises(SettingsError, match="other settings"):
        claim(tmp_path / "run", settings=Settings(merge_crystals=False))


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(SettingsError, match=r"thesis\.tex"):
        claim(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == ["thesis.tex"]


def test_two_runs_at_once_in_one_folder_are_refused(tmp_path: Path) -> None:
    with (
        claimed(tmp_path / "run", source_key="k", source_name="s", settings=Settings()),
        pytest.raises(SettingsError, match="another run is going on"),
    ):
        claim(tmp_path / "run")


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(SettingsError, match="cannot write"):
        claim(tmp_path / "run")


def test_a_damaged_claim_is_refused(tmp_path: Path) -> None:
    claim(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(SettingsError, match=r"run\.json"):
        claim(tmp_path / "run")


def test_a_run_of_version_0_1_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    claim(tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    earlier = {name: value for name, value in json.loads(path.read_text()).items() if name != "version"}
    path.write_text(json.dumps(earlier))
    with pytest.raises(SettingsError, match=r"holds a run of apertura 0\.1: apertura 0\.2 computes its steps by other"):
        claim(tmp_path / "run")
    assert json.loads(path.read_text()) == earlier


RESULTS = {"status": "solved", "source": {"kind": "tilt series", "path": "/s"}, "provenance": {}}


def test_the_results_of_a_finished_run_are_read(tmp_path: Path) -> None:
    claim(tmp_path)
    content = {**RESULTS, "crystals": [{"id": "crystal-01"}]}
    (tmp_path / "results.json").write_text(json.dumps(content))
    assert read_whole_results(tmp_path) == content


def test_a_folder_without_results_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    claim(tmp_path / "stopped")
    for name, why in {
        "none": "no such folder",
        "file": "is a file",
        "empty": "not the results of a finished run",
        "stopped": "did not come to its end",
    }.items():
        with pytest.raises(SourceError, match=f"{name}: .*{why}"):
            read_results(tmp_path / name)
    with (
        claimed(tmp_path / "going", source_key="k", source_name="s", settings=Settings()) as going,
        pytest.raises(SourceError, match="going: its run is still going on"),
    ):
        read_results(going)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({**RESULTS, "crystals": []})[:-9],
        "[]",
        json.dumps({"status": "solved"}),
        json.dumps({**RESULTS, "crystals": {"id": "crystal-01"}}),
        json.dumps({**RESULTS, "crystals": [{"name": "crystal-01"}]}),
        json.dumps({**RESULTS, "crystals": [], "source": {"kind": "tilt series"}}),
    ],
)
def test_results_that_are_damaged_or_of_something_else_are_refused(tmp_path: Path, text: str) -> None:
    claim(tmp_path)
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(SourceError, match=r"results\.json: not the results"):
        read_whole_results(tmp_path)
