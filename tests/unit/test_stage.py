"""A unit of work is run once, resumed when its inputs match, and run again when they do not."""

import hashlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tasks.model import Document, FileRef, ProgramFailedError
from tasks.stage import done_here, fingerprint, handed_to, stage

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


@stage(name="slowly {ask.word}")
def make_slowly(ask: Ask, workdir: Path) -> Made:
    CALLS.append(ask.word)
    (workdir / "text").write_text(ask.word)
    both_are_at_it.wait(60)
    return Made(text=FileRef.of(workdir / "text"), length=len(ask.word))


both_are_at_it = threading.Barrier(2)


def test_a_unit_done_twice_at_once_is_done_as_once(tmp_path: Path) -> None:
    (tmp_path / "unit").mkdir()
    (tmp_path / "unit" / "stale").touch()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: make_slowly(Ask(word="spot"), workdir=tmp_path / "unit"), range(2))
    assert CALLS == ["spot", "spot"]
    assert first == second
    assert first.text.unchanged()
    assert [path.name for path in tmp_path.iterdir()] == ["unit"]
    assert {path.name for path in (tmp_path / "unit").iterdir()} == {"text", "document.json"}


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    here = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:4]
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead, alive = (tmp_path / f".unit.{here}-{pid:x}-ab12.partial" for pid in (ended.pid, os.getpid()))
    elsewhere, long_ago = (tmp_path / f".unit.zzzz-{pid:x}-ab12.partial" for pid in (1, 2))
    for place in (dead, alive, elsewhere, long_ago):
        place.mkdir()
    os.utime(long_ago, (0, 0))
    make(Ask(word="spot"), workdir=tmp_path / "unit")
    assert {path.name for path in tmp_path.iterdir()} == {"unit", alive.name, elsewhere.name}


class OtherCode:
    """Hands that do a unit by other code, as a worker of another version would."""

    def do(self, call: Callable[..., Document], arguments: Mapping[str, Any]) -> str:
        record = json.loads(done_here(call, arguments))
        return json.dumps({**record, "key": "of another version"})


def test_what_other_code_made_is_refused(tmp_path: Path) -> None:
    with handed_to(OtherCode()), pytest.raises(ProgramFailedError, match="other code"):
        make(Ask(word="spot"), workdir=tmp_path / "unit")
