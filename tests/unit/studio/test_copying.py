"""Copy to all tilts: carried in the background, undone in one step, doubtful tilts named."""

from pathlib import Path

import numpy as np
import pytest
from bokeh.document import Document

from flows.studio.copying import NAMED, Copying, outcome
from flows.studio.desk import Desk
from flows.studio.errands import Errands
from tasks.drawing import Drawing, Scene
from tests.synthetic.random_series import random_series

SCAN, TILTS = (12, 15), 3


class Page(Document):
    def add_next_tick_callback(self, callback: object) -> None:
        self.turns = [*getattr(self, "turns", []), callback]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder: Path = tmp_path_factory.mktemp("series")
    return Scene(random_series(folder, tilts=TILTS, scan_shape=SCAN, detector_shape=(32, 32)))


def started(scene: Scene, masks: np.ndarray) -> Desk:
    page, desk = Page(), Desk(scene, Drawing().with_new(masks))
    errands = Errands(page, desk)
    desk.choose_crystal("crystal-01")
    Copying(desk, errands).start()
    errands._pool.shutdown(wait=True)
    for turn in getattr(page, "turns", []):
        turn()
    return desk


def test_a_mask_of_one_tilt_comes_to_all_and_goes_again_with_one_undo(scene: Scene) -> None:
    masks = np.zeros((TILTS, *SCAN), dtype=bool)
    middle = int(np.argmin(np.abs(scene.tilt_deg)))
    masks[middle, 4:8, 5:10] = True
    desk = started(scene, masks)
    counts = desk.drawing.crystals[0].positions_per_tilt
    assert counts[middle] == 20
    assert all(counts)
    assert desk.history.changes == ("crystal-01: copied from 0.0° to all tilts",)
    desk.undo()
    assert np.array_equal(desk.drawing.crystals[0].masks, masks)


def test_an_empty_mask_is_not_copied_over_the_others(scene: Scene) -> None:
    masks = np.ones((TILTS, *SCAN), dtype=bool)
    masks[int(np.argmin(np.abs(scene.tilt_deg)))] = False
    desk = started(scene, masks)
    assert desk.message[0] == "warning"
    assert desk.history.changes == ()


def test_tilts_to_look_at_are_named_least_sure_first_and_not_endlessly() -> None:
    tilts = tuple(float(tilt) for tilt in range(20))
    sure = np.ones(20)
    assert outcome("it", sure, tilts) == ("it is copied to all 20 tilts.", "done")
    sure[[3, 7]] = 0.4, 0.1
    text, kind = outcome("it", sure, tilts)
    assert kind == "warning"
    assert text.endswith("look at 7.0°, 3.0°")
    text, _ = outcome("it", np.zeros(20), tilts)
    assert f"and {20 - NAMED} more" in text
