"""An error that a damaged file of a run explains names it; any other is a bug and stays one."""

from pathlib import Path

import pytest

from flows.run_files import first_damaged, named_damage
from flows.run_folder import claimed
from flows.settings import Settings
from tasks.model import Document, FileRef, InputError, SourceError


class Names(Document):
    """A document that names files, some of them deep inside."""

    first: FileRef
    others: tuple[FileRef, ...]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with claimed(tmp_path / "run", source_key="k", source_name="s", settings=Settings()) as folder:
        for name in "abc":
            (folder / name).write_text(name)
    return tmp_path / "run"


def names(run: Path) -> Names:
    return Names(first=FileRef.of(run / "a"), others=(FileRef.of(run / "b"), FileRef.of(run / "c")))


def test_a_file_that_is_gone_or_changed_is_found_wherever_it_is_named(run: Path) -> None:
    document = names(run)
    assert first_damaged(run, {"one": document}) is None
    (run / "b").write_text("B")
    assert first_damaged(run, [document]) == (run / "b").resolve()
    (run / "a").unlink()
    assert first_damaged(run, [document]) == (run / "a").resolve()


def test_files_outside_the_run_are_not_read(run: Path, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("large")
    outside = FileRef.of(tmp_path / "source")
    (tmp_path / "source").unlink()
    assert first_damaged(run, outside) is None


def test_what_is_known_of_a_file_is_not_asked_again(run: Path) -> None:
    document, seen = names(run), {}
    assert first_damaged(run, document, seen=seen) is None
    (run / "a").unlink()
    assert first_damaged(run, document, seen=seen) is None
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("harm", "said"), [(Path.unlink, "c: gone"), (lambda path: path.write_text("C"), "c: damaged")]
)
def test_an_error_names_the_file_it_came_from(run: Path, harm, said: str) -> None:
    document = names(run)
    harm(run / "c")
    with pytest.raises(SourceError, match=said), named_damage(run, document):
        raise OSError("truncated file: eof = 3000")


def test_an_error_that_no_file_explains_goes_on(run: Path) -> None:
    with pytest.raises(KeyError, match="bug"), named_damage(run, names(run)):
        raise KeyError("bug")
    with pytest.raises(InputError, match="said well"), named_damage(run, names(run)):
        raise InputError("said well")


def test_a_file_that_a_run_is_just_making_anew_is_no_damage(run: Path) -> None:
    document = names(run)
    (run / "a").unlink()
    with (
        claimed(run, source_key="k", source_name="s", settings=Settings()),
        pytest.raises(SourceError, match="a run is going on there"),
        named_damage(run, document),
    ):
        raise OSError("no such file")
