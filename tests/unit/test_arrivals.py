"""Arrivals: complete data sets only, each once, whatever happens to the server."""

import json
import os
import shutil
from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest

from flows import arrivals, deliveries
from flows.arrivals import Watcher, complete_sources
from flows.content import content_key
from flows.deliveries import Fate
from flows.ledger import Ledger
from flows.site import Site
from tests.synthetic.arriving_series import drop


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []

    def announce(source: Path, key: str, *, previous: str | None = None, delivery: int = 1) -> str:
        made.append(f"{source.name}:{key}:{previous}" + (f":{delivery}" if delivery > 1 else ""))
        return f"run-{len(made)}"

    monkeypatch.setattr(arrivals, "announce_run", announce)
    monkeypatch.setattr(arrivals, "one_client", nullcontext)
    monkeypatch.setattr(arrivals, "tell_refusal", lambda refusal: made.append(f"refused {Path(refusal.path).name}"))
    return made


def watcher(tmp_path: Path) -> Watcher:
    incoming = tmp_path / "incoming"
    incoming.mkdir(exist_ok=True)
    return Watcher(Site(incoming=(incoming,)), Ledger(tmp_path / "ledger.db"))


def test_a_complete_data_set_is_found_however_deep(tmp_path: Path) -> None:
    dataset = drop(tmp_path / "2026" / "november" / "a")
    assert list(complete_sources(tmp_path)) == [dataset]


def test_a_data_set_without_manifest_or_of_other_sizes_waits(tmp_path: Path) -> None:
    (drop(tmp_path / "no-manifest") / "tilt_series.json").unlink()
    drop(tmp_path / "half-written", listed=11)
    assert list(complete_sources(tmp_path)) == []


def test_each_data_set_is_announced_once(tmp_path: Path, announced: list[str]) -> None:
    watch = watcher(tmp_path)
    drop(tmp_path / "incoming" / "a")
    for _ in range(3):
        watch.look()
        watch.announce()
    assert len(announced) == 1


def test_a_restarted_watcher_announces_nothing_again(tmp_path: Path, announced: list[str]) -> None:
    drop(tmp_path / "incoming" / "a")
    for _ in range(2):
        watch = watcher(tmp_path)
        watch.look()
        watch.announce()
    assert len(announced) == 1


def test_a_copy_has_the_same_key_and_a_changed_data_set_another(tmp_path: Path) -> None:
    key = content_key(drop(tmp_path / "a"))
    assert content_key(drop(tmp_path / "copy")) == key
    assert content_key(drop(tmp_path / "changed", b"9876543210")) != key


def test_a_change_far_into_a_file_or_in_a_subfolder_makes_another_key(tmp_path: Path) -> None:
    content = bytearray(3 * 2**20)
    first = drop(tmp_path / "a", bytes(content))
    content[-5] = 1
    assert content_key(drop(tmp_path / "b", bytes(content))) != content_key(first)
    below = [subfolders(drop(tmp_path / name, text)) for name, text in (("c", b"0123"), ("d", b"3210"))]
    assert content_key(below[0]) != content_key(below[1])


def test_what_the_manifest_does_not_list_makes_no_new_version(tmp_path: Path, announced: list[str]) -> None:
    watch = watcher(tmp_path)
    dataset = drop(tmp_path / "incoming" / "a")
    watch.look()
    (dataset / "operator.log").write_text("lunch")
    watch.look()
    watch.announce()
    assert len(announced) == 1


def test_a_data_set_with_scans_in_a_subfolder_that_changes_is_a_new_version(
    tmp_path: Path, announced: list[str]
) -> None:
    watch = watcher(tmp_path)
    dataset = subfolders(drop(tmp_path / "incoming" / "a"))
    watch.look()
    (dataset / "scans" / "0.h5").write_bytes(b"9876543210")
    watch.look()
    watch.announce()
    assert len(announced) == 2


def subfolders(dataset: Path) -> Path:
    manifest = json.loads((dataset / "tilt_series.json").read_text())
    (dataset / "scans").mkdir()
    for scan in manifest["scans"]:
        (dataset / scan["file"]).rename(dataset / "scans" / scan["file"])
        scan["file"] = f"scans/{scan['file']}"
    (dataset / "tilt_series.json").write_text(json.dumps(manifest))
    return dataset


