"""Where the run of a data set lives: the same for the same data and settings, whatever it is called."""

import json
from pathlib import Path

import pytest

from flows.run_folder import VERSION
from flows.settings import Settings
from flows.site import Site
from flows.solve_series import run_folder
from tasks.ingest import read_source
from tests.synthetic.arriving_series import drop


def place_of(source: Path, tmp_path: Path) -> Path:
    return run_folder(Site(runs=tmp_path / "runs"), source, read_source(source), Settings())


@pytest.mark.parametrize("name", ["n" * 245, "Ä" * 127, "short"])
def test_a_long_name_is_cut_and_the_run_folder_can_be_made(tmp_path: Path, name: str) -> None:
    folder = place_of(drop(tmp_path / "incoming" / name), tmp_path)
    folder.mkdir(parents=True)
    folder.with_name(f"{folder.name}.changed-10").mkdir()
    assert folder.name[:5] == name[:5]


def test_a_run_begun_by_another_version_is_left_to_it(tmp_path: Path) -> None:
    source = drop(tmp_path / "incoming" / "a")
    folder = place_of(source, tmp_path)
    folder.mkdir(parents=True)
    for version, other in ((VERSION, False), ("0.1", True)):
        (folder / "run.json").write_text(json.dumps({"version": version}))
        assert (place_of(source, tmp_path) != folder) is other
