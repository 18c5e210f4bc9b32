"""Which folder an address means: a run below the folder of runs, and nothing that a name can reach beside."""

from pathlib import Path

import pytest

from flows.studio.places import OnePlace, RunsBelow
from tasks.model import InputError


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in ("runs/one", "runs/group/two", "outside"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run.json").write_text("{}")
    (tmp_path / "runs/empty").mkdir()
    (tmp_path / "runs/link").symlink_to(tmp_path / "outside")
    (tmp_path / "runs/inner").symlink_to(tmp_path / "runs/one")
    return tmp_path / "runs"


def test_a_run_is_found_by_its_place(runs: Path) -> None:
    assert RunsBelow(runs).find("one") == runs.resolve() / "one"
    assert RunsBelow(runs).find("group/two") == runs.resolve() / "group/two"
    assert RunsBelow(runs).newest() == ("one",), "links and folders of folders are not listed"


@pytest.mark.parametrize(
    "name",
    [
        None,
        "",
        ".",
        "..",
        "../outside",
        "one/../../outside",
        "/etc",
        "link",
        "inner",
        "empty",
        "absent",
        "one\0",
        "a" * 5000,
    ],
)
def test_no_name_leads_out_nor_to_what_is_no_run(runs: Path, name: str | None) -> None:
    with pytest.raises(InputError, match=r"not the name of a run|no run of this name"):
        RunsBelow(runs).find(name)


def test_a_studio_of_one_folder_opens_no_other(tmp_path: Path) -> None:
    assert OnePlace(tmp_path).find(None) == tmp_path
    with pytest.raises(InputError, match="not served here"):
        OnePlace(tmp_path).find("one")
