"""Series that begin to grow: each is announced once, whatever the server does in the meantime."""

import shutil
from pathlib import Path

import httpx
import pytest

from flows import live_arrivals
from flows.live_arrivals import LiveStarts, begun
from flows.live_artifact import live_markdown
from flows.live_series import series_key
from flows.live_source import growing_folder
from flows.site import FolderRule, Site
from tasks.model import SettingsError
from tasks.report import LiveCrystal, LiveScan, LiveState
from tests.synthetic.arriving_series import drop
from tests.synthetic.growing_series import GrowingFolder

PATTERN = r"scan_(?P<tilt>[+-]\d+)deg\.h5"


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    (tmp_path / "incoming").mkdir()
    return tmp_path / "incoming"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the runs that were asked for; the first time the server is away."""
    keys: list[str] = []
    away = iter([True])

    def announce(source: Path, key: str) -> str:
        if next(away, False):
            raise httpx.ConnectError(str(source))
        keys.append(key)
        return "run"

    monkeypatch.setattr(live_arrivals, "announce_live", announce)
    monkeypatch.setattr(live_arrivals, "EVERY_S", 0.0)
    return keys


def growing(incoming: Path, tmp_path: Path, name: str = "series") -> GrowingFolder:
    return GrowingFolder(drop(tmp_path / f"whole-{name}"), incoming / name)


def test_a_series_is_announced_when_its_first_scan_lies_there_and_once(
    incoming: Path, tmp_path: Path, asked: list[str]
) -> None:
    starts = LiveStarts(Site(incoming=(incoming,), live=True))
    series = growing(incoming, tmp_path)
    series.tell()
    assert starts.look() == 0  # no scan yet
    series.add(series.names[:1])
    assert starts.look() == 0  # the server is away
    assert [starts.look() for _ in range(3)] == [1, 0, 0]
    assert asked == [series_key(series.folder)]
    again = LiveStarts(Site(incoming=(incoming,), live=True))
    again.look()
    assert asked == [series_key(series.folder)] * 2  # after a restart of the watcher: the same run


def test_what_is_complete_or_wrong_or_not_asked_for_is_not_followed(
    incoming: Path, tmp_path: Path, asked: list[str]
) -> None:
    drop(incoming / "complete")
    wrong = growing(incoming, tmp_path, "wrong")
    wrong.add(wrong.names[:1])
    wrong.tell(beam={})
    assert list(begun(incoming, Site(incoming=(incoming,), live=True))) == []
    right = growing(incoming, tmp_path, "right")
    right.add(right.names[:1])
    assert LiveStarts(Site(incoming=(incoming,))).look() == 0
    assert asked == []


def test_scans_of_an_instrument_are_followed_until_they_are_quiet(incoming: Path, tmp_path: Path) -> None:
    template = tmp_path / "template.json"
    template.write_text("{}")
    folder = incoming / "titan"
    folder.mkdir()
    (folder / "scan_+2deg.h5").write_bytes(b"x")
    lively = FolderRule(file_pattern=PATTERN, manifest=template, quiet_s=1000.0)
    assert list(begun(incoming, Site(incoming=(incoming,), instruments={"titan": lively}))) == [folder]
    quiet = FolderRule(file_pattern=PATTERN, manifest=template, quiet_s=1e-6)
    assert list(begun(incoming, Site(incoming=(incoming,), instruments={"titan": quiet}))) == []


def test_a_folder_that_two_instruments_take_for_theirs_is_followed_by_neither(incoming: Path, tmp_path: Path) -> None:
    template = tmp_path / "template.json"
    template.write_text("{}")
    (incoming / "scan_+2deg.h5").write_bytes(b"x")
    patterns = {"titan": PATTERN, "team": PATTERN.replace("deg", "d.g")}
    rules = {name: FolderRule(file_pattern=pattern, manifest=template) for name, pattern in patterns.items()}
    site = Site(incoming=(incoming,), instruments=rules)
    assert list(begun(incoming, site)) == []
    with pytest.raises(SettingsError, match="those of two instruments of the site file: team and titan"):
        growing_folder(incoming, site, tmp_path / "keep", copies=None)


def test_a_folder_that_cannot_be_read_is_no_matter_of_the_others(
    incoming: Path, tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (incoming / "a-broken").mkdir()
    (incoming / "a-broken" / "scan_+2deg.h5").write_bytes(b"x")
    real = live_arrivals.rule_of

    def refuse(folder: Path, site: Site) -> FolderRule | None:
        if folder.name == "a-broken":
            raise PermissionError(13, "Permission denied")
        return real(folder, site)

    monkeypatch.setattr(live_arrivals, "rule_of", refuse)
    series = growing(incoming, tmp_path)
    series.add(series.names[:1])
    starts = LiveStarts(Site(incoming=(incoming,), live=True))
    starts.look()
    starts.look()
    assert asked == [series_key(series.folder)]


def test_a_folder_made_anew_under_an_old_name_is_another_series(incoming: Path, tmp_path: Path) -> None:
    series = growing(incoming, tmp_path).folder
    first = series_key(series)
    (tmp_path / "keep").mkdir()
    series.rename(tmp_path / "keep" / "series")
    shutil.copytree(tmp_path / "keep" / "series", series)
    assert series_key(series) != first


def test_text_from_outside_is_text_on_the_page_of_the_run() -> None:
    name = "[x](http://evil) | <b>"
    state = LiveState(
        sample=name,
        source="/data",
        updated="now",
        scans=(LiveScan(file=name, tilt_deg=None, state="damaged", note="```\n# head"),),
        crystals=(LiveCrystal(id="crystal-01", scans=3, positions=9, tilts=3, reason=name),),
        notes=(name,),
    )
    text = live_markdown(state, None)
    assert "[x](" not in text
    assert "<b>" not in text
    assert "\n# head" not in text
    assert "not yet" in text
