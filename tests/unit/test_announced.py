"""What ran is what was announced: another content is refused with what changed, before it is read and after."""

import shutil
from pathlib import Path

import pytest

from flows import announced
from flows.announced import AsAnnounced, check_announced
from flows.content import content_of
from flows.ledger import Ledger
from flows.site import Site
from tasks.model import ChangedSourceError, SourceError
from tests.synthetic.arriving_series import drop


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return drop(tmp_path / "a")


@pytest.fixture
def site(tmp_path: Path, source: Path) -> Site:
    """Return a site whose ledger knows what was announced."""
    content = content_of(source)
    ledger = tmp_path / "ledger.db"
    Ledger(ledger).add(content.key, source, files=content.files)
    return Site(ledger=ledger)


def key_of(site: Site) -> str:
    assert site.ledger is not None
    return Ledger(site.ledger).everything()[0].key


def test_what_wAsAnnounced_is_let_through_and_what_nobody_announced_too(source: Path, site: Site) -> None:
    check_announced(source, key_of(site), site)
    check_announced(source / "nowhere", None, site)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("3.h5", b"9876543210", "3.h5 is another"),
        ("3.h5", b"short", "3.h5 is another"),
        ("3.h5", None, "3.h5 is gone"),
        ("tilt_series.json", b"{}", "tilt_series.json is another"),
        ("tilt_series.json", None, "tilt_series.json is gone"),
    ],
)
def test_a_file_that_was_replaced_cut_or_removed_is_named(
    source: Path, site: Site, name: str, content: bytes | None, said: str
) -> None:
    (source / name).unlink() if content is None else (source / name).write_bytes(content)
    with pytest.raises(ChangedSourceError, match="not what was announced") as refused:
        check_announced(source, key_of(site), site)
    assert refused.value.message.endswith(said)


def test_without_a_ledger_it_is_still_refused(source: Path, site: Site) -> None:
    key = key_of(site)
    (source / "3.h5").write_bytes(b"9876543210")
    with pytest.raises(ChangedSourceError, match="a file that it lists is another"):
        check_announced(source, key, Site())


def test_what_cannot_be_read_is_not_called_changed(source: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_: Path) -> None:
        raise PermissionError(13, "Permission denied", str(source / "3.h5"))

    monkeypatch.setattr(announced, "content_of", denied)
    with pytest.raises(SourceError, match=r"3\.h5: cannot be read: Permission denied") as refused:
        check_announced(source, key_of(site), site)
    assert not isinstance(refused.value, ChangedSourceError)


def test_what_is_no_longer_there_is_said_to_be_gone(source: Path, site: Site, tmp_path: Path) -> None:
    source.rename(tmp_path / "b")
    with pytest.raises(SourceError, match="removed, renamed or moved") as refused:
        check_announced(source, key_of(site), site)
    assert not isinstance(refused.value, ChangedSourceError)


@pytest.mark.parametrize("fails", [False, True])
def test_what_was_made_of_files_that_changed_meanwhile_is_set_aside(
    source: Path, site: Site, tmp_path: Path, fails: bool
) -> None:
    folder = tmp_path / "run"
    for _ in range(2):
        folder.mkdir()
        (folder / "results.json").write_text("{}")
        key = key_of(site)
        with (
            pytest.raises(ChangedSourceError, match=r"0\.h5 is another \(while it was read; .* is no result"),
            AsAnnounced(source, key, site, folder),
        ):
            replaced(source / "0.h5", fails=fails)
        assert not folder.exists()
    assert [path.name for path in sorted(tmp_path.glob("run*"))] == ["run.changed-1", "run.changed-2"]
    assert not list(tmp_path.glob("run*/results.json"))


def replaced(path: Path, *, fails: bool) -> None:
    path.write_bytes(b"9876543210")
    if fails:
        raise OSError("cut short")


def test_an_error_of_a_run_whose_source_is_as_it_was_stays_what_it_is(source: Path, site: Site, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="of its own"), AsAnnounced(source, key_of(site), site, tmp_path / "run"):
        raise OSError("of its own")


def test_what_was_moved_when_all_was_read_fails_and_keeps_what_was_made(
    source: Path, site: Site, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(SourceError, match="renamed or moved"), AsAnnounced(source, key_of(site), site, folder):
        shutil.move(source, tmp_path / "b")
    assert folder.is_dir()
