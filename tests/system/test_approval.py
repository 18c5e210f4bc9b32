"""A person has a say, in Prefect's user interface: seen in a browser, and what happens when nobody answers.

APERTURA_SCREENSHOTS=DIR keeps the pictures that the browser made.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.apertures import ApertureSet, write_apertures
from tasks.stage import read_document
from tests.system.facility_bench import Bench, bring_up, drop, drop_crystals, state, wait

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.needs_server,
    pytest.mark.needs_browser,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

SOON_H = 1e-5


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    data = Path(tempfile.mkdtemp(prefix="apertura-approval-"))
    made = bring_up(data)
    yield made
    made.close()
    shutil.rmtree(data, ignore_errors=True)


@pytest.fixture(scope="module")
def series(bench: Bench) -> Path:
    return drop_crystals(bench.data / "incoming" / ".crystal", crystals=1)


@pytest.fixture(scope="module")
def suspended(bench: Bench, series: Path) -> str:
    return suspend(bench, series, limit_h=72.0, default="accept")


@pytest.fixture(scope="module")
def page(bench: Bench) -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1100}, base_url=bench.facility.url)
        bench.sign_in(page)
        yield page
        browser.close()


def suspend(bench: Bench, series: Path, **approval: object) -> str:
    run = bench.submit(series, settings={"compare_apertures": False}, approval={"ask": "apertures", **approval})
    wait(lambda: bench.read(run)["state_type"] == "PAUSED", "the run to be suspended")
    wait(lambda: bench.flow_process(run) is None, "its process to end")
    return run


def stamps(bench: Bench, source: Path) -> dict[str, int]:
    folder = bench.folder_of(source)
    assert folder is not None
    return {name: (folder / name / "document.json").stat().st_mtime_ns for name in ("ingest", "apertures")}


def corrected(run: Path, path: Path) -> NDArray[np.uint8]:
    """Write the proposal of a run with every other row taken away, as a person might save it; return its masks."""
    proposed = read_document(run / "apertures", ApertureSet)
    (crystal,) = proposed.crystals
    masks = crystal.positions
    masks[:, ::2] = False
    assert 0 < masks.sum() < crystal.positions.sum()
    path.parent.mkdir()
    write_apertures({"crystal-01": masks}, proposed.tilt_deg, path)
    return masks.astype(np.uint8)


def studio_link(bench: Bench, run: str) -> str:
    """Return the address of the studio in the form of a suspended run."""
    keyset = bench.read(run)["state"]["state_details"]["run_input_keyset"]
    form = bench.get(f"/flow_runs/{run}/input/{keyset['description']}").json()
    return str(form).split("[open the studio](")[1].split(")")[0]


def opened(page: Any, address: str, shown: str) -> None:
    """Open a page and wait for a text on it."""
    page.goto(address)
    page.get_by_text(shown, exact=False).first.wait_for()


def answered(page: Any) -> None:
    """Send the form as a person does, who sends it again where a server with SQLite was too busy to take it."""
    for _ in range(3):
        with page.expect_response(lambda response: response.url.endswith("/resume")) as sent:
            page.get_by_role("button", name="Resume").click()
        if sent.value.status < 500:
            break
    assert sent.value.status in {200, 201}, sent.value.text()
    assert sent.value.json()["status"] == "ACCEPT", sent.value.text()


def keep(page: Any, name: str, *, whole: bool = False) -> None:
    page.wait_for_timeout(1500)  # pictures and the graph are drawn after the text
    if folder := os.environ.get("APERTURA_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=whole)


def test_the_list_of_deployments_says_what_each_is_for(bench: Bench, page: Any) -> None:
    opened(page, "/v2/deployments?limit=100", "on-arrival")
    keep(page, "deployments")
    for name in (
        "interactive",
        "flight-check",
        "janitor",
        "prune",
        "sweep",
        "merge",
        "reprocess",
        "dispatch",
        "scicat",
    ):
        assert page.get_by_role("link", name=name, exact=True).count() >= 1, name


def test_the_form_of_a_run_explains_its_fields_and_offers_its_choices(bench: Bench, page: Any) -> None:
    found = bench.get("/deployments/name/solve-series/interactive").json()
    opened(page, f"/v2/deployments/deployment/{found['id']}/run", "folder with tilt_series.json")
    keep(page, "form", whole=True)
    text = page.inner_text("main") if page.locator("main").count() else page.inner_text("body")
    for told in ("high-resolution limit", "whether a person is asked", "hours to wait for an answer", "leave it empty"):
        assert told in text, told
    for engine in ("DialsIntegrator", "ChargeFlipping", "ShelxlRefiner"):
        assert page.get_by_role("tab", name=engine).count() == 1, engine
    page.get_by_role("tab", name="DialsIntegrator").click()
    keep(page, "form-dials", whole=True)
    page.get_by_text("What a person approves", exact=False).first.scroll_into_view_if_needed()


def test_a_suspended_run_holds_no_slot_and_shows_its_proposal(bench: Bench, suspended: str) -> None:
    number = len(bench.runs())  # if the test is made again, another data set
    other = drop(bench.data / "incoming" / f"meanwhile-{number}", seed=number)
    assert bench.outcome(other) == "1 run: Completed, No crystals", "the pool runs one flow at once"
    keyset = bench.read(suspended)["state"]["state_details"]["run_input_keyset"]
    answer = bench.get(f"/flow_runs/{suspended}/input/{keyset['description']}")
    assert "| crystal-01 |" in answer.text
    url = re.findall(r"\((http[^()\s]+/apertures\.png)\)", answer.text)[0]
    assert httpx.get(url, timeout=60).content.startswith(b"\x89PNG")


def test_an_answer_in_the_browser_resumes_the_run_and_nothing_is_computed_again(
    bench: Bench, page: Any, series: Path, suspended: str
) -> None:
    before = stamps(bench, series)
    opened(page, f"/v2/runs/flow-run/{suspended}", "Suspended")
    keep(page, "suspended")
    page.get_by_role("button", name="Open menu").click()
    page.get_by_role("menuitem", name="Resume").click()
    page.get_by_text("Go on with the crystals named below?").wait_for()
    keep(page, "approval")
    answered(page)
    ended = bench.ended(suspended)
    assert ended["state_type"] == "COMPLETED", ended["state"]
    assert stamps(bench, series) == before
    opened(page, f"/v2/runs/flow-run/{suspended}", ended["state_name"])
    keep(page, "run")
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("progress", exact=True).first.wait_for()
    keep(page, "artifacts", whole=True)
    report = bench.artifact(suspended, "report")
    page.goto(report.split("](")[1].rstrip(")"))
    assert "crystal-01" in page.inner_text("body")
    keep(page, "report")


def test_a_run_goes_on_with_the_apertures_that_were_accepted_in_the_studio(bench: Bench, page: Any) -> None:
    series = drop_crystals(bench.data / "incoming" / ".corrected", crystals=1)
    run = suspend(bench, series, limit_h=72.0, default="accept")
    folder = bench.folder_of(series)
    assert folder is not None
    drawn = corrected(folder, folder / "studio" / "apertures.h5")
    address = studio_link(bench, run)
    assert address in bench.artifact(run, "apertures")
    page.goto(address)
    page.get_by_role("button", name="Accept for the run").wait_for(timeout=120_000)
    assert "token" not in page.url
    keep(page, "studio-approval")
    page.get_by_role("button", name="Accept for the run").click()
    page.get_by_text("The run goes on with 1 crystals").first.wait_for(timeout=120_000)
    assert bench.ended(run)["state_type"] == "COMPLETED", bench.error_of(run)
    assert not (folder / "approval.json").exists()
    (accepted,) = (folder / "studio").glob("accepted-*.h5")
    with h5py.File(accepted) as file, h5py.File(folder / "corrected" / "crystal-01.h5") as used:
        assert np.array_equal(np.asarray(file["crystal-01/masks"]), drawn)
        assert np.array_equal(np.asarray(used["masks"]), drawn)
    inputs = json.loads((folder / "corrected" / "document.json").read_text())["document"]["provenance"]["inputs"]
    assert inputs == {"apertures.file": hashlib.sha256(accepted.read_bytes()).hexdigest()}


def test_a_refusal_fails_the_run_with_the_comment(bench: Bench, series: Path) -> None:
    run = suspend(bench, series, limit_h=72.0, default="accept")
    bench.post(f"/flow_runs/{run}/resume", run_input={"approve": False, "crystals": [], "comment": "two in one"})
    assert state(bench.ended(run)) == "Failed"
    assert "two in one" in bench.error_of(run)


@pytest.mark.parametrize(("default", "expected"), [("accept", "COMPLETED"), ("reject", "FAILED")])
def test_without_an_answer_the_janitor_takes_the_default(
    bench: Bench, series: Path, default: str, expected: str
) -> None:
    run = suspend(bench, series, limit_h=SOON_H, default=default)
    assert state(bench.maintain("janitor")) == "Completed"
    assert bench.ended(run)["state_type"] == expected
    if default == "reject":
        assert "nobody answered in time" in bench.error_of(run)


@pytest.mark.flaky(reruns=0)  # as a browser's test it would be made again, in a new facility
def test_no_log_holds_a_traceback(bench: Bench) -> None:
    bench.no_tracebacks(allowed=("ObjectNotFound",))  # of a pass of the janitor that the next one dropped as late
