"""Aperture files: what is written is read back, what does not fit is named."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from tasks.apertures.aperture_file import ApertureNotes, read_aperture_notes, read_apertures, write_apertures
from tasks.apertures.drawn import ApertureFile
from tasks.apertures.task import propose_apertures
from tasks.model import InputError
from tests.synthetic.aperture_scores import masks_of_set
from tests.synthetic.diffracting_cluster import Cluster, write_cluster

SHAPE = (8, 10)
TILTS = (-1.0, 0.0, 1.5)


def drawn(**changes):
    crystal = {"id": "crystal-01", "apertures": [{"tilt_deg": None, "polygon": [[1, 1], [1, 4], [5, 4], [5, 1]]}]}
    return {
        "format": "apertura apertures", "version": 1, "scan_shape": list(SHAPE), "crystals": [crystal], **changes
    }  # fmt: skip


def written(tmp_path: Path, content) -> Path:
    path = tmp_path / "drawn.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_masks_come_back_as_they_were_written(tmp_path):
    rng = np.random.default_rng(0)
    masks = {f"crystal-0{n}": rng.random((3, *SHAPE)) > 0.5 for n in (1, 2)}
    write_apertures(masks, TILTS, tmp_path / "a.h5")
    back = read_apertures(tmp_path / "a.h5", scan_shape=SHAPE, tilt_deg=TILTS)
    assert list(back) == list(masks)
    assert all(np.array_equal(back[name], masks[name]) for name in masks)


def test_a_square_polygon_covers_its_positions_at_every_tilt(tmp_path):
    masks = read_apertures(written(tmp_path, drawn()), scan_shape=SHAPE, tilt_deg=TILTS)["crystal-01"]
    assert masks.shape == (3, *SHAPE)
    assert masks[:, 2:5, 2:4].all()
    assert not masks[:, 6:].any()
    assert not masks[:, :, 5:].any()


REPEATED = (-1.0, -1.0, 0.0, 0.0)


def test_masks_of_repeated_scans_come_back_each_as_its_own(tmp_path):
    masks = {"crystal-01": np.random.default_rng(1).random((4, *SHAPE)) > 0.5}
    write_apertures(masks, REPEATED, tmp_path / "a.h5")
    back = read_apertures(tmp_path / "a.h5", scan_shape=SHAPE, tilt_deg=REPEATED)
    assert np.array_equal(back["crystal-01"], masks["crystal-01"])


def test_what_is_drawn_at_a_tilt_is_that_of_all_its_repeats(tmp_path):
    content = drawn()
    content["crystals"][0]["apertures"] = [{"tilt_deg": 0.0, "polygon": [[1, 1], [1, 4], [5, 4], [5, 1]]}]
    masks = read_apertures(written(tmp_path, content), scan_shape=SHAPE, tilt_deg=REPEATED)["crystal-01"]
    assert masks.any(axis=(1, 2)).tolist() == [False, False, True, True]
    write_apertures({"crystal-01": masks[[0, 2]]}, (-1.0, 0.0), tmp_path / "a.h5")
    back = read_apertures(tmp_path / "a.h5", scan_shape=SHAPE, tilt_deg=REPEATED)["crystal-01"]
    assert np.array_equal(back, masks)


def test_fewer_masks_than_repeats_are_refused(tmp_path):
    tilts = (0.0, 0.0, 0.0)
    write_apertures({"crystal-01": np.ones((2, *SHAPE), dtype=bool)}, tilts[:2], tmp_path / "a.h5")
    with pytest.raises(InputError, match="2 masks at 0 for 3 scans"):
        read_apertures(tmp_path / "a.h5", scan_shape=SHAPE, tilt_deg=tilts)


def test_an_entry_of_its_own_replaces_the_general_one(tmp_path):
    content = drawn()
    content["crystals"][0]["apertures"].append({"tilt_deg": 0.0, "mask": [[1] * 10] + [[0] * 10] * 7})
    masks = read_apertures(written(tmp_path, content), scan_shape=SHAPE, tilt_deg=TILTS)["crystal-01"]
    assert masks[1].sum() == 10
    assert np.array_equal(masks[0], masks[2])


def test_a_mask_for_all_tilts_and_tilts_of_lost_scans_are_allowed(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["format"], file.attrs["version"] = "apertura apertures", 1
        file["tilt_deg"] = [*TILTS, 7.0]
        file["crystal-01/masks"] = np.ones((4, *SHAPE), dtype=np.uint8)
        file["crystal-02/masks"] = np.ones(SHAPE, dtype=np.uint8)
    masks = read_apertures(tmp_path / "a.h5", scan_shape=SHAPE, tilt_deg=TILTS, known_tilts=[7.0])
    assert masks["crystal-01"].shape == masks["crystal-02"].shape == (3, *SHAPE)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scan_shape": [8, 11]}, "scan_shape"),
        ({"version": 2}, "version"),
        ({"surplus": 1}, "surplus"),
        ({"crystals": []}, "crystals"),
        ({"crystals": drawn()["crystals"] * 2}, "crystals"),
        ({"crystals": [{"id": "crystal-01", "apertures": [{"tilt_deg": 3.0, "mask": [[1]]}]}]}, "mask"),
        (
            {"crystals": [{"id": "crystal-01", "apertures": [{"tilt_deg": 3.0, "polygon": [[1, 1], [1, 4], [5, 4]]}]}]},
            "tilt_deg: 3",
        ),
        (
            {
                "crystals": [
                    {"id": "crystal-01", "apertures": [{"tilt_deg": 0, "polygon": [[1, 1], [5, 4], [1, 4], [5, 1]]}]}
                ]
            },
            r"crystal-01.apertures.0.polygon crosses itself: its sides from \(1, 1\) and from \(1, 4\)",
        ),
        ({"crystals": [{"id": "crystal-01", "apertures": [{"tilt_deg": None}]}]}, "a polygon or a mask"),
        (
            {"crystals": [{"id": "crystal-01", "apertures": [{"tilt_deg": 0, "polygon": [[1, 1], [1, 40], [5, 4]]}]}]},
            "polygon",
        ),
    ],
)
def test_a_wrong_field_is_named(tmp_path, changes, field):
    path = written(tmp_path, drawn(**changes))
    with pytest.raises(InputError, match=field) as caught:
        read_apertures(path, scan_shape=SHAPE, tilt_deg=TILTS)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", ["{", "\x00\x01", '{"format": NaN}', "[]"])
def test_a_file_that_is_neither_is_an_input_error(tmp_path, content):
    with pytest.raises(InputError):
        read_apertures(written(tmp_path, content), scan_shape=SHAPE, tilt_deg=TILTS)


@pytest.mark.parametrize(
    ("masks", "tilts", "message"),
    [
        (np.ones((3, 9, 10)), TILTS, "shape"),
        (np.ones((2, *SHAPE)), TILTS, "tilt_deg"),
        (np.ones((3, *SHAPE)), (-1.0, 0.0, 9.0), "9 is not a tilt"),
        (np.full((3, *SHAPE), 2), TILTS, "0 and 1"),
        (np.zeros((3, *SHAPE)), TILTS, "no position"),
    ],
)
def test_masks_that_do_not_fit_are_refused(tmp_path, masks, tilts, message):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["format"], file.attrs["version"] = "apertura apertures", 1
        file["tilt_deg"] = tilts
        file["crystal-01/masks"] = masks
    with pytest.raises(InputError, match=message):
        read_apertures(tmp_path / "a.h5", scan_shape=SHAPE, tilt_deg=TILTS)


def test_a_missing_file_is_an_input_error_naming_the_setting(tmp_path):
    with pytest.raises(InputError, match=r"apertures\.file"):
        ApertureFile(file=tmp_path / "absent.h5")


def test_the_stage_reads_drawn_apertures_and_resumes_until_the_file_changes(tmp_path):
    series, _ = write_cluster(Cluster(scan=SHAPE, tilts=TILTS, crystals=1, radius=(2, 2.5), spread=0.5), tmp_path)
    path = written(tmp_path, drawn())
    first = propose_apertures(series, ApertureFile(file=path), tmp_path / "out")
    assert first.crystals[0].origin == "user"
    assert masks_of_set(first)[0].sum(axis=(1, 2)).tolist() == list(first.crystals[0].positions_per_tilt)
    stamp = (tmp_path / "out" / "document.json").stat().st_mtime_ns
    assert propose_apertures(series, ApertureFile(file=path), tmp_path / "out") == first
    assert (tmp_path / "out" / "document.json").stat().st_mtime_ns == stamp
    content = drawn()
    content["crystals"][0]["apertures"][0]["polygon"][0] = [0, 0]
    written(tmp_path, content)
    assert propose_apertures(series, ApertureFile(file=path), tmp_path / "out") != first


def test_crystals_unchanged_since_an_earlier_run_keep_what_it_knows_of_them(tmp_path):
    series, _ = write_cluster(Cluster(scan=SHAPE, tilts=TILTS, crystals=1, radius=(2, 2.5), spread=0.5), tmp_path)
    rng = np.random.default_rng(3)
    masks = {f"crystal-0{n}": rng.random((3, *SHAPE)) > 0.5 for n in (1, 2)}
    write_apertures(masks, TILTS, tmp_path / "first.h5")
    first = propose_apertures(series, ApertureFile(file=tmp_path / "first.h5"), tmp_path / "run")
    document = tmp_path / "run" / "document.json"
    known = json.loads(document.read_text())
    for crystal in known["document"]["crystals"]:
        crystal["share_per_tilt"] = [0.25, 0.5, 0.75]
    document.write_text(json.dumps(known))
    masks["crystal-02"][1, 0, 0] ^= True
    write_apertures(masks, TILTS, tmp_path / "second.h5")
    engine = ApertureFile(file=tmp_path / "second.h5", earlier=document)
    same, changed = propose_apertures(series, engine, tmp_path / "again").crystals
    assert (same.share_per_tilt, changed.share_per_tilt) == ((0.25, 0.5, 0.75), ())
    assert same.masks.sha256 == first.crystals[0].masks.sha256
    assert same.masks.path.parent == tmp_path / "again"
    assert np.array_equal(changed.positions, masks["crystal-02"])
    document.write_text("{}")
    with pytest.raises(InputError, match=r"apertures\.earlier: .* gone or changed"):
        propose_apertures(series, engine, tmp_path / "third")


def test_notes_of_a_file_are_read_back_and_a_json_file_has_none(tmp_path):
    masks = {f"crystal-0{n}": np.ones((3, *SHAPE), dtype=bool) for n in (1, 2)}
    notes = ApertureNotes({"who": "ada", "changes": "[]"}, {"crystal-02": "needle"})
    write_apertures(masks, TILTS, tmp_path / "a.h5", notes=notes)
    assert read_aperture_notes(tmp_path / "a.h5") == notes
    assert list(read_apertures(tmp_path / "a.h5", scan_shape=SHAPE, tilt_deg=TILTS)) == list(masks)
    assert read_aperture_notes(written(tmp_path, drawn())) == ApertureNotes({}, {})
