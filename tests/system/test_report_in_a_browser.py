"""The report in headless Chromium: laptop width, telephone width, dark, without scripts, on paper."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.report.task import write_report
from tests.synthetic.outcomes import example_outcome

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.needs_browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("run")
    return write_report(example_outcome(folder, tilts=7), folder).page.path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("width", [1300, 390])
def test_nothing_fails_is_fetched_or_sticks_out(browser: Any, report: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    said: list[str] = []
    fetched: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: fetched.append(request.url))
    page.goto(report)
    assert said == []
    assert [url for url in fetched if not url.startswith(("file:", "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_the_slider_shows_one_tilt_at_a_time(browser: Any, report: str) -> None:
    page = browser.new_page()
    page.goto(report)
    visible = "[...document.querySelectorAll('[data-scrub] figure')].filter(f => f.offsetParent).map(f => f.innerText)"
    middle = page.evaluate(visible)
    page.evaluate(
        "s => { s = document.querySelector('[data-scrub] input'); s.value = 0; s.dispatchEvent(new Event('input')) }"
    )
    first = page.evaluate(visible)
    assert len(middle) == len(first) == 1
    assert first[0] == "-60.0°"
    assert middle != first
    page.close()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_click_on_a_reflection_shows_its_rocking_curves_and_its_probe_positions(
    browser: Any, report: str, scripts: bool
) -> None:
    context = browser.new_context(java_script_enabled=scripts)
    page = context.new_page()
    page.goto(report)
    lines = page.locator("#crystal-01 .worst details")
    assert lines.count() == 9  # one of ten was seen nowhere, and is no more than a line
    first = lines.nth(0)
    curve, place = first.locator("svg.rocking").first, first.locator("img").first
    assert not curve.is_visible()
    first.locator("summary").click()
    assert curve.is_visible()
    assert place.is_visible()
    assert first.locator("svg.rocking").count() == first.locator("img").count() == 6
    assert "predicted 80" in str(curve.get_attribute("aria-label"))
    assert place.evaluate("image => image.naturalWidth") == 14
    first.locator("summary").click()
    assert not curve.is_visible()
    context.close()


def test_the_list_is_used_with_the_keyboard_alone(browser: Any, report: str) -> None:
    page = browser.new_page()
    page.goto(report)
    page.locator("#crystal-01 .worst summary").nth(0).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    opened = page.locator("#crystal-01 .worst details[open]")
    assert opened.count() == 1
    assert opened.locator("summary").inner_text().split()[:3] == ["reflection", "1", "−2"]
    page.keyboard.press("Space")
    assert opened.count() == 0
    page.close()


@pytest.mark.parametrize("width", [1300, 390])
def test_what_is_opened_stays_within_the_page(browser: Any, report: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(report)
    page.evaluate("document.querySelectorAll('.worst details').forEach(part => (part.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_paper_gets_the_list_and_only_what_the_reader_opened_of_it(browser: Any, report: str) -> None:
    page = browser.new_page()
    page.goto(report)
    page.locator("#crystal-01 .worst summary").nth(2).click()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".worst details[open]").count() == 1
    assert page.locator("details:not(.worst details):not([open])").count() == 0
    page.close()


def test_without_scripts_all_tilts_stand_side_by_side(browser: Any, report: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report)
    figures = page.locator("[data-scrub] figure")
    assert figures.count() == 7
    assert all(figures.nth(index).is_visible() for index in range(7))
    context.close()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_text_stands_out_in_either_scheme(browser: Any, report: str, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme)
    page.goto(report)
    ink, paper = page.evaluate(
        "['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name].match(/\\d+/g).map(Number))"
    )
    assert abs(sum(ink) - sum(paper)) / 3 > 150
    assert (sum(paper) > sum(ink)) == (scheme == "light")
    page.close()


def test_it_prints(browser: Any, report: str, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(report)
    printed = page.pdf(path=str(tmp_path / "report.pdf"), format="A4")
    assert printed.startswith(b"%PDF")
    page.close()