def test_a_changed_data_set_is_announced_with_its_earlier_version(tmp_path: Path, announced: list[str]) -> None:
    watch = watcher(tmp_path)
    dataset = drop(tmp_path / "incoming" / "a")
    first = content_key(dataset)
    watch.look()
    watch.announce()
    drop(dataset, b"another content")
    watch.look()
    watch.announce()
    assert len(announced) == 2
    assert announced[1].endswith(f":{first}")


def test_what_was_found_while_the_server_was_away_is_announced_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, announced: list[str]
) -> None:
    works = arrivals.announce_run

    def away(*_: object, **__: object) -> str:
        raise ConnectionError("refused")

    monkeypatch.setattr(arrivals, "announce_run", away)
    watch = watcher(tmp_path)
    drop(tmp_path / "incoming" / "a")
    watch.look()
    assert watch.announce() == 0
    monkeypatch.setattr(arrivals, "announce_run", works)
    assert watch.announce() == 1
    assert len(announced) == 1


def test_a_bad_folder_is_recorded_once_and_the_others_go_on(tmp_path: Path, announced: list[str]) -> None:
    watch = watcher(tmp_path)
    outside = drop(tmp_path / "outside")
    incoming = tmp_path / "incoming"
    (incoming / "a").mkdir()
    (incoming / "a" / "tilt_series.json").symlink_to(outside / "tilt_series.json")
    drop(incoming / "b\udcff")
    (drop(incoming / "c") / "0.h5").unlink()
    (incoming / "c" / "0.h5").symlink_to("0.h5")
    drop(incoming / "d", b"good")
    (drop(incoming / "e") / "tilt_series.json").write_text('{"format": "4D-STEM tilt series", "version": 3}')
    for _ in range(2):
        watch.look()
        watch.announce()
    refused = {Path(one.path).name: one.reason for one in Ledger(tmp_path / "ledger.db").refused()}
    assert set(refused) == {"a", r"b\xff", "c", "e"}
    assert [name.split(":")[0] for name in announced] == ["d", *(f"refused {name}" for name in refused)]
    assert "cannot be followed" in refused["c"]
    assert "version" in refused["e"]
    (incoming / "a" / "tilt_series.json").unlink()
    drop(incoming / "a", b"mended")
    watch.look()
    assert [Path(one.path).name for one in Ledger(tmp_path / "ledger.db").refused()] == [r"b\xff", "c", "e"]


@pytest.mark.parametrize(("status", "announced_after"), [(422, 1), (503, 0)])
def test_a_data_set_that_the_server_refuses_does_not_keep_the_others_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, announced: list[str], status: int, announced_after: int
) -> None:
    works = arrivals.announce_run

    def refuses_the_first(source: Path, key: str, *, previous: str | None = None, delivery: int = 1) -> str:
        if source.name == "a":
            request = httpx.Request("POST", "http://127.0.0.1/api")
            raise httpx.HTTPStatusError("no", request=request, response=httpx.Response(status, request=request))
        return works(source, key, previous=previous, delivery=delivery)

    monkeypatch.setattr(arrivals, "announce_run", refuses_the_first)
    watch = watcher(tmp_path)
    drop(tmp_path / "incoming" / "a")
    drop(tmp_path / "incoming" / "b", b"other")
    watch.look()
    assert watch.announce() == announced_after


@pytest.fixture
def fate(monkeypatch: pytest.MonkeyPatch) -> list[Fate]:
    """Say what became of every run, and let the watcher look at once."""
    said = [Fate.failed]

    def look(ledger: Ledger) -> int:
        return sum(deliveries.decide(ledger, entry, said[0]) for entry in ledger.again())

    monkeypatch.setattr(deliveries, "reconsider", look)
    monkeypatch.setattr(arrivals, "AGAIN_S", 0.0)
    monkeypatch.setattr(arrivals, "SELDOM_S", 0.0)
    return said


def again(folder: Path) -> None:
    """Deliver the same files anew."""
    for path in list(folder.iterdir()):
        content = path.read_bytes()
        os.utime(path, (1.0, 1.0)) if path.suffix == ".h5" else path.write_bytes(content)


