"""What a run makes has the group and mode of its proposal, however it was made; other folders are left alone."""

import grp
import os
import stat
import tempfile
from pathlib import Path

import pytest

from flows.ownership import owned
from flows.proposals import Belonging, owner_of
from flows.run_folder import claimed
from flows.settings import Settings
from flows.site import Site
from flows.site_rules import DataRule
from tasks.model import SettingsError

WHO = Belonging(proposal="MX-1", sample="s")


@pytest.fixture
def group() -> grp.struct_group:
    """Another group than the process's own, if it may give files to one."""
    mine = {*os.getgroups(), os.getegid()} if os.geteuid() else {one.gr_gid for one in grp.getgrall()}
    others = [one for one in grp.getgrall() if one.gr_gid in mine - {os.getegid()}]
    return (others or [grp.getgrgid(os.getegid())])[0]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def made_in(folder: Path) -> list[Path]:
    """Make files as a run does: by `open`, in a new folder, and by renaming a temporary file."""
    (folder / "crystals").mkdir()
    (folder / "crystals" / "a.json").write_text("{}")
    descriptor, name = tempfile.mkstemp(dir=folder)
    os.close(descriptor)
    Path(name).rename(folder / "results.json")
    return [folder / "crystals" / "a.json", folder / "results.json"]


def test_all_that_a_run_makes_has_group_and_mode(tmp_path: Path, group: grp.struct_group) -> None:
    site = Site(rules=(DataRule(proposal="MX-1", group=group.gr_name, mode="750"),))
    folder = tmp_path / "run"
    before = os.umask(0o022)
    try:
        with owned(site, folder, WHO):
            files = made_in(folder)
            assert mode_of(files[0]) == 0o640, "at once"
        assert os.umask(0o022) == 0o022, "the process's own umask is back"
    finally:
        os.umask(before)
    assert {mode_of(path) for path in files} == {0o640}
    assert {mode_of(path) for path in (folder, folder / "crystals")} == {0o2750}
    assert {path.stat().st_gid for path in (folder, folder / "crystals", *files)} == {group.gr_gid}
    assert owner_of(site, folder) == WHO


def test_a_run_that_fails_leaves_nothing_open(tmp_path: Path) -> None:
    site = Site(rules=(DataRule(mode="700"),))

    def run_and_fail() -> None:
        with owned(site, tmp_path / "run", WHO):
            made_in(tmp_path / "run")[0].chmod(0o644)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_and_fail()
    assert {mode_of(path) for path in (tmp_path / "run").rglob("*.json")} == {0o600}
    assert mode_of(tmp_path / "run" / "crystals") == 0o700


def test_the_mode_is_set_where_no_set_group_id_bit_may_be(
    tmp_path: Path, group: grp.struct_group, monkeypatch: pytest.MonkeyPatch
) -> None:
    chmod = Path.chmod

    def restricted(path: Path, mode: int) -> None:
        if mode & 0o6000:
            raise PermissionError(1, "Operation not permitted")
        chmod(path, mode)

    monkeypatch.setattr(Path, "chmod", restricted)
    site = Site(rules=(DataRule(group=group.gr_name, mode="750"),))
    with owned(site, tmp_path / "run", WHO):
        assert mode_of(tmp_path / "run") == 0o750
        files = made_in(tmp_path / "run")
    assert {(mode_of(path), path.stat().st_gid) for path in files} == {(0o640, group.gr_gid)}


def test_a_link_in_a_run_folder_changes_nothing_elsewhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("x")
    outside.chmod(0o644)
    with owned(Site(rules=(DataRule(mode="700"),)), tmp_path / "run", WHO):
        (tmp_path / "run" / "link").symlink_to(outside)
    assert mode_of(outside) == 0o644


def test_a_folder_of_other_things_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("x")
    (tmp_path / "letter.txt").chmod(0o644)
    site = Site(rules=(DataRule(mode="700"),))
    with (
        pytest.raises(SettingsError, match="not of a run"),
        owned(site, tmp_path, WHO),
        claimed(tmp_path, source_key="k", source_name="s", settings=Settings()),
    ):
        pytest.fail("claimed")
    assert mode_of(tmp_path / "letter.txt") == 0o644


def test_a_run_claims_the_folder_that_was_prepared_for_it_and_a_site_without_rules_prepares_none(
    tmp_path: Path,
) -> None:
    for site, folder in ((Site(rules=(DataRule(mode="700"),)), tmp_path / "a"), (Site(), tmp_path / "b")):
        with owned(site, folder, WHO):
            assert folder.exists() == bool(site.rules)
            with claimed(folder, source_key="k", source_name="s", settings=Settings()):
                pass
