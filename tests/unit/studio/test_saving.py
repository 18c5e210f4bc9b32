"""Saving in the studio: the pipeline's aperture file, whole or not at all, and never over another's."""

import errno
import os

import numpy as np
import pytest

from flows.studio.saving import SavedByAnotherError, copy_name, file_key, read_drawing, read_saved, save_drawing
from tasks.apertures import read_apertures
from tasks.drawing import Drawing, DrawingCrystal
from tasks.model import InputError
from tests.synthetic.random_series import random_series

SHAPE = (6, 9)


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    return random_series(tmp_path_factory.mktemp("store"), scan_shape=SHAPE)


def drawing(seed=0, names=("first", "")):
    rng = np.random.default_rng(seed)
    masks = [rng.random((3, *SHAPE)) > 0.6 for _ in names]
    return Drawing(
        tuple(
            DrawingCrystal.of(f"crystal-{n:02d}", mask, name=name)
            for n, (mask, name) in enumerate(zip(masks, names), 1)
        )
    )


def saved(path, series, content, expected=None, changes=("drew crystal-01",)):
    return save_drawing(content, series, path, who="ada", changes=changes, expected=expected)


def test_what_is_saved_is_read_back_by_the_pipeline_bit_for_bit(series, tmp_path):
    path, content = tmp_path / "apertures.h5", drawing()
    saved(path, series, content)
    back = read_apertures(path, scan_shape=SHAPE, tilt_deg=[-1.0, 0.0, 1.0])
    assert back.keys() == content.masks().keys()
    assert all(np.array_equal(back[key], mask) for key, mask in content.masks().items())


def test_the_file_says_who_saved_when_what_was_changed_and_on_what(series, tmp_path):
    path = tmp_path / "apertures.h5"
    first = saved(path, series, drawing())
    second = saved(path, series, drawing(1), expected=first.sha256, changes=("brushed at 0 deg", "renamed"))
    found = read_saved(path)
    assert found == second
    assert (found.who, found.parent, found.changes) == ("ada", first.sha256, ("brushed at 0 deg", "renamed"))
    assert found.sha256 == file_key(path)
    assert found.when.endswith("+00:00")


def test_names_of_crystals_are_kept_and_rejected_or_empty_ones_left_out(series, tmp_path):
    content = drawing(names=("needle", "plate", "dust"))
    content = content.with_state("crystal-02", "rejected").with_masks("crystal-03", np.zeros((3, *SHAPE), bool))
    saved(tmp_path / "a.h5", series, content)
    back = read_drawing(tmp_path / "a.h5", series)
    assert [(one.id, one.name) for one in back.crystals] == [("crystal-01", "needle")]
    assert back.crystals[0].planes == content.crystals[0].planes


def test_a_second_save_by_another_is_refused_and_a_copy_can_be_made(series, tmp_path):
    path = tmp_path / "apertures.h5"
    first = saved(path, series, drawing())
    with pytest.raises(SavedByAnotherError, match="saved by ada at") as error:
        saved(path, series, drawing(1))
    assert "copy" in error.value.advice
    assert file_key(path) == first.sha256
    copy = copy_name(path, "Grace H.")
    saved(copy, series, drawing(1))
    assert copy.name == "apertures-Grace-H--1.h5"
    assert copy_name(path, "Grace H.").name == "apertures-Grace-H--2.h5"


def test_a_file_that_was_removed_meanwhile_is_not_written_anew(series, tmp_path):
    first = saved(tmp_path / "a.h5", series, drawing())
    (tmp_path / "a.h5").unlink()
    with pytest.raises(SavedByAnotherError, match="was removed"):
        saved(tmp_path / "a.h5", series, drawing(), expected=first.sha256)


@pytest.mark.parametrize(("number", "said"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "Read-only")])
def test_a_full_or_read_only_disk_leaves_the_old_file_whole(series, tmp_path, monkeypatch, number, said):
    path = tmp_path / "apertures.h5"
    first = saved(path, series, drawing())

    def fails(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(InputError, match=said):
        saved(path, series, drawing(1), expected=first.sha256)
    assert file_key(path) == first.sha256
    assert sorted(one.name for one in tmp_path.iterdir()) == [".apertures.h5.lock", "apertures.h5"]


def test_nothing_drawn_is_nothing_to_save(series, tmp_path):
    with pytest.raises(InputError, match="no crystal is drawn"):
        saved(tmp_path / "a.h5", series, Drawing(()))
    assert not (tmp_path / "a.h5").exists()


def test_long_lists_of_changes_fit_into_the_file(series, tmp_path):
    found = saved(tmp_path / "a.h5", series, drawing(), changes=["ü" * 200] * 2000)
    assert read_saved(tmp_path / "a.h5") == found
    assert 0 < len(found.changes) <= 500


def test_a_file_of_another_scan_or_of_other_tilts_is_refused(series, tmp_path):
    saved(tmp_path / "a.h5", series, drawing())
    wider = random_series(tmp_path, scan_shape=(6, 10))
    with pytest.raises(InputError, match=r"shape \(3, 6, 9\), the scan is \(6, 10\)"):
        read_drawing(tmp_path / "a.h5", wider)
    fewer = random_series(tmp_path, scan_shape=SHAPE, tilts=1)
    with pytest.raises(InputError, match="-1 is not a tilt of the series"):
        read_drawing(tmp_path / "a.h5", fewer)
