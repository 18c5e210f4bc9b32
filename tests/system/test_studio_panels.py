"""The studio's panels in headless Chromium: keys, tilts, crystals, look, unsaved work, two people at one file."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bokeh.document import Document

from flows.studio.guard import Visitor
from flows.studio.opening import Place
from flows.studio.places import OnePlace
from flows.studio.recovery import UnsavedKeeper
from flows.studio.save_panel import LEAVING
from flows.studio.sitting import seat
from flows.studio.theme import colours
from tasks.drawing import Drawing, Scene
from tests.synthetic.random_series import random_series
from tests.system.studio_server_bench import TOKEN, Served

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.needs_browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

SCAN, TILTS = (12, 15), 7
ANSWER_MS = 180_000
"""Patience with a machine that has much else to do: nothing takes as long on a quiet one."""


class OnSeries(Served):
    """The studio with its window, on a series of random electrons with two crystals."""

    def __init__(self, folder: Path) -> None:
        self.series = random_series(folder, tilts=TILTS, scan_shape=SCAN, detector_shape=(48, 48))
        self.work = folder / "work"
        self.work.mkdir()
        super().__init__(OnePlace(folder))

    def open_place(self, folder: Path) -> Place:  # type: ignore[override]
        return Place(
            "tilt series", folder, "two crystals", self.work, Scene(self.series), series=self.series, drawing=proposed()
        )

    def make_document(self, doc: Document, place: Place, visitor: Visitor) -> Any:  # type: ignore[override]
        return seat(doc, place, visitor)


def proposed() -> Drawing:
    masks = np.zeros((2, TILTS, *SCAN), dtype=bool)
    masks[0, :, 2:6, 2:7] = True
    masks[1, :, 7:10, 9:13] = True
    return Drawing().with_new(masks[0]).with_new(masks[1])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnSeries]:
    made = OnSeries(tmp_path_factory.mktemp("studio"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


Open = Callable[..., Any]


@pytest.fixture
def visit(browser: Any, served: OnSeries) -> Iterator[Open]:
    """Open the studio as a new visitor, where nobody has saved; what fails in a page fails the test."""
    (served.work / "apertures.h5").unlink(missing_ok=True)
    contexts, wrong = [], []

    def opened(*, width: int = 1280, height: int = 800, scheme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(ANSWER_MS)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.goto(f"{served.url}/?token={TOKEN}")
        page.wait_for_function("Bokeh.documents.length > 0 && Bokeh.documents[0].is_idle")
        button(page, "Keys").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def button(page: Any, label: str) -> Any:
    return page.get_by_role("button", name=label, exact=True).first


def crystal(page: Any, text: str) -> Any:
    return page.get_by_role("button", name=re.compile(text)).first


def value(page: Any, name: str, field: str = "value") -> Any:
    """Return what a widget holds in the browser."""
    return page.evaluate(f"name => Bokeh.documents[0].get_model_by_name(name).{field}", name)


def becomes(page: Any, name: str, wanted: object, field: str = "value") -> None:
    page.wait_for_function(
        f"([name, wanted]) => Bokeh.documents[0].get_model_by_name(name).{field} == wanted", arg=[name, wanted]
    )


def test_keys_do_what_the_page_of_keys_says_and_text_fields_keep_their_letters(visit: Open) -> None:
    page = visit()
    becomes(page, "tilt", str(TILTS // 2))
    page.keyboard.press("ArrowRight")
    becomes(page, "tilt", str(TILTS // 2 + 1))
    page.keyboard.press("Home")
    becomes(page, "tilt", "0")
    page.keyboard.press("?")
    page.get_by_text("carried by drift, foreshortening and rotation").wait_for()
    page.keyboard.press("?")
    page.get_by_text("carried by drift, foreshortening and rotation").wait_for(state="hidden")
    page.keyboard.press("e")
    becomes(page, "tool", "Eraser (E)", "labels[Bokeh.documents[0].get_model_by_name(name).active]")
    page.get_by_label("Your name").fill("")
    page.get_by_label("Your name").press_sequentially("frb")
    page.keyboard.press("Home")
    assert page.get_by_label("Your name").input_value() == "frb"
    button(page, "Next").click()
    becomes(page, "tilt", "1")
    assert value(page, "tool", "active") == value(page, "tool", "labels.indexOf('Eraser (E)')")


def test_single_keys_can_be_switched_off(visit: Open) -> None:
    page = visit()
    page.keyboard.press("?")
    button(page, "Single keys on").click()
    button(page, "Single keys off").wait_for()
    button(page, "Next").click()
    becomes(page, "tilt", str(TILTS // 2 + 1))
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Home")
    button(page, "Previous").click()
    becomes(page, "tilt", str(TILTS // 2))


def test_a_click_on_a_thumbnail_chooses_its_tilt_and_all_thumbnails_come(visit: Open) -> None:
    page = visit()
    page.wait_for_function(
        "n => Bokeh.documents[0].get_model_by_name('strip').renderers[0].data_source.data.picture"
        ".filter(one => one.length > 1).length == n",
        arg=TILTS,
    )
    strip = page.locator("[aria-label^='Thumbnails']").first.bounding_box()
    first = page.evaluate("() => Bokeh.documents[0].get_model_by_name('strip').x_range.start")
    last = page.evaluate("() => Bokeh.documents[0].get_model_by_name('strip').x_range.end")
    page.mouse.click(strip["x"] + strip["width"] * (1 - first) / (last - first), strip["y"] + 35)
    becomes(page, "tilt", "1")


def test_a_crystal_is_renamed_merged_and_brought_back_by_keys(visit: Open) -> None:
    page = visit()
    page.keyboard.press("ArrowDown")
    page.wait_for_function("Bokeh.documents[0].get_model_by_name('crystal name').value == 'crystal-01'")
    page.keyboard.press("F2")
    page.wait_for_function(
        "() => { let at = document.activeElement; while (at?.shadowRoot) at = at.shadowRoot.activeElement;"
        " return at?.tagName == 'INPUT' }"
    )
    page.keyboard.type("needle <i>")
    page.keyboard.press("Enter")
    crystal(page, r"^1 needle <i>").wait_for()
    page.evaluate("() => { let at = document.activeElement; while (at?.shadowRoot?.activeElement)"
                  " at = at.shadowRoot.activeElement; at.blur() }")  # fmt: skip
    page.keyboard.press("m")
    crystal(page, r"^2 .*proposed|^2 .*drawn").wait_for(state="detached")
    crystal(page, r"32 positions here").wait_for()
    page.keyboard.press("Control+z")
    crystal(page, r"^2 ").wait_for()
    page.keyboard.press("x")
    crystal(page, r"^1 needle <i>.*left out").wait_for()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_scheme_is_the_systems_and_the_other_is_a_key_away_and_remembered(visit: Open, scheme: str) -> None:
    page = visit(scheme=scheme)
    other = {"dark": "light", "light": "dark"}[scheme]
    for now in (scheme, other):
        page.wait_for_function("now => document.documentElement.dataset.scheme == now", arg=now)
        page.wait_for_function(
            "wanted => JSON.stringify(Bokeh.documents[0].get_model_by_name('course').background_fill_color)"
            ".includes(wanted)",
            arg=colours(now)["paper"],
        )
        red, green, blue = (int(colours(now)["paper"][at : at + 2], 16) for at in (1, 3, 5))
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == f"rgb({red}, {green}, {blue})"
        if now == scheme:
            page.keyboard.press("d")
    page.reload()
    page.wait_for_function("now => document.documentElement.dataset.scheme == now", arg=other)


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 800), (640, 400)])
def test_nothing_sticks_out_at_any_width_also_at_200_percent(visit: Open, width: int, height: int) -> None:
    page = visit(width=width, height=height)  # 1280 x 800 at 200 % is 640 x 400
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for label in ("Take", "Delete", "Save", "Play", "Judge", "Light / dark"):
        box = button(page, label).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width, label


CONTROL = re.compile(r"^\s*- (button|textbox|combobox|slider|radio|checkbox|spinbutton|link)(?! \")", re.MULTILINE)


def test_every_control_has_a_name_for_a_screen_reader(visit: Open) -> None:
    page = visit()
    page.keyboard.press("?")
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(500)
    tree = page.locator("body").aria_snapshot()
    assert tree.count("- button") > 20
    assert [line for line in tree.splitlines() if CONTROL.match(line)] == []
    assert '- status "Message"' in tree or "- status" in tree


def test_the_focus_is_seen_and_every_button_is_reached_by_tab(visit: Open) -> None:
    page = visit()
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        label, outline = page.evaluate(
            "() => { let at = document.activeElement; while (at?.shadowRoot?.activeElement)"
            " at = at.shadowRoot.activeElement; return [at.innerText, parseFloat(getComputedStyle(at).outlineWidth)] }"
        )
        if label and page.evaluate("() => document.activeElement != document.body"):
            seen.add(label.split("\n")[0])
            assert outline >= 2, label
        if "Save" in seen:
            break
    assert {"Keys", "Light / dark", "New", "Previous", "Play", "Save"} <= seen


def test_leaving_with_unsaved_work_asks_and_saving_ends_that(visit: Open, served: OnSeries) -> None:
    page = visit()
    asks = "() => !window.dispatchEvent(new Event('beforeunload', {cancelable: true}))"
    assert not page.evaluate(asks)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Backspace")
    page.get_by_text("1 change not saved").wait_for()
    page.wait_for_function(asks)  # of two things that come in one message, either may be shown first
    page.keyboard.press("Control+s")
    page.get_by_text("Saved as apertures.h5").wait_for()
    page.wait_for_function(f"() => !({asks})()")
    assert (served.work / "apertures.h5").is_file()
    assert "beforeunload" in LEAVING


def test_the_second_of_two_people_is_refused_and_saves_a_copy(visit: Open, served: OnSeries) -> None:
    first, second = visit(), visit()
    for page in (first, second):
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Backspace")
        page.get_by_text("1 change not saved").wait_for()
    first.keyboard.press("Control+s")
    first.get_by_text("Saved as apertures.h5").wait_for()
    assert not button(second, "Save a copy").is_visible()
    second.keyboard.press("Control+s")
    button(second, "Save a copy").wait_for()
    before = (served.work / "apertures.h5").read_bytes()
    second.keyboard.press("Control+Shift+s")
    second.get_by_text(re.compile(r"Saved as apertures-.*\.h5")).wait_for()
    assert (served.work / "apertures.h5").read_bytes() == before


def test_work_that_was_not_saved_is_offered_and_taken_up(visit: Open, served: OnSeries) -> None:
    lost = UnsavedKeeper(served.work)
    lost.keep(proposed().renamed("crystal-01", "not lost"), ("named it",), parent=None)
    lost.close()
    page = visit()
    page.get_by_text("Your unsaved drawing of").wait_for()
    button(page, "Take up").click()
    crystal(page, "^1 not lost").wait_for()
    page.get_by_text("Your unsaved drawing of").wait_for(state="hidden")
    assert page.evaluate("() => Bokeh.documents[0].get_model_by_name('unsaved').value") == "yes"