@pytest.mark.parametrize(("became", "runs"), [(Fate.failed, 2), (Fate.ended, 1), (Fate.under_way, 1)])
def test_a_data_set_delivered_again_gets_another_run_only_if_its_first_failed(
    tmp_path: Path, announced: list[str], fate: list[Fate], became: Fate, runs: int
) -> None:
    watch = watcher(tmp_path)
    folder = drop(tmp_path / "incoming" / "a")
    fate[0] = became
    watch.look()
    watch.announce()
    again(folder)
    watch.look()
    watch.announce()
    assert len(announced) == runs
    (entry,) = Ledger(tmp_path / "ledger.db").everything()
    assert "delivered again" in (entry.note or "")
    watch = watcher(tmp_path)
    for _ in range(2):
        watch.look()
        watch.announce()
    assert len(announced) == runs, "a watcher that begins anew delivers nothing"


def test_a_renamed_data_set_gets_its_run_when_the_one_under_its_old_name_has_failed(
    tmp_path: Path, announced: list[str], fate: list[Fate]
) -> None:
    watch = watcher(tmp_path)
    folder = drop(tmp_path / "incoming" / "a")
    watch.look()
    watch.announce()
    fate[0] = Fate.under_way
    folder.rename(tmp_path / "incoming" / "b")
    watch.look()
    watch.announce()
    assert len(announced) == 1
    fate[0] = Fate.failed
    watch.announce()
    assert [line.split(":")[0] for line in announced] == ["a", "b"]
    assert announced[1].endswith(":2")
    (entry,) = Ledger(tmp_path / "ledger.db").everything()
    assert entry.path.endswith("/b")
    assert f"moved here from {folder}" in (entry.note or "")


def test_a_copy_takes_the_place_of_what_was_removed(tmp_path: Path, announced: list[str], fate: list[Fate]) -> None:
    watch = watcher(tmp_path)
    first = drop(tmp_path / "incoming" / "a")
    watch.look()
    watch.announce()
    shutil.copytree(first, tmp_path / "incoming" / "b")
    watch.look()
    assert Ledger(tmp_path / "ledger.db").copies()
    shutil.rmtree(first)
    watch.look()
    watch.announce()
    assert [line.split(":")[0] for line in announced] == ["a", "b"]
    assert Ledger(tmp_path / "ledger.db").copies() == {}


def test_a_version_that_is_put_back_gets_a_run_if_its_first_failed(
    tmp_path: Path, announced: list[str], fate: list[Fate]
) -> None:
    watch = watcher(tmp_path)
    folder = drop(tmp_path / "incoming" / "a")
    watch.look()
    watch.announce()
    folder.rename(tmp_path / "kept")
    drop(folder, b"another content")
    watch.look()
    watch.announce()
    shutil.rmtree(folder)
    (tmp_path / "kept").rename(folder)
    watch.look()
    watch.announce()
    assert len(announced) == 3
    assert announced[2].startswith(announced[0])


def test_a_data_set_that_lies_too_deep_is_refused_with_the_reason_until_it_is_moved_up(
    tmp_path: Path, announced: list[str], fate: list[Fate]
) -> None:
    watch = watcher(tmp_path)
    deep = drop(tmp_path / "incoming" / "2026" / "11" / "30" / "proposal" / "series")
    for _ in range(2):
        watch.look()
        watch.announce()
    assert announced == ["refused series"]
    (refused,) = Ledger(tmp_path / "ledger.db").refused()
    assert "5 folders below" in refused.reason
    assert "in the first 4 only" in refused.reason
    deep.rename(tmp_path / "incoming" / "2026" / "series")
    watch.look()
    watch.announce()
    assert Ledger(tmp_path / "ledger.db").refused() == []
    assert announced[1].startswith("series:")


def test_the_refusals_of_many_keep_a_good_one_waiting_for_a_second_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, announced: list[str]
) -> None:
    monkeypatch.setattr(arrivals, "TELL_S", 0.0)
    watch = watcher(tmp_path)
    for number in range(5):
        (drop(tmp_path / "incoming" / f"bad-{number}") / "tilt_series.json").write_text("{}")
    watch.look()
    watch.announce()
    drop(tmp_path / "incoming" / "good")
    watch.look()
    watch.announce()
    (good,) = [place for place, line in enumerate(announced) if line.startswith("good:")]
    assert good < 5
    for _ in range(6):
        watch.announce()
    assert len(announced) == 6
