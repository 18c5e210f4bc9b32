"""The tilts: thumbnails and electrons made aside, each again when its drawing changes; clicks and keys choose."""

import threading
from pathlib import Path

import numpy as np
import pytest
from bokeh.document import Document
from bokeh.events import Tap
from bokeh.server.callbacks import PeriodicCallback

from flows.studio.desk import Desk
from flows.studio.keys import Keyboard
from flows.studio.overview import Overview, TiltView, tilt_view
from flows.studio.tilts import Tilts
from tasks.drawing import Drawing, Scene
from tasks.ingest import TiltSeries, open_events
from tests.synthetic.random_series import random_series

SCAN, TILTS = (12, 15), 5


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> TiltSeries:
    folder: Path = tmp_path_factory.mktemp("series")
    return random_series(folder, tilts=TILTS, scan_shape=SCAN, detector_shape=(16, 16))


def crystal() -> Drawing:
    masks = np.zeros((TILTS, *SCAN), dtype=bool)
    masks[:, 2:5, 2:6] = True
    return Drawing().with_new(masks)


def electrons(series: TiltSeries, tilt: int, mask: np.ndarray) -> int:
    offsets = open_events(series.scans[tilt]).offsets.astype(np.int64)
    return int(np.diff(offsets)[mask.ravel()].sum())


class AtOnce:
    """Stands in for the thread: makes every view that is asked for at once."""

    def __init__(self, tilts: Tilts, scene: Scene) -> None:
        self.tilts, self.scene, self.made = tilts, scene, []

    def want(self, wanted: list[int], drawing: Drawing) -> None:
        for tilt in wanted:
            self.made.append(tilt)
            self.tilts.put(tilt_view(self.scene, drawing, tilt))

    def end(self) -> None:
        self.made = []


class Panel(Tilts):
    def __init__(self, series: TiltSeries) -> None:
        self.desk = Desk(Scene(series), crystal())
        self.doc = Document()
        self.keyboard = Keyboard(self.doc)
        super().__init__(self.doc, self.desk, self.keyboard)
        self._overview.end()
        self._overview = AtOnce(self, Scene(series, open_tilts=1))
        self._overview.want(list(range(TILTS)), self.desk.drawing)

    def press(self, action: str) -> None:
        self.keyboard.hidden.value = f"{action}#1"


@pytest.fixture
def panel(series: TiltSeries) -> Panel:
    return Panel(series)


def test_the_curve_is_the_exact_count_of_electrons_in_the_crystal(panel: Panel, series: TiltSeries) -> None:
    expected = [electrons(series, tilt, panel.desk.drawing.crystals[0].mask(tilt)) for tilt in range(TILTS)]
    assert panel.curves.data["electrons"].tolist() == expected
    assert panel.curves.data["positions"].tolist() == [12] * TILTS
    assert np.isnan(panel.curves.data["confidence"]).all()  # no run has told one


def test_a_change_at_one_tilt_makes_that_thumbnail_anew_and_no_other(panel: Panel, series: TiltSeries) -> None:
    panel._overview.made.clear()
    before = [picture.copy() for picture in panel.pictures.data["picture"]]
    mask = np.ones(SCAN, dtype=bool)
    panel.desk.do("all of it", panel.desk.drawing.with_mask("crystal-01", panel.desk.tilt, mask))
    assert panel._overview.made == [panel.desk.tilt]
    after = panel.pictures.data["picture"]
    changed = [tilt for tilt in range(TILTS) if not np.array_equal(before[tilt], after[tilt])]
    assert changed == [panel.desk.tilt]
    assert panel.curves.data["electrons"][panel.desk.tilt] == electrons(series, panel.desk.tilt, mask)


def test_a_rejected_crystal_leaves_thumbnails_and_curve(panel: Panel) -> None:
    panel._overview.made.clear()
    panel.desk.do("out", panel.desk.drawing.with_state("crystal-01", "rejected"))
    assert sorted(panel._overview.made) == list(range(TILTS))
    assert panel.curves.data["positions"].tolist() == [0] * TILTS


def test_a_click_on_a_thumbnail_or_a_point_chooses_the_tilt(panel: Panel) -> None:
    panel.strip._trigger_event(Tap(panel.strip, x=0.3, y=0.0))
    assert panel.desk.tilt == 0
    panel.course._trigger_event(Tap(panel.course, x=panel.desk.scene.tilt_deg[3] + 0.1, y=5.0))
    assert panel.desk.tilt == 3
    assert panel.frame.data["x"] == [3]
    assert panel.here.location == panel.desk.scene.tilt_deg[3]
    assert panel.select.value == "3"


def test_keys_and_the_list_choose_the_tilt(panel: Panel) -> None:
    panel.press("first tilt")
    panel.press("next tilt")
    assert panel.desk.tilt == 1
    panel.press("last tilt")
    panel.press("next tilt")
    assert panel.desk.tilt == TILTS - 1
    panel.press("previous tilt")
    assert panel.desk.tilt == TILTS - 2
    panel.select.value = "2"
    assert panel.desk.tilt == 2


def repeated(panel: Panel) -> list[PeriodicCallback]:
    """Return what the page does again and again; a view of the thread that was ended may still wait beside it."""
    return [one for one in panel.doc.session_callbacks if isinstance(one, PeriodicCallback)]


def test_playing_goes_round_until_it_is_stopped(panel: Panel) -> None:
    panel.press("last tilt")
    panel.press("play")
    (playing,) = repeated(panel)
    assert panel.play.label == "Stop playing"
    playing.callback()
    playing.callback()
    assert panel.desk.tilt == 1
    panel.press("play")
    assert repeated(panel) == []
    assert panel.play.label == "Play"


def test_the_strip_shows_square_cells_around_the_tilt_and_never_beyond_the_ends(panel: Panel) -> None:
    panel._resized("inner_height", 0, 60)
    panel._resized("inner_width", 0, 180)
    panel.press("first tilt")
    assert (panel.strip.x_range.start, panel.strip.x_range.end) == (-0.5, 2.5)
    panel.press("last tilt")
    assert (panel.strip.x_range.start, panel.strip.x_range.end) == (TILTS - 3.5, TILTS - 0.5)


def test_the_thread_makes_the_views_in_the_order_they_are_wanted_and_ends(series: TiltSeries) -> None:
    made: list[TiltView] = []
    enough = threading.Event()

    def tell(view: TiltView) -> None:
        made.append(view)
        if len(made) == 3:
            enough.set()

    overview = Overview(Scene(series, open_tilts=1), tell)
    overview.want([3, 0, 1], crystal())
    assert enough.wait(20)
    overview.end()
    thread = overview._thread
    assert thread is not None
    thread.join(20)
    assert not thread.is_alive()
    assert [view.tilt for view in made] == [3, 0, 1]
    assert all(view.picture.shape == (*SCAN, 4) for view in made)
