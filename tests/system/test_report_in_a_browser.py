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
