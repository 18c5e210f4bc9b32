"""Scans of an instrument that writes no manifest: a copy with a manifest, made once, its folder only read."""

import json
import os
import time
from pathlib import Path

import pytest

from flows.arrivals import Watcher
from flows.ledger import Ledger
from flows.site import FolderRule, Site, read_site
from flows.staging import quiet_folders, scans_of, staged
from tasks.ingest.manifest import completeness, load_manifest
from tasks.model import SettingsError, SourceError
from tests.synthetic.arriving_series import MANIFEST

PATTERN = r"scan_(?P<tilt>[+-]?\d+(?:\.\d+)?)\.h5"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    template = {name: value for name, value in MANIFEST.items() if name != "sample"}
    (tmp_path / "template.json").write_text(json.dumps(template))
    rule = FolderRule(file_pattern=PATTERN, manifest=tmp_path / "template.json", quiet_s=60)
    (tmp_path / "incoming").mkdir()
    return Site(incoming=(tmp_path / "incoming",), runs=tmp_path / "runs", instruments={"4D Camera": rule})


def scans(folder: Path, *, age_s: float, content: bytes = b"0123456789") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for tilt in ("-2.5", "+10", "0"):
        (folder / f"scan_{tilt}.h5").write_bytes(content)
    (folder / "notes.txt").write_text("not a scan")
    when = time.time() - age_s
    for path in (*folder.iterdir(), folder):
        os.utime(path, (when, when))
    return folder


def test_tilts_come_from_the_names(site: Site, tmp_path: Path) -> None:
    found = scans_of(scans(tmp_path / "a", age_s=0), site.instruments["4D Camera"])
    assert found == {"scan_-2.5.h5": -2.5, "scan_+10.h5": 10.0, "scan_0.h5": 0.0}


def test_only_quiet_folders_without_a_manifest_are_taken(site: Site) -> None:
    (incoming,) = site.incoming
    quiet = scans(incoming / "deep" / "quiet", age_s=100)
    scans(incoming / "busy", age_s=10)
    with_manifest = scans(incoming / "with-manifest", age_s=0)
    (with_manifest / "tilt_series.json").write_text("{}")
    os.utime(with_manifest, (1, 1))
    assert [folder for folder, _ in quiet_folders(incoming, site, depth=4)] == [quiet]


def test_the_copy_is_a_complete_source_and_the_folder_is_untouched(site: Site, tmp_path: Path) -> None:
    folder = scans(site.incoming[0] / "crystals", age_s=100)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    source = staged(folder, site.instruments["4D Camera"], tmp_path / "runs")
    assert completeness(source) == ()
    manifest = load_manifest(source)
    assert manifest.sample == "crystals"
    assert [scan.tilt_deg for scan in manifest.scans] == [-2.5, 0.0, 10.0]
    assert not (source / "notes.txt").exists()
    assert site.confined(source) == source.resolve()
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_it_is_copied_once_and_a_changed_folder_beside_it(site: Site, tmp_path: Path) -> None:
    folder, rule = scans(site.incoming[0] / "a", age_s=100), site.instruments["4D Camera"]
    first = staged(folder, rule, tmp_path / "runs")
    inode = (first / "tilt_series.json").stat().st_ino
    assert staged(folder, rule, tmp_path / "runs") == first
    assert (first / "tilt_series.json").stat().st_ino == inode
    scans(folder, age_s=100, content=b"another content")
    assert staged(folder, rule, tmp_path / "runs") != first


def test_the_watcher_enters_it_once(site: Site, tmp_path: Path) -> None:
    scans(site.incoming[0] / "a", age_s=100)
    ledger = Ledger(tmp_path / "ledger.db")
    assert Watcher(site, ledger).look() == 1
    assert Watcher(site, ledger).look() == 0
    (entry,) = ledger.everything()
    assert Path(entry.path).name == "a"


def test_a_folder_that_two_instruments_take_for_theirs_is_refused_with_both(site: Site, tmp_path: Path) -> None:
    rule = site.instruments["4D Camera"]
    other = rule.model_copy(update={"file_pattern": r"scan_(?P<tilt>[-+0-9.]+)\.h5"})
    both = Site(incoming=site.incoming, runs=site.runs, instruments={**site.instruments, "hybrid pixel": other})
    scans(site.incoming[0] / "a", age_s=100)
    ledger = Ledger(tmp_path / "ledger.db")
    assert Watcher(both, ledger).look() == 0
    (refused,) = ledger.refused()
    assert "those of two instruments of the site file: 4D Camera and hybrid pixel" in refused.reason
    assert Watcher(site, ledger).look() == 1
    assert ledger.refused() == []


def test_a_folder_with_the_longest_name_there_is_is_copied(site: Site, tmp_path: Path) -> None:
    folder = scans(site.incoming[0] / ("n" * 255), age_s=100)
    source = staged(folder, site.instruments["4D Camera"], tmp_path / "runs")
    assert source is not None
    assert completeness(source) == ()


def test_a_wrong_template_is_named_and_stops_no_other_data_set(site: Site, tmp_path: Path) -> None:
    folder, rule = scans(site.incoming[0] / "a", age_s=100), site.instruments["4D Camera"]
    rule.manifest.write_text("[]")
    with pytest.raises(SettingsError, match=r"template\.json"):
        staged(folder, rule, tmp_path / "runs")
    rule.manifest.write_text(json.dumps({"format": "4D-STEM tilt series"}))
    with pytest.raises(SourceError, match="required field"):
        staged(folder, rule, tmp_path / "runs")
    assert Watcher(site, Ledger(tmp_path / "ledger.db")).look() == 0


@pytest.mark.parametrize("pattern", ["scan.h5", "(", ""])
def test_a_pattern_without_tilt_is_refused(pattern: str, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(json.dumps({"instruments": {"x": {"file_pattern": pattern, "manifest": "/m.json"}}}))
    with pytest.raises(SettingsError, match="file_pattern"):
        read_site(path)
