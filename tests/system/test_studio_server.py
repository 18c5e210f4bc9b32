"""The studio's server for real: what it answers to whom, and that a browser needs nothing from elsewhere.

APERTURA_SCREENSHOTS=DIR keeps the pictures that the browser made.
"""

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from flows.studio.places import OnePlace
from flows.studio.reports import Reports
from flows.studio.server import FIRST_PORT, PORTS_TRIED, listen
from tasks.model import SettingsError
from tasks.report import write_report
from tests.synthetic.outcomes import example_outcome
from tests.system.facility_bench import ROOT, drop
from tests.system.studio_server_bench import TOKEN, Served


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    run = tmp_path_factory.mktemp("solved") / "run-01"
    run.mkdir()
    write_report(example_outcome(run, tilts=7), run)
    made = Served(OnePlace(tmp_path_factory.mktemp("series")), reports=Reports(run.parent))
    yield made
    made.close()


def token_in(page: str) -> str:
    """Return the signed token of the session of a page."""
    return re.findall(r'"token":"([^"]+)"', page)[0]


def socket_status(served: Served, token: str, *, cookie: str | None, origin: str | None) -> int:
    """Return the status that a WebSocket is answered with; 101 if it opens and Bokeh acknowledges."""
    headers = {} if cookie is None else {"Cookie": f"{served.cookie_name}={cookie}"}
    try:
        with connect(
            f"ws://127.0.0.1:{served.port}/ws",
            additional_headers=headers,
            origin=None if origin is None else Origin(origin),
            subprotocols=[Subprotocol("bokeh"), Subprotocol(token)],
        ) as found:
            assert "ACK" in str(found.recv(10))
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def test_the_token_becomes_a_cookie_that_no_script_reads_and_the_address_is_clean(served: Served) -> None:
    answer = served.ask(params={"token": TOKEN, "tilt": "3"}, entered=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/?tilt=3"
    parts = answer.headers["set-cookie"].lower().split("; ")
    assert {"httponly", "samesite=strict", "path=/"} <= set(parts)
    assert TOKEN not in answer.headers["set-cookie"]
    page = served.ask()
    assert page.status_code == 200
    assert TOKEN not in page.text
    assert next(iter(served.cookie.values())) not in page.text


@pytest.mark.parametrize("path", ["/", "/?token=guessed", "/static/js/bokeh.min.js", "/ws", "/favicon.ico", "/other"])
def test_without_the_token_nothing_is_answered_but_what_to_do(served: Served, path: str) -> None:
    answer = served.ask(path, entered=False)
    assert answer.status_code == 403
    assert "apertura draw" in answer.text
    assert "bokeh" not in answer.text.lower()


def test_only_pages_assets_and_the_websocket_are_there(served: Served) -> None:
    assert served.ask("/static/js/bokeh.min.js").status_code == 200
    for path in ("/autoload.js?bokeh-autoload-element=x", "/metadata", "/static/../run.json", "/other"):
        assert served.ask(path).status_code in {403, 404}, path
    assert served.ask(method="POST").status_code == 405
    assert served.ask(headers={"Host": "evil.example"}).status_code == 421
    assert served.ask(headers={"Origin": "http://evil.example"}).status_code == 403


def test_every_answer_carries_the_headers_of_safety(served: Served) -> None:
    for answer in (served.ask(), served.ask("/static/js/bokeh.min.js"), served.ask(entered=False)):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
    assert served.ask().headers["cache-control"] == "no-store"


def test_what_was_solved_is_sent_to_who_has_the_cookie_and_only_the_report_is_a_page(served: Served) -> None:
    page = served.ask("/solved/run-01/report.html")
    assert page.status_code == 200
    assert page.content == (served.reports / "run-01/report.html").read_bytes()
    assert "unsafe" not in page.headers["content-security-policy"].split("script-src")[1].split(";")[0]
    assert page.headers["x-content-type-options"] == "nosniff"
    figures = served.ask("/solved/run-01/results.json")
    assert figures.status_code == 200
    assert figures.headers["content-disposition"] == "attachment"
    assert served.ask("/solved/run-01/report.html", entered=False).status_code == 403
    assert served.ask("/solved/run-01/report.html", headers={"Origin": "http://evil.example"}).status_code == 403
    for path in ("/solved", "/solved/", "/solved/run-01", "/solved/run-01/%2e%2e/%2e%2e/x", "/solved/..%2f..%2fx"):
        assert served.ask(path).status_code == 404, path


@pytest.mark.needs_browser
def test_the_slider_of_a_report_works_in_a_browser_and_a_script_in_its_text_does_not(served: Served) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    path = served.reports / "run-01/report.html"
    path.write_text(path.read_text().replace("<h1", "<script>document.title = 'theirs'</script><h1", 1))
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.goto(f"{served.url}/?token={TOKEN}")
        page.goto(f"{served.url}/solved/run-01/report.html")
        page.locator("[data-scrub] input").first.wait_for()
        assert page.title() != "theirs"
        with page.expect_download() as kept:
            page.get_by_role("link", name="results.json").click()
        assert Path(kept.value.path()).read_bytes() == (served.reports / "run-01/results.json").read_bytes()
        browser.close()


def test_a_websocket_opens_with_cookie_origin_and_its_own_session_only(served: Served) -> None:
    cookie = served.cookie[served.cookie_name]
    token = token_in(served.ask().text)
    assert socket_status(served, token, cookie=None, origin=served.url) == 403
    assert socket_status(served, token, cookie="guessed", origin=served.url) == 403
    assert socket_status(served, token, cookie=cookie, origin=None) == 403
    assert socket_status(served, token, cookie=cookie, origin="http://evil.example") == 403
    base, signature = token.split(".")
    forged = f"{base}.{signature[::-1]}"
    for wrong in (forged, base, "x", f"{base}."):
        assert socket_status(served, wrong, cookie=cookie, origin=served.url) == 403, wrong
    assert socket_status(served, token, cookie=cookie, origin=served.url) == 101


def test_a_page_cannot_join_a_session_that_is_there(served: Served) -> None:
    token = token_in(served.ask().text)
    assert served.ask(params={"bokeh-token": token}).status_code == 403
    assert served.ask(params={"bokeh-session-id": "guessed"}).status_code == 403
    assert served.ask(headers={"Bokeh-Session-Id": "guessed"}).status_code == 403


def test_the_log_holds_no_token(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        served.ask(params={"token": TOKEN}, entered=False)
        served.ask(params={"token": "guessed-token"}, entered=False)
        served.ask()
    told = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]
    assert any(line.startswith("303 GET /") for line in told)
    assert not [line for line in told if TOKEN in line or "guessed-token" in line]


def test_a_port_that_is_taken_is_said_and_by_default_another_is_found() -> None:
    sockets, port = listen(None)
    try:
        with pytest.raises(SettingsError, match=f"--port {port}: taken by another program"):
            listen(port)
        others, second = listen(None)
        assert second != port
        for one in others:
            one.close()
        assert port in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED) or port > 1023
    finally:
        for one in sockets:
            one.close()


