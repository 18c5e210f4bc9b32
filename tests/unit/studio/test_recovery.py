"""Unsaved work of the studio: kept at each change, offered when its session has ended, forgotten when saved."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from flows.studio import recovery
from flows.studio.recovery import UnsavedKeeper
from tasks.drawing import Drawing, DrawingCrystal

SHAPE = (6, 9)


@pytest.fixture(autouse=True)
def slow(monkeypatch):
    """Let no timer write in the middle of a test but where it is asked for."""
    monkeypatch.setattr(recovery, "INTERVAL_S", 60.0)


def drawing(seed=0):
    masks = np.random.default_rng(seed).random((3, *SHAPE)) > 0.6
    first = DrawingCrystal.of("crystal-01", masks, name="needle", origin="edited", state="accepted")
    second = DrawingCrystal.of("crystal-03", np.zeros((3, *SHAPE), bool), state="rejected")
    return Drawing((first, second))


def left_behind(work, content, changes=("drew",), parent=None):
    session = UnsavedKeeper(work)
    session.keep(content, changes, parent=parent)
    session.close()
    return session


def test_what_a_session_left_is_offered_to_the_next_as_it_was(tmp_path):
    left_behind(tmp_path, drawing(), ("drew crystal-01", "rejected crystal-03"), parent="abc")
    found = UnsavedKeeper(tmp_path).unsaved()
    assert found.drawing == drawing()
    assert (found.changes, found.parent) == (("drew crystal-01", "rejected crystal-03"), "abc")
    assert found.when.endswith("+00:00")


def test_the_work_of_a_living_session_is_offered_to_nobody(tmp_path):
    living, other = UnsavedKeeper(tmp_path), UnsavedKeeper(tmp_path)
    living.keep(drawing(), (), parent=None)
    living.flush()
    assert other.unsaved() is None
    living.close()
    assert other.unsaved().drawing == drawing()


def test_saved_work_is_not_offered(tmp_path):
    session = UnsavedKeeper(tmp_path)
    session.keep(drawing(), (), parent=None)
    session.flush()
    session.saved()
    session.close()
    assert UnsavedKeeper(tmp_path).unsaved() is None
    assert list((tmp_path / "unsaved").iterdir()) == []


def test_work_taken_up_or_not_wanted_is_offered_once_and_older_work_then(tmp_path):
    left_behind(tmp_path, drawing(0))
    newer = left_behind(tmp_path, drawing(1))
    session = UnsavedKeeper(tmp_path)
    first = session.unsaved()
    session.discard_offered()
    second = session.unsaved()
    session.discard_offered()
    assert {first.drawing == drawing(0), second.drawing == drawing(0)} == {True, False}
    assert session.unsaved() is None
    assert newer.unsaved() is None


def test_of_many_changes_the_last_is_written_once_and_soon(tmp_path, monkeypatch):
    monkeypatch.setattr(recovery, "INTERVAL_S", 0.3)
    session, written, write = UnsavedKeeper(tmp_path), [], Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda path, data: written.append(data) or write(path, data))
    for seed in range(50):
        session.keep(drawing(seed), (), parent=None)
    session.flush()
    session.close()
    assert 1 <= len(written) <= 3
    assert UnsavedKeeper(tmp_path).unsaved().drawing == drawing(49)


def test_a_file_cut_off_by_a_crash_is_passed_over(tmp_path):
    left_behind(tmp_path, drawing(0))
    left_behind(tmp_path, drawing(1))
    latest = max((tmp_path / "unsaved").glob("*.npz"))
    latest.write_bytes(latest.read_bytes()[:300])
    assert UnsavedKeeper(tmp_path).unsaved() is not None


def test_a_full_disk_is_told_and_drawing_goes_on(tmp_path, monkeypatch):
    session = UnsavedKeeper(tmp_path)

    def full(_path, _data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    session.keep(drawing(), (), parent=None)
    session.close()
    assert "disk is full" in session.failure.message
