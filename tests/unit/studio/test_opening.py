"""Opening sources and runs in the studio: what is there is shown, what is not is said, data folders are only read."""

import fcntl
import gc
import json
import shutil
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

from adapters.formats.simulated_series import write_simulated_series
from flows.run_folder import claimed
from flows.settings import Settings
from flows.studio import opening
from flows.studio.deeds import Deeds
from flows.studio.opening import open_place
from flows.studio.saving import SavedByAnotherError
from tasks.apertures import ApertureFile, propose_apertures, read_apertures, write_apertures
from tasks.ingest import read_source
from tasks.model import FileRef, InputError, SourceError
from tasks.simulate import settings_of, uio66
from tasks.stage import fingerprint

TILTS = (-10.0, -5.0, 0.0, 5.0, 10.0)
SHAPE = (6, 7)


def told(_text: str) -> None:
    """Hear nothing."""


def masks(seed=0, names=("crystal-01", "crystal-02")):
    rng = np.random.default_rng(seed)
    return {name: rng.random((len(TILTS), *SHAPE)) > 0.5 for name in names}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a source, and a folder in which it was opened once."""
    folder = tmp_path_factory.mktemp("series")
    plan = {"seed": 1, "tilts": {"angles_deg": TILTS}, "instrument": {"scan_shape": SHAPE, "shape_px": (64, 64)}}
    write_simulated_series(uio66(), settings_of("ideal", plan), folder / "source")
    heard: list[str] = []
    open_place(folder / "source", work=folder / "work", tell=heard.append)
    return folder


@pytest.fixture
def source(made, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(made / "source", tmp_path / "source"))


@pytest.fixture
def run(made, source, tmp_path) -> Path:
    """Return a run folder that came as far as its apertures."""
    folder = tmp_path / "run"
    key = fingerprint({"source": read_source(source)})
    settings = Settings(merge_crystals=False)
    with claimed(folder, source_key=key, source_name=str(source), settings=settings):
        shutil.copytree(made / "work" / "ingest", folder / "ingest")
    write_apertures(masks(), TILTS, tmp_path / "drawn.h5")
    series = open_place(folder, tell=told).series
    file = ApertureFile(file=FileRef.of(tmp_path / "drawn.h5"))
    propose_apertures(series, file, workdir=folder / "apertures")
    shutil.rmtree(folder / "studio")
    return folder


def contents_of(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def test_a_source_is_read_once_into_the_work_folder_and_never_written(made, source, tmp_path):
    before = contents_of(source)
    shutil.copytree(made / "work", tmp_path / "work")
    events = next((tmp_path / "work" / "ingest").glob("*.events")).stat().st_ino
    place = open_place(source, work=tmp_path / "work", tell=told)
    assert contents_of(source) == before
    assert next((tmp_path / "work" / "ingest").glob("*.events")).stat().st_ino == events
    assert (place.kind, place.run, place.source, place.drawing.crystals) == ("tilt series", None, source, ())
    assert place.scene.tilt_deg == pytest.approx(TILTS)
    assert place.scene.scan_shape == SHAPE


def test_how_far_reading_has_come_is_told(source, tmp_path, monkeypatch):
    def slowly(document, reader, settings, workdir, masks):
        partial = workdir.with_name(f".{workdir.name}.scans")
        partial.mkdir()
        for number in range(len(TILTS)):
            (partial / f"scan-{number:05d}.events").touch()
            time.sleep(0.02)
        return document

    monkeypatch.setattr(opening, "POLL_S", 0.002)
    monkeypatch.setattr(opening, "ingest_tilt_series", slowly)
    heard: list[str] = []
    opening.ingested(read_source(source), tmp_path, heard.append)
    assert len(heard) > 1
    assert all(text.startswith("reading scans: ") and text.endswith(f" of {len(TILTS)}") for text in heard)


def test_without_a_name_the_work_lies_beside_not_in_the_data(made, source, tmp_path, monkeypatch):
    series = open_place(source, work=made / "work", tell=told).series
    monkeypatch.setattr(opening, "ingested", lambda *_: series)
    assert open_place(source, tell=told).work.parent == tmp_path / "apertura-studio"
    monkeypatch.chdir(source)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert open_place(source, tell=told).work.is_relative_to(tmp_path / "home")


@pytest.mark.parametrize(("name", "said"), [("nothing", "no such folder"), ("empty", "holds neither")])
def test_a_folder_that_is_neither_is_refused(tmp_path, name, said):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=said):
        open_place(tmp_path / name, tell=told)


def test_a_run_opens_with_its_proposals_and_settings(run, source):
    place = open_place(run, tell=told)
    assert (place.run, place.source, place.work, place.in_progress) == (run, source, run / "studio", False)
    assert {key: mask.tolist() for key, mask in place.drawing.masks().items()} == {
        key: mask.tolist() for key, mask in masks().items()
    }
    assert place.settings == Settings(merge_crystals=False)
    assert place.spots("crystal-01", 2) == []


def test_a_run_in_progress_opens_as_far_as_it_is_and_says_so(run):
    shutil.rmtree(run / "apertures")
    with (run / ".lock").open("a+b") as lock:
        fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
        place = open_place(run, tell=told)
    assert place.in_progress
    assert any("a run is going on" in note for note in place.notes)
    assert any("proposed no apertures yet" in note for note in place.notes)
    assert place.drawing.crystals == ()


def test_a_run_without_scans_yet_is_refused_until_they_are_read(run, source):
    shutil.rmtree(run / "ingest")
    source.rename(source.with_name("away"))
    with (run / ".lock").open("a+b") as lock:
        fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
        with pytest.raises(SourceError, match="a run is going on there"):
            open_place(run, tell=told)


def test_a_run_whose_source_is_gone_opens_and_only_solving_is_refused(run, source):
    source.rename(source.with_name("away"))
    place = open_place(run, tell=told)
    assert place.source is None
    assert any(f"{source} is gone" in note for note in place.notes)
    deeds = Deeds(place)
    assert deeds.save(place.drawing, ("looked",), who="ada").path == run / "studio" / "apertures.h5"
    with pytest.raises(SourceError, match="is gone: a run cannot be made"):
        deeds.solve(place.drawing, told, who="ada")


def test_a_run_that_cannot_be_written_keeps_the_work_elsewhere_and_says_so(run, tmp_path, monkeypatch):
    can = opening.tempfile.TemporaryFile

    def refuses(*, dir):  # noqa: A002 - the name of the library
        if Path(dir).is_relative_to(run):
            raise PermissionError(13, "Permission denied")
        return can(dir=dir)

    monkeypatch.setattr(opening.tempfile, "TemporaryFile", refuses)
    place = open_place(run, tell=told)
    assert place.work.parent == tmp_path / "apertura-studio"
    assert any("cannot be written" in note for note in place.notes)
    monkeypatch.setattr(opening.tempfile, "TemporaryFile", lambda *, dir: refuses(dir=run))  # noqa: A006
    with pytest.raises(InputError, match="no folder for the studio's work"):
        open_place(run, tell=told)


def test_an_aperture_file_of_another_scan_or_other_tilts_is_refused_at_the_start(run, tmp_path):
    write_apertures({"crystal-01": np.ones((5, 6, 8), bool)}, TILTS, tmp_path / "wide.h5")
    with pytest.raises(InputError, match=r"the scan is \(6, 7\)"):
        open_place(run, apertures=tmp_path / "wide.h5", tell=told)
    write_apertures({"crystal-01": np.ones((1, *SHAPE), bool)}, [33.0], tmp_path / "other.h5")
    with pytest.raises(InputError, match="33 is not a tilt of the series"):
        open_place(run, apertures=tmp_path / "other.h5", tell=told)


def test_what_was_saved_is_what_is_opened_the_next_time(run):
    place = open_place(run, tell=told)
    changed = place.drawing.renamed("crystal-01", "needle").without("crystal-02")
    Deeds(place).save(changed, ("renamed", "removed"), who="ada")
    again = open_place(run, tell=told)
    assert [(one.id, one.name) for one in again.drawing.crystals] == [("crystal-01", "needle")]
    assert Deeds(again).last_saved.changes == ("renamed", "removed")


def test_of_two_studios_on_one_run_the_second_save_is_refused_and_nothing_is_lost(run):
    place = open_place(run, tell=told)
    first, second = Deeds(place), Deeds(open_place(run, tell=told))
    first.save(place.drawing, (), who="ada")
    other = place.drawing.without("crystal-01")
    assert second.saved_by_another
    with pytest.raises(SavedByAnotherError, match="saved by ada"):
        second.save(other, (), who="grace")
    copy = second.save_copy(other, (), who="grace")
    assert set(read_apertures(copy.path, scan_shape=SHAPE, tilt_deg=TILTS)) == {"crystal-02"}
    assert set(read_apertures(place.aperture_file, scan_shape=SHAPE, tilt_deg=TILTS)) == {"crystal-01", "crystal-02"}
    late = Deeds(place)
    with pytest.raises(SavedByAnotherError, match="saved by ada"):
        late.save(other, (), who="eve")
    first.save(other, (), who="ada")


def test_pages_on_one_run_hold_its_open_tilts_once_and_let_them_go_after_the_last(run):
    first, second = open_place(run, tell=told), open_place(run, tell=told)
    assert first.scene is second.scene is not None
    assert second.drawing is not first.drawing
    kept = weakref.ref(first.scene)
    del first, second
    gc.collect()
    assert kept() is None
    assert open_place(run, tell=told).scene is not None


def test_unsaved_work_of_a_closed_session_is_offered_and_gone_after_it_is_saved(run):
    place = open_place(run, tell=told)
    changed = place.drawing.without("crystal-02")
    closed = Deeds(place)
    closed.keep_unsaved(changed, ("removed crystal-02",))
    closed.close()
    session = Deeds(open_place(run, tell=told))
    assert session.unsaved() == changed
    session.keep_unsaved(changed)
    session.discard_unsaved()
    session.save(changed, (), who="ada")
    session.close()
    assert Deeds(open_place(run, tell=told)).unsaved() is None


def test_the_claim_of_a_run_that_is_no_json_is_named(run):
    (run / "run.json").write_text("{")
    with pytest.raises(SourceError, match=r"run\.json: not the claim of a run"):
        open_place(run, tell=told)
    (run / "run.json").write_text(json.dumps([]))
    with pytest.raises(SourceError, match="not the claim of a run"):
        open_place(run, tell=told)