@pytest.mark.needs_browser
def test_in_a_browser_no_request_leaves_the_machine_and_unsaved_work_is_kept(tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    (tmp_path / "series").mkdir()
    served = Served(OnePlace(tmp_path / "series"))
    try:
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            asked: list[str] = []
            said: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            page.on("websocket", lambda socket: asked.append(socket.url))
            page.on("console", lambda message: said.append(message.text))
            page.goto(served.url)
            assert "lacks its token" in page.inner_text("h1")
            if folder := os.environ.get("APERTURA_SCREENSHOTS"):
                page.screenshot(path=f"{folder}/studio-denied.png")
            said.clear()  # the browser speaks of the 403
            page.goto(f"{served.url}/?token={TOKEN}")
            assert page.url == f"{served.url}/"
            page.get_by_text("0 of ada").wait_for()
            page.get_by_role("button", name="count").click()
            page.get_by_text("1 of ada").wait_for()
            page.wait_for_function("document.title == 'by script'")
            assert page.evaluate("document.cookie") == ""
            page.wait_for_load_state("networkidle")
            way = tmp_path / "way.html"
            way.write_text(f'<meta http-equiv="refresh" content="0; url={served.url}/?token={TOKEN}">')
            other = browser.new_context().new_page()
            other.goto(way.as_uri())
            other.get_by_text("0 of ada").wait_for()
            assert other.url == f"{served.url}/", "from another site, too"
            tmp_path.joinpath("series").rmdir()
            page.reload()
            page.get_by_text("no such folder").wait_for()
            page.get_by_text("name the folder of a run").wait_for()
            browser.close()
        strangers = [
            url for url in asked if not url.startswith((served.url, f"ws://127.0.0.1:{served.port}/", "data:"))
        ]
        assert strangers == []
        assert [text for text in said if "refused" in text.lower() or "policy" in text.lower()] == []
    finally:
        served.close()
    assert sorted(served.kept) == [0, 1]


def test_the_command_prints_an_address_with_a_token_and_ends_cleanly(tmp_path: Path) -> None:
    source = drop(tmp_path / "series", seed=3)
    argv = [sys.executable, "-m", "flows.cli", "draw", str(source), "--no-browser", "--work", str(tmp_path / "work")]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}", address)
        answer = httpx.get(address, timeout=60)
        assert answer.status_code == 303
        page = httpx.get(address.split("?")[0], cookies=dict(answer.cookies), timeout=60)
        assert page.status_code == 200
        process.send_signal(signal.SIGINT)
        rest, told = process.communicate(timeout=60)
    assert process.returncode == 0
    assert rest == ""
    assert "Traceback" not in told
    assert "token" not in told
    assert sorted(path.name for path in source.iterdir()) == [*(f"scan_{n}.h5" for n in range(6)), "tilt_series.json"]
