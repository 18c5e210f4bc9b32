"""A unit of work is run once, resumed when its inputs match, and run again when they do not."""

from pathlib import Path

import pytest

from tasks.model import Document, FileRef
from tasks.stage import fingerprint, stage

CALLS: list[str] = []


class Made(Document):
    text: FileRef
    length: int


class Ask(Document):
    word: str
    file: FileRef | None = None


@stage(name="make {ask.word}")
def make(ask: Ask, workdir: Path) -> Made:
    CALLS.append(ask.word)
    if ask.word == "fail":
        raise RuntimeError("no")
    (workdir / "text").write_text(ask.word)
    return Made(text=FileRef.of(workdir / "text"), length=len(ask.word))


@pytest.fixture(autouse=True)
def _forget() -> None:
    CALLS.clear()


def test_a_finished_unit_is_not_run_again(tmp_path: Path) -> None:
    first = make(Ask(word="spot"), workdir=tmp_path / "unit")
    second = make(Ask(word="spot"), workdir=tmp_path / "unit")
    assert CALLS == ["spot"]
    assert first == second
    assert second.text.path == tmp_path / "unit" / "text"
    assert second.text.unchanged()


def test_other_inputs_are_another_result(tmp_path: Path) -> None:
    make(Ask(word="spot"), workdir=tmp_path / "unit")
    other = make(Ask(word="lattice"), workdir=tmp_path / "unit")
    assert CALLS == ["spot", "lattice"]
    assert other.text.path.read_text() == "lattice"


def test_a_moved_run_folder_still_resumes(tmp_path: Path) -> None:
    make(Ask(word="spot"), workdir=tmp_path / "here" / "unit")
    (tmp_path / "here").rename(tmp_path / "there")
    again = make(Ask(word="spot"), workdir=tmp_path / "there" / "unit")
    assert CALLS == ["spot"]
    assert again.text.path == tmp_path / "there" / "unit" / "text"


def test_a_unit_that_died_leaves_no_document(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        make(Ask(word="fail"), workdir=tmp_path / "unit")
    assert not (tmp_path / "unit").exists()


@pytest.mark.parametrize("damage", ["", "{", '{"key": 1}', "[]"])
def test_a_damaged_document_is_run_again(tmp_path: Path, damage: str) -> None:
    make(Ask(word="spot"), workdir=tmp_path / "unit")
    (tmp_path / "unit" / "document.json").write_text(damage)
    assert make(Ask(word="spot"), workdir=tmp_path / "unit").length == 4
    assert CALLS == ["spot", "spot"]


def test_files_count_by_their_bytes_and_not_by_their_paths(tmp_path: Path) -> None:
    for name, content in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).write_text(content)
    a, b, c = (fingerprint({"x": Ask(word="w", file=FileRef.of(tmp_path / name))}) for name in "abc")
    assert a == b
    assert a != c
