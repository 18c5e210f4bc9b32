"""A rotation series in the studio, without a browser: opened, drawn on, saved, and the mask used by the pipeline."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest

from adapters.formats.frame_reader import FrameFileReader
from adapters.formats.mask_reader import MaskFileReader
from flows.studio.rotation_desk import RotationDesk
from flows.studio.rotation_opening import OpenedRotation, open_rotation
from flows.studio.rotation_saving import save_mask, with_mask
from tasks.drawing import ellipse_mask, polygon_mask, rectangle_mask, stroke_mask
from tasks.frames import FrameSeries, FrameSettings, read_rotation
from tasks.ingest import read_source, stated_mask
from tasks.model import FileRef, SettingsError, SourceError, UnitCell
from tests.synthetic.reflections_from_hkl import reflections_from_hkl
from tests.synthetic.rotation_folder import SHAPE, frame, rotation_folder


class Bench(NamedTuple):
    source: Path
    opened: OpenedRotation
    desk: RotationDesk


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    source = rotation_folder(tmp_path / "data")
    opened = open_rotation(source)
    return Bench(source, opened, RotationDesk(opened, tmp_path / "work", who="Dorothy"))


def drag(desk: RotationDesk, *points: tuple[float, float]) -> None:
    desk.begin_stroke(points[0])
    for point in points[1:]:
        desk.extend_stroke(point)
    desk.end_stroke()


def run_of(source: Path, folder: Path) -> FrameSeries:
    """Write what a run of a series keeps, with one prediction on each frame: its brightest pixel."""
    crystal = folder / "crystals" / "crystal-01"
    series = read_rotation(read_source(source), FrameFileReader(), FrameSettings(), crystal / "frames")
    px = np.array([np.unravel_index(np.argmax(image), image.shape) for image in series.images], dtype=np.float64)
    hkl = np.array([[index, 1, 2] for index in range(len(px))], dtype=np.int32)
    work = crystal / "integrate"
    ones = np.ones(len(px))
    found = reflections_from_hkl(
        work, "crystal-01", hkl=hkl, intensity=ones, sigma=ones, cell=UnitCell(a=10, b=11, c=12, alpha=90, beta=90,
        gamma=90), laue_group="P m m m", space_group="P 2 2 2",
    )  # fmt: skip
    with h5py.File(work / "pictures.h5", "w") as file:
        file["frame"], file["px"], file["hkl"] = np.arange(len(px)), px, hkl
    found = found.model_copy(update={"pictures": FileRef.of(work / "pictures.h5")})
    text = json.dumps({"key": "", "document": found.model_dump(mode="json", context={"root": work})})
    (work / "document.json").write_text(text)
    return series


def test_frames_are_those_of_the_files_at_their_angles(bench: Bench) -> None:
    scene = bench.opened.scene
    assert [one.number for one in scene.frames] == list(range(1, 9))
    np.testing.assert_allclose(scene.angle_deg, -10.0 + 0.25 * np.arange(8))
    np.testing.assert_array_equal(scene.frame(4), frame(5))
    assert not bench.opened.mask.any()


def test_frames_of_one_stack_are_told_apart(tmp_path: Path) -> None:
    scene = open_rotation(rotation_folder(tmp_path / "data", stack=True, frames=6)).scene
    assert [one.source for one in scene.frames] == [f"stack.tif[{index}]" for index in range(6)]
    np.testing.assert_array_equal(scene.frame(3), frame(4))


@pytest.mark.parametrize("wander", [0, 4])
def test_predicted_spots_lie_on_the_detector_as_it_is_wherever_the_run_moved_its_frames(
    tmp_path: Path, wander: int
) -> None:
    source = rotation_folder(tmp_path / "data", wander=wander)
    series = run_of(source, tmp_path / "run")
    assert (series.detector.shape_px != SHAPE) == (wander > 0)
    scene = open_rotation(source, run=tmp_path / "run").scene
    assert scene.spots is not None
    for index in range(len(scene.frames)):
        (px,) = scene.spots.on(index).px
        image = scene.frame(index)
        assert tuple(px) == np.unravel_index(np.argmax(image), image.shape)
    np.testing.assert_allclose(scene.counts, [one.counts for one in series.frames])


def test_spots_of_other_frames_are_not_shown(tmp_path: Path) -> None:
    source = rotation_folder(tmp_path / "data")
    run_of(source, tmp_path / "run")
    shutil.copy(source / "f_0001.tif", source / "f_0002.tif")
    opened = open_rotation(source, run=tmp_path / "run")
    assert opened.scene.spots is None
    assert "not those of run" in opened.notes[0]


def test_a_run_that_has_not_begun_has_no_spots(tmp_path: Path) -> None:
    opened = open_rotation(rotation_folder(tmp_path / "data"), run=tmp_path)
    assert opened.scene.spots is None
    assert "no frames yet" in opened.notes[0]


def test_each_tool_masks_its_shape(bench: Bench) -> None:
    desk, corners = bench.desk, ((5.0, 6.0), (20.0, 30.0))
    expected = {
        "brush": stroke_mask(SHAPE, corners, desk.brush_radius),
        "rectangle": rectangle_mask(SHAPE, *corners),
        "ellipse": ellipse_mask(SHAPE, (12.5, 18.0), (7.5, 12.0)),
        "freehand": polygon_mask(SHAPE, [(5.5, 6.5), (5.5, 30.5), (20.5, 30.5)]),
    }
    for tool, mask in expected.items():
        desk.choose_tool(tool)
        drag(desk, *(((5.5, 6.5), (5.5, 30.5), (20.5, 30.5)) if tool == "freehand" else corners))
        desk.finish()
        np.testing.assert_array_equal(desk.mask, mask)
        assert mask.any()
        desk.undo()
        assert not desk.mask.any()


def test_a_polygon_is_closed_at_its_first_corner_and_reshaped_afterwards(bench: Bench) -> None:
    desk = bench.desk
    desk.choose_tool("polygon")
    for corner in ((5.0, 5.0), (5.0, 20.0), (20.0, 20.0)):
        desk.tap(corner)
    assert not desk.mask.any()
    assert desk.live_mask.any()
    desk.tap((5.2, 5.1))
    np.testing.assert_array_equal(desk.mask, polygon_mask(SHAPE, [(5.0, 5.0), (5.0, 20.0), (20.0, 20.0)]))
    drag(desk, (20.3, 19.8), (30.0, 5.0))
    np.testing.assert_array_equal(desk.mask, polygon_mask(SHAPE, [(5.0, 5.0), (5.0, 20.0), (30.0, 5.0)]))
    assert desk.changes == ("masked by polygon", "reshaped the polygon")


def test_what_is_freed_is_masked_no_more_and_every_step_can_be_taken_back(bench: Bench) -> None:
    desk = bench.desk
    told: list[str] = []
    desk.watch("mask", lambda: told.append("mask"))
    desk.choose_tool("rectangle")
    drag(desk, (2.0, 2.0), (20.0, 20.0))
    desk.finish()
    whole = desk.mask
    desk.choose_tool("eraser")
    drag(desk, (10.0, 10.0), (10.0, 15.0))
    freed = desk.mask
    assert 0 < freed.sum() < whole.sum()
    assert desk.changes == ("masked by rectangle", "freed by eraser")
    desk.undo()
    np.testing.assert_array_equal(desk.mask, whole)
    desk.undo()
    assert not desk.mask.any()
    assert not desk.can_undo
    desk.redo()
    desk.redo()
    np.testing.assert_array_equal(desk.mask, freed)
    assert len(told) >= 7


def test_a_saved_mask_is_used_by_the_pipeline_as_it_was_drawn(bench: Bench, tmp_path: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in bench.source.iterdir()}
    drag(bench.desk, (4.0, 4.0), (9.0, 30.0))
    drawn = bench.desk.mask
    saved = bench.desk.save()
    assert saved is not None
    assert not bench.desk.unsaved
    assert {path.name: path.stat().st_mtime_ns for path in bench.source.iterdir()} == before
    # as the message says: both files into the folder of a source
    copied = Path(shutil.copytree(bench.source, tmp_path / "copied"))
    shutil.copy(saved.mask, copied)
    shutil.copy(saved.manifest, copied)
    np.testing.assert_array_equal(stated_mask(read_source(copied), MaskFileReader()), drawn)
    # and without copying anything
    for document in (read_source(copied), with_mask(bench.opened.document, saved.mask)):
        series = read_rotation(
            document, FrameFileReader(), FrameSettings(), tmp_path / document.files[0].data.sha256 / str(id(document)),
            masks=MaskFileReader(),
        )  # fmt: skip
        np.testing.assert_array_equal(series.mask, ~drawn)
        assert not series.images[:, drawn].any()
        assert series.images[:, ~drawn].any()
    said = json.loads((saved.mask.parent / "drawn.json").read_text())
    assert said["saved_by"] == "Dorothy"
    assert said["changes"] == ["masked by brush"]
    assert said["masked_px"] == int(drawn.sum())


def test_a_mask_that_is_there_is_drawn_on(tmp_path: Path) -> None:
    source = rotation_folder(tmp_path / "data", mask="mask.npy", bad_rectangles_px=[[0, 0, 1, 1]])
    bad = np.zeros(SHAPE, dtype=np.uint8)
    bad[30:33, 40:44] = 1
    np.save(source / "mask.npy", bad)
    opened = open_rotation(source)
    np.testing.assert_array_equal(opened.mask, bad.astype(bool))
    assert opened.scene.not_used[0, 0]
    assert not opened.mask[0, 0]


def test_every_save_makes_a_file_of_its_own(bench: Bench) -> None:
    drag(bench.desk, (4.0, 4.0), (9.0, 30.0))
    first = bench.desk.save()
    drag(bench.desk, (40.0, 4.0), (40.0, 30.0))
    second = bench.desk.save()
    assert first is not None
    assert second is not None
    assert (first.mask.name, second.mask.name) == ("mask-01.npy", "mask-02.npy")
    assert np.load(second.mask).sum() > np.load(first.mask).sum() > 0
    assert [path.name for path in bench.desk.work.iterdir()].count("mask-01") == 1
    assert not list(bench.desk.work.glob(".*"))


def test_what_was_not_saved_is_there_at_the_next_start(bench: Bench) -> None:
    drag(bench.desk, (4.0, 4.0), (9.0, 30.0))
    again = RotationDesk(bench.opened, bench.desk.work, who="Max")
    np.testing.assert_array_equal(again.mask, bench.desk.mask)
    assert again.unsaved
    again.undo()
    assert not again.mask.any()
    bench.desk.save()
    assert not RotationDesk(bench.opened, bench.desk.work, who="Max").mask.any()


def test_a_mask_is_never_written_into_the_data(bench: Bench) -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[3, 3] = True
    with pytest.raises(SettingsError, match="folder of the data"):
        save_mask(mask, bench.opened.document, bench.source / "studio", changes=(), who="x")
    assert not (bench.source / "studio").exists()


def test_a_mask_of_the_whole_detector_is_refused(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="whole detector"):
        save_mask(np.ones(SHAPE, dtype=bool), bench.opened.document, tmp_path / "w", changes=(), who="x")


def test_a_disk_that_cannot_be_written_costs_nothing_that_was_drawn(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    desk = RotationDesk(bench.opened, tmp_path / "file" / "work", who="x")
    drag(desk, (4.0, 4.0), (9.0, 30.0))
    assert desk.message[0] == "warning"
    drawn = desk.mask
    assert desk.save() is None
    assert desk.message[0] == "error"
    np.testing.assert_array_equal(desk.mask, drawn)
    assert desk.unsaved


def test_who_may_only_look_saves_nothing(bench: Bench) -> None:
    desk = RotationDesk(bench.opened, None, who="viewer")
    drag(desk, (4.0, 4.0), (9.0, 30.0))
    assert desk.save() is None
    assert "may look" in desk.message[1]


def test_a_frame_that_cannot_be_read_is_said_and_shown_empty(bench: Bench) -> None:
    (bench.source / "f_0003.tif").write_bytes(b"damaged")
    bench.desk.choose_frame(2)
    assert np.isnan(bench.desk.shown).all()
    assert bench.desk.message[0] == "error"
    assert "f_0003.tif" in bench.desk.message[1]
