"""Drawing in headless Chromium: what a hand does on the page is in the drawing, its electrons counted exactly."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from bokeh.document import Document

from flows.studio.choices import DETECTOR_IMAGE
from flows.studio.desk import Desk
from flows.studio.pulse import Pulse
from flows.studio.window import build
from tasks.drawing import Drawing, History, Scene, polygon_mask, stroke_mask
from tasks.ingest import open_events
from tests.benchmarks.studio_window import bare_pulse
from tests.synthetic.diffracting_cluster import Cluster, Truth, write_cluster
from tests.synthetic.studio_browser import CHROMIUM, Hand, chromium, serving

pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.needs_browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
CLUSTER = Cluster(seed=3, crystals=2, scan=(32, 40), detector=(128, 128), pixel_size_mm=0.045, tilts=(-5.0, 0.0, 5.0))
PATIENCE_MS = 120_000


class Sitting(NamedTuple):
    """One session of the studio in a browser, and its state in this process."""

    page: Any
    hand: Hand
    desk: Desk
    pulse: Pulse
    doc: Document

    def choose(self, tool: str) -> None:
        """Press the button of a tool."""
        self.page.get_by_role("button", name=f"{tool} (").first.click()
        self.until(lambda: self.desk.tool == tool.lower())

    def lets_drag(self, plane: str) -> None:
        """Wait until dragging in a plane no longer moves its view in the browser."""
        self.page.wait_for_function(
            "name => Bokeh.documents[0].get_model_by_name(name).toolbar.active_drag == null", arg=plane
        )

    def until(self, true: Callable[[], bool]) -> None:
        """Wait until something is so in the working state."""
        for _ in range(PATIENCE_MS // 50):
            if true():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError("it did not come about")

    def shows(self, electrons: int) -> None:
        """Wait until the page says this number beside the pattern."""
        self.page.locator(".electrons", has_text=f"{electrons:,}").wait_for()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, Truth]:
    series, truth = write_cluster(CLUSTER, tmp_path_factory.mktemp("series"))
    return Scene(series), truth


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def seated(browser: Any, cluster: tuple[Scene, Truth]) -> Iterator[Sitting]:
    """One page for all tests: to load it costs more than what is done on it."""
    made: list[tuple[Desk, Pulse, Document]] = []

    def make(doc: Document) -> None:
        desk = Desk(cluster[0])
        made.append((desk, build(doc, desk), doc))

    said: list[str] = []
    with serving(make) as url:
        page = opened(browser, url, said)
        page.locator(".electrons").wait_for()
        desk, pulse, doc = made[0]
        yield Sitting(page, Hand(page, CLUSTER.scan, CLUSTER.detector), desk, pulse, doc)
        page.close()
    assert said == []


@pytest.fixture
def sitting(seated: Sitting) -> Sitting:
    """Return the page with an empty drawing."""
    desk, emptied = seated.desk, threading.Event()

    def empty() -> None:
        desk.place_detector(None)
        desk.history = History(Drawing())
        desk.do("emptied", Drawing())
        emptied.set()

    seated.doc.add_next_tick_callback(empty)
    assert emptied.wait(PATIENCE_MS / 1000)
    return seated


def opened(browser: Any, url: str, said: list[str]) -> Any:
    """Return a page, and write down what it complains of."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE_MS)
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(url)
    return page


def brute_force(scene: Scene, tilt: int, mask: np.ndarray) -> int:
    """Count the electrons of a mask position by position."""
    offsets = open_events(scene.series.scans[tilt]).offsets.astype(np.int64)
    return sum(int(offsets[position + 1] - offsets[position]) for position in np.flatnonzero(mask))


def around(mask: np.ndarray, steps: int = 24) -> list[tuple[float, float]]:
    """Return points of an ellipse about a mask."""
    places = np.argwhere(mask)
    middle, spread = places.mean(axis=0), 2.0 * places.std(axis=0) + 0.4
    angle = np.linspace(0.0, 2.0 * np.pi, steps)
    return [(middle[0] + spread[0] * np.sin(one), middle[1] + spread[1] * np.cos(one)) for one in angle]


def test_freehand_over_a_crystal_counts_its_electrons_while_the_pointer_moves(
    sitting: Sitting, cluster: tuple[Scene, Truth]
) -> None:
    scene, truth = cluster
    desk, points = sitting.desk, around(truth.clean()[1, 0])
    sitting.choose("Freehand")
    sitting.hand.press(points[0])
    sitting.hand.draw(points[1:16])
    sitting.until(lambda: int(desk.live_mask.sum()) > 10)
    assert desk.drawing.crystals == ()
    sitting.shows(brute_force(scene, desk.tilt, desk.live_mask))
    sitting.hand.draw(points[16:])
    sitting.page.mouse.up()
    sitting.until(lambda: desk.drawing.ids == ("crystal-01",))
    mask = desk.drawing.crystals[0].mask(desk.tilt)
    sitting.shows(brute_force(scene, desk.tilt, mask))
    wanted = truth.clean()[1, 0]
    assert (mask & wanted).sum() / wanted.sum() > 0.85
    assert (mask ^ polygon_mask(CLUSTER.scan, points)).sum() <= 3  # a pixel of the screen is a tenth of a position


