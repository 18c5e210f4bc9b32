"""Ingest: scans become an event store, damage costs its tilt only, and finished work is taken up again."""

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from adapters.formats.stempy_hdf5 import StempyReader
from adapters.formats.stempy_writer import write_scan
from tasks.ingest import StoredScan, StoreScan
from tasks.ingest.events import open_events
from tasks.ingest.models import TiltSeries
from tasks.ingest.settings import IngestSettings
from tasks.ingest.source import read_source
from tasks.ingest.task import ingest_tilt_series, summary
from tasks.model import Document, SourceError, plain

SCAN, FRAME, FLYBACK = (3, 4), (6, 5), 1


def make_source(folder: Path, tilts: list[float]) -> dict[str, np.ndarray]:
    """Write a small series; return the events of each file with the flyback, as (position, pixel) rows."""
    folder.mkdir(parents=True, exist_ok=True)
    truth, listed = {}, []
    for index, tilt in enumerate(tilts):
        rng = np.random.default_rng(index)
        lengths = rng.poisson(5, SCAN[0] * (SCAN[1] + FLYBACK))
        events = rng.integers(0, FRAME[0] * FRAME[1], lengths.sum())
        path = folder / f"FOURD_{index:05d}.h5"
        write_scan(
            path,
            np.concatenate([[0], np.cumsum(lengths)]),
            events,
            scan_shape_with_flyback=(SCAN[0], SCAN[1] + FLYBACK),
            frame_shape=FRAME,
        )
        truth[path.name] = np.stack([np.repeat(np.arange(len(lengths)), lengths), events], axis=1)
        listed.append({"file": path.name, "tilt_deg": tilt, "bytes": path.stat().st_size})
    manifest = {
        "format": "4D-STEM tilt series",
        "version": 1,
        "sample": "test",
        "composition": "C6 H6",
        "beam": {"energy_kev": 300.0},
        "detector": {"name": "d", "shape_px": list(FRAME), "pixel_size_mm": 0.01, "camera_length_mm": 110.0},
        "scan": {"shape": list(SCAN), "step_nm": 10.0, "flyback_columns": FLYBACK, "rotation_deg": 0.0},
        "tilt_axis": [1.0, 0.0, 0.0],
        "scans": listed,
        "notes": {"operator": "Ada", "dose": {"e_per_A2": 3}},
    }
    (folder / "tilt_series.json").write_text(json.dumps(manifest))
    return truth


def ingest(source: Path, workdir: Path, **settings: int) -> TiltSeries:
    return ingest_tilt_series(read_source(source), StempyReader(), IngestSettings(**settings), workdir)


def test_the_event_store_holds_every_electron_sorted_by_tilt(tmp_path: Path) -> None:
    truth = make_source(tmp_path / "s", [10.0, -20.0, 0.0, 3.0, 2.5])

    series = ingest(tmp_path / "s", tmp_path / "work")

    assert [scan.tilt_deg for scan in series.scans] == [-20.0, 0.0, 2.5, 3.0, 10.0]
    for scan in series.scans:
        offsets, events, _ = open_events(scan)
        rows, columns = np.divmod(truth[scan.source][:, 0], SCAN[1] + FLYBACK)
        kept = columns < SCAN[1]
        position = np.repeat(np.arange(SCAN[0] * SCAN[1]), np.diff(offsets.astype(np.int64)))
        np.testing.assert_array_equal(position, (rows * SCAN[1] + columns)[kept])
        expected = truth[scan.source][kept, 1]
        np.testing.assert_array_equal(events[:], expected[np.lexsort((expected, position))])
        assert scan.counts == kept.sum()
        assert scan.counts + scan.flyback_counts == len(truth[scan.source])
    assert series.metadata["notes/operator"] == "Ada"
    assert series.metadata["notes/dose"] == '{"e_per_A2": 3}'
    assert len(series.provenance.inputs) == 6