def test_a_polygon_is_clicked_and_a_corner_dragged(sitting: Sitting, cluster: tuple[Scene, Truth]) -> None:
    desk, scene = sitting.desk, cluster[0]
    sitting.choose("Polygon")
    for corner in [(4.3, 5.3), (4.3, 25.3), (20.3, 25.3)]:
        sitting.hand.click(corner)
    sitting.page.mouse.dblclick(*sitting.hand.place((20.3, 5.3)))
    sitting.until(lambda: len(desk.history.changes) == 1)
    before = desk.electrons
    sitting.hand.press((20.3, 25.3))
    sitting.hand.draw([(22.3, 28.3), (26.3, 32.3)])
    sitting.until(lambda: desk.electrons > before)
    sitting.shows(brute_force(scene, desk.tilt, desk.live_mask))
    sitting.page.mouse.up()
    sitting.until(lambda: len(desk.history.changes) == 2)
    mask = desk.drawing.crystals[0].mask(desk.tilt)
    corners = [(4.3, 5.3), (4.3, 25.3), (26.3, 32.3), (20.3, 5.3)]
    assert (mask ^ polygon_mask(CLUSTER.scan, corners)).sum() <= 4
    sitting.shows(brute_force(scene, desk.tilt, mask))


def test_brush_undo_redo_and_a_press_that_waits(sitting: Sitting, cluster: tuple[Scene, Truth]) -> None:
    desk, scene = sitting.desk, cluster[0]
    sitting.choose("Brush")
    sitting.hand.drag([(8.2, 6.3), (8.2, 12.3), (8.2, 20.3)])
    sitting.until(lambda: desk.drawing.ids == ("crystal-01",))
    first = desk.drawing.crystals[0].mask(desk.tilt)
    assert (first ^ stroke_mask(CLUSTER.scan, [(8.2, 6.3), (8.2, 20.3)], desk.brush_radius)).sum() <= 4
    sitting.hand.press((20.0, 6.0))
    sitting.page.wait_for_timeout(900)
    sitting.hand.draw([(20.0, 10.0), (20.0, 16.0)])
    sitting.page.mouse.up()
    sitting.until(lambda: len(desk.history.changes) == 2)
    both = desk.drawing.crystals[0].mask(desk.tilt)
    assert both[20, 14]
    sitting.shows(brute_force(scene, desk.tilt, both))
    sitting.page.keyboard.press("Control+z")
    sitting.until(lambda: not desk.drawing.crystals[0].mask(desk.tilt)[20, 14])
    sitting.shows(brute_force(scene, desk.tilt, first))
    sitting.page.keyboard.press("Control+y")
    sitting.shows(brute_force(scene, desk.tilt, both))


def test_a_click_grows_the_crystal_there(sitting: Sitting, cluster: tuple[Scene, Truth]) -> None:
    scene, truth = cluster
    desk, wanted = sitting.desk, truth.clean()[1, 1]
    sitting.choose("Grow")
    places = np.argwhere(wanted)
    middle = places[np.argmin(((places - places.mean(axis=0)) ** 2).sum(axis=1))]
    sitting.hand.click((float(middle[0]), float(middle[1])))
    sitting.until(lambda: desk.drawing.ids == ("crystal-01",))
    mask = desk.drawing.crystals[0].mask(desk.tilt)
    sitting.shows(brute_force(scene, desk.tilt, mask))
    assert (mask & wanted).sum() / (mask | wanted).sum() > 0.6


def test_a_virtual_detector_dragged_on_the_pattern_makes_the_image(
    sitting: Sitting, cluster: tuple[Scene, Truth]
) -> None:
    desk, scene = sitting.desk, cluster[0]
    sitting.page.get_by_role("button", name="Virtual detector").click()
    sitting.until(lambda: desk.drags_detector)
    sitting.lets_drag("reciprocal space")
    sitting.hand.drag([(40.0, 40.0), (40.0, 50.0), (40.0, 60.0)], "reciprocal")
    sitting.until(lambda: desk.detector is not None and desk.detector.outer_px > 19.5)
    assert desk.image == DETECTOR_IMAGE
    assert desk.detector is not None
    assert desk.detector.centre_px == pytest.approx((40.0, 40.0), abs=0.5)
    assert desk.detector.outer_px == pytest.approx(20.0, abs=0.5)
    region = desk.detector.region(CLUSTER.detector).ravel()
    events = open_events(scene.series.scans[desk.tilt])
    begin, end = (int(events.offsets[position]) for position in (500, 501))
    assert desk.shown_image.ravel()[500] == region[events.events[begin:end]].sum()
    sitting.page.get_by_text("electrons in the disc").wait_for()


def test_an_update_while_drawing_costs_little_more_than_a_bare_one(sitting: Sitting, browser: Any) -> None:
    """Bare: a byte image of 576 x 576 px replaced in a figure, on the same machine in the same minute."""
    pulse, hand = sitting.pulse, sitting.hand
    sitting.choose("Freehand")
    hand.press((16.0, 20.0))
    sitting.until(lambda: sitting.desk.sketch is not None)
    pulse.costs_s = []
    hand.draw([(16 + 0.12 * n * np.sin(n / 6), 20 + 0.12 * n * np.cos(n / 6)) for n in range(100)])
    costs = pulse.costs_s
    hand.page.mouse.up()
    bare: list[Pulse] = []
    with serving(lambda doc: bare.append(bare_pulse(doc, 576))) as url:
        page = opened(browser, url, [])
        sitting.until(lambda: len(bare[0].costs_s) >= 20)
        page.close()
    assert len(costs) >= 5
    reference = float(np.median(bare[0].costs_s[2:]))
    assert np.median(costs) < 4.0 * reference
    assert np.quantile(costs, 0.95) < 12.0 * reference