def rewrite(path: Path, *, frame: tuple[int, int] = FRAME, pixel: int | None = 0) -> None:
    """Replace a scan by one with a single electron in every position, or with none."""
    positions = SCAN[0] * (SCAN[1] + FLYBACK)
    events = np.full(0 if pixel is None else positions, pixel or 0)
    offsets = np.linspace(0, len(events), positions + 1).astype(int)
    full = (SCAN[0], SCAN[1] + FLYBACK)
    write_scan(path, offsets, events, scan_shape_with_flyback=full, frame_shape=frame)


def make_bad_event(path: Path) -> None:
    rewrite(path, frame=(100, 100), pixel=30)
    with h5py.File(path, "a") as file:
        frames = file["electron_events/frames"]
        frames.attrs["Nx"], frames.attrs["Ny"] = FRAME


def list_as_it_is(path: Path) -> None:
    """Make the manifest list the file's size, so that the damage is inside."""
    manifest = json.loads((path.parent / "tilt_series.json").read_text())
    for scan in manifest["scans"]:
        scan["bytes"] = (path.parent / scan["file"]).stat().st_size
    (path.parent / "tilt_series.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: rewrite(path, frame=(5, 6)), "frames: the file has (5, 6) rows and columns"),
        (make_bad_event, "event index 30 is out of range: a frame has 30 pixels"),
        (lambda path: rewrite(path, pixel=None), "the scan is empty"),
    ],
    ids=["wrong frame shape", "event index out of range", "empty scan"],
)
def test_a_scan_that_contradicts_the_manifest_costs_its_tilt(tmp_path: Path, damage, reason: str) -> None:
    make_source(tmp_path / "s", [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    damage(tmp_path / "s" / "FOURD_00002.h5")
    list_as_it_is(tmp_path / "s" / "FOURD_00002.h5")

    series = ingest(tmp_path / "s", tmp_path / "work")

    assert [scan.tilt_deg for scan in series.scans] == [0.0, 1.0, 3.0, 4.0, 5.0]
    assert reason in series.lost[0].reason


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "the file is absent"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "the manifest says"),
        (lambda path: path.write_bytes(b"\0" * path.stat().st_size), "not a readable stempy file"),
        (lambda path: path.unlink() or path.mkdir(), "the file is absent"),
    ],
    ids=["absent", "truncated", "overwritten", "folder"],
)
def test_a_damaged_scan_costs_its_tilt_and_is_recorded(tmp_path: Path, damage, reason: str) -> None:
    make_source(tmp_path / "s", [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    damage(tmp_path / "s" / "FOURD_00002.h5")

    series = ingest(tmp_path / "s", tmp_path / "work")

    assert [scan.tilt_deg for scan in series.scans] == [0.0, 1.0, 3.0, 4.0, 5.0]
    (lost,) = series.lost
    assert (lost.source, lost.tilt_deg) == ("FOURD_00002.h5", 2.0)
    assert reason in lost.reason
    assert f"{plain('FOURD_00002.h5')} | 2 |" in summary(series)


def test_too_few_usable_scans_stop_the_run_and_say_why(tmp_path: Path) -> None:
    make_source(tmp_path / "s", [0.0, 1.0, 2.0])
    (tmp_path / "s" / "FOURD_00001.h5").unlink()
    with pytest.raises(SourceError) as caught:
        ingest(tmp_path / "s", tmp_path / "work")
    assert "2 usable scans, at least 5 are needed" in caught.value.message
    assert "FOURD_00001.h5: the file is absent" in caught.value.message
    assert len(ingest(tmp_path / "s", tmp_path / "work", tilts_min=2).scans) == 2


def test_finished_work_is_taken_up_and_changed_data_are_read_again(tmp_path: Path) -> None:
    make_source(tmp_path / "s", [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    first = ingest(tmp_path / "s", tmp_path / "work")
    stamp = first.scans[0].events.path.stat().st_mtime_ns
    again = ingest(tmp_path / "s", tmp_path / "work")
    assert again == first
    assert again.scans[0].events.path.stat().st_mtime_ns == stamp

    (tmp_path / "s" / "FOURD_00003.h5").unlink()
    assert [scan.source for scan in ingest(tmp_path / "s", tmp_path / "work").lost] == ["FOURD_00003.h5"]


class FullDisk(Document):
    """Reads stempy's files until the disk is full."""

    engine: str = "stempy until the disk is full"
    room: int

    @contextmanager
    def storing(self, workers: int = 1) -> Iterator[StoreScan]:
        read: list[str] = []

        def store(path: Path, **shapes: Any) -> StoredScan:
            if len(read) == self.room:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            read.append(path.name)
            return StempyReader().store(path, **shapes)

        yield store


def test_a_series_whose_disk_fills_goes_on_where_it_ended(tmp_path: Path) -> None:
    make_source(tmp_path / "s", [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    document, settings = read_source(tmp_path / "s"), IngestSettings()
    with pytest.raises(OSError, match="No space left"):
        ingest_tilt_series(document, FullDisk(room=3), settings, tmp_path / "work")
    kept = tmp_path / ".work.scans"
    assert sorted(path.name for path in kept.glob("*.events")) == [f"scan-{number:05d}.events" for number in range(3)]
    (kept / "scan-00001.events").write_bytes(b"damaged meanwhile")

    series = ingest_tilt_series(document, FullDisk(room=4), settings, tmp_path / "work")

    assert not kept.exists()
    assert [scan.events.path.read_bytes() for scan in series.scans] == [
        scan.events.path.read_bytes() for scan in ingest(tmp_path / "s", tmp_path / "other").scans
    ]


def test_a_moved_run_folder_still_finds_its_events(tmp_path: Path) -> None:
    make_source(tmp_path / "s", [0.0, 1.0, 2.0, 3.0, 4.0])
    ingest(tmp_path / "s", tmp_path / "work")
    (tmp_path / "work").rename(tmp_path / "moved")
    series = ingest(tmp_path / "s", tmp_path / "moved")
    assert series.scans[0].events.path.is_relative_to(tmp_path / "moved")
    assert series.scans[0].events.unchanged()


def several_frames(folder: Path, stated: int | None, *, per_position: int = 3) -> None:
    """Make the first scan one of several camera frames for each position, and state how many."""
    make_source(folder, [0.0])
    positions = SCAN[0] * (SCAN[1] + FLYBACK)
    lengths = np.tile([2, 0, 1], positions)[: positions * per_position]
    path = folder / "FOURD_00000.h5"
    write_scan(
        path, np.concatenate([[0], np.cumsum(lengths)]), np.arange(lengths.sum()) % 30,
        scan_shape_with_flyback=(SCAN[0], SCAN[1] + FLYBACK), frame_shape=FRAME, frames_per_position=per_position,
    )  # fmt: skip
    list_as_it_is(path)
    manifest = json.loads((folder / "tilt_series.json").read_text())
    if stated is not None:
        manifest["detector"]["counting"] = {"method": "local-maxima-3x3", "frames_per_position": stated}
    (folder / "tilt_series.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("stated", [None, 3])
def test_the_store_tells_which_electron_came_in_which_camera_frame(tmp_path: Path, stated: int | None) -> None:
    several_frames(tmp_path / "s", stated)
    scan = ingest(tmp_path / "s", tmp_path / "work", tilts_min=1).scans[0]
    offsets, events, frames = open_events(scan)
    assert scan.frames_per_position == 3
    assert frames is not None
    assert int(frames[-1]) == len(events) == 3 * SCAN[0] * SCAN[1]
    assert np.diff(frames.astype(int)).tolist() == [2, 1] * (SCAN[0] * SCAN[1])
    assert set(offsets.tolist()) <= set(frames.tolist())


def test_camera_frames_that_contradict_the_manifest_are_an_error_that_names_the_field(tmp_path: Path) -> None:
    several_frames(tmp_path / "s", 4)
    message = "holds 3 camera frames for a scan position, the manifest's detector.counting.frames_per_position says 4"
    with pytest.raises(SourceError, match=message):
        ingest(tmp_path / "s", tmp_path / "work", tilts_min=1)


def test_a_scan_of_one_camera_frame_has_no_bounds_of_its_own(tmp_path: Path) -> None:
    make_source(tmp_path / "s", [0.0])
    scan = ingest(tmp_path / "s", tmp_path / "work", tilts_min=1).scans[0]
    assert not scan.frames_told
    assert scan.entries_are_frames == (scan.frames_per_position == 1)
