"""A facility on this machine for real, with the shipped defaults: what is dropped in runs, what dies goes on."""

import functools
import http.server
import json
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
import pytest

from adapters.host.processes import with_variable
from flows.deploy import UPKEEP_AT_ONCE
from flows.facility import FOLDER_VARIABLE
from flows.ledger import Ledger
from tests.synthetic.alarm_sinks import Told
from tests.system.facility_bench import AFTER_KILLS, ROOT, Bench, bring_up, drop, drop_crystals, kill, state, wait

SCHEDULE_S = 150.0
"""The first janitor is due 60 s after `up`."""
AGAIN_S = 420.0
"""Seven minutes: until a run whose process died has ended right, without anybody's help."""
FLIGHT_CHECK_S = 840.0
BAD = 30
"""Bad manifests dropped at once: more than a busy server is told of in a look. The benchmark drops a hundred."""
QUICK_S = 20
"""Between two passes of the janitor, after its own schedule was seen to bring a run back."""

pytestmark = [pytest.mark.needs_server, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    made = Told()
    yield made
    made.close()


@pytest.fixture(scope="module")
def bench(told: Told) -> Iterator[Bench]:
    data = Path(tempfile.mkdtemp(prefix="apertura-facility-"))
    disk_always_low = {"disk_low_gib": 1e9}
    made = bring_up(data, alarms={**disk_always_low, "to": told.receivers})
    yield made
    made.close()
    shutil.rmtree(data, ignore_errors=True)


class First(NamedTuple):
    """The data set that arrives first, beside one that is half written; its run has ended."""

    source: Path
    before: dict[str, tuple[int, int, int]]
    half: Path
    outcome: str


@pytest.fixture(scope="module")
def first(bench: Bench) -> First:
    half = drop(bench.data / "incoming" / "half", seed=2, complete=False)
    source = drop(bench.data / "incoming" / "first", seed=1)
    return First(source, listing(source), half, bench.outcome(source))


def test_a_dropped_data_set_is_run_once_and_ends_with_a_truthful_state(bench: Bench, first: First) -> None:
    assert first.outcome == "1 run: Completed, No crystals"
    assert listing(first.source) == first.before, "something was written into the data"
    (run,) = bench.runs(first.source)
    assert run["name"].startswith("first: ")
    assert {"sample:first", "outcome:No crystals", "instrument:4D Camera"} <= set(run["tags"])
    folder = bench.folder_of(first.source)
    assert folder is not None
    assert (folder / "report.html").is_file()


def listing(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return of a folder and all in it when and what was written: a file that came and went changes its folder."""
    found = {path: path.stat() for path in (folder, *folder.rglob("*"))}
    return {str(path): (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size) for path, stat in found.items()}


def test_a_half_written_data_set_never_starts(bench: Bench, first: First) -> None:
    assert bench.runs(first.half) == []


def test_one_bad_folder_is_recorded_and_stops_no_other(bench: Bench) -> None:
    incoming = bench.data / "incoming"
    outside = drop(bench.data / "elsewhere", seed=20)
    (incoming / "a-link").mkdir()
    (incoming / "a-link" / "tilt_series.json").symlink_to(outside / "tilt_series.json")
    Path(os.fsdecode(os.fsencode(incoming) + b"/b-\xff\xfe")).mkdir()
    shutil.copy(outside / "tilt_series.json", os.fsdecode(os.fsencode(incoming) + b"/b-\xff\xfe"))
    for scan in outside.glob("*.h5"):
        shutil.copy(scan, os.fsdecode(os.fsencode(incoming) + b"/b-\xff\xfe"))
    itself = drop(incoming / "c-itself", seed=21)
    (itself / "scan_0.h5").unlink()
    (itself / "scan_0.h5").symlink_to("scan_0.h5")
    good = drop(incoming / "z-good", seed=22)
    assert bench.outcome(good) == "1 run: Completed, No crystals"
    asked = bench.run_apertura("status", "--json", "--data", str(bench.data))
    assert asked.returncode == 0, asked.stderr
    refused = {Path(row["path"]).name: row["reason"] for row in json.loads(asked.stdout)["refused"]}
    assert "outside the source folder" in refused["a-link"]
    assert "not UTF-8" in refused[r"b-\xff\xfe"]
    assert "cannot be followed" in refused["c-itself"]
    assert bench.runs(itself) == [], "a refusal takes no slot"


def test_bad_manifests_are_shown_as_refused_and_take_no_slot(bench: Bench) -> None:
    incoming = bench.data / "incoming"
    bad = [drop(bench.data / f"bad-{number:03d}", seed=0) for number in range(BAD)]
    for number, folder in enumerate(bad):
        manifest = json.loads((folder / "tilt_series.json").read_text())
        manifest["beam"] = {"energy_kev": -1.0, f"</code>[link](http://example.org/{number})": 1}
        (folder / "tilt_series.json").write_text(json.dumps(manifest))
        folder.rename(incoming / folder.name)
    good = drop(incoming / "zz-good", seed=60)
    assert bench.outcome(good) == "1 run: Completed, No crystals"
    wait(lambda: len(refusals(bench)) >= len(bad), "all refusals to be shown")
    assert not any(run["name"].startswith("bad-") for run in bench.runs_of("solve-series"))
    assert all("energy_kev" in text for text in refusals(bench))


def refusals(bench: Bench) -> list[str]:
    """Return the texts that the server shows of what was refused for its manifest."""
    found = bench.post("/artifacts/filter", artifacts={"key": {"like_": "refused-"}}, limit=200)
    return [one["data"] for one in found if "bad" in one["data"]]


def test_an_event_starts_the_run_of_a_data_set_where_nobody_watches(bench: Bench) -> None:
    with bench.rough():
        bench.kill("watcher", comes_back=False)
        source = drop(bench.data / "incoming" / "by-event", seed=45)
        bench.announce_by_event(source)
        wait(lambda: any(state(run) == "Completed" for run in bench.runs_of("dispatch")), "the dispatcher")
        assert bench.outcome(source) == "1 run: Completed, No crystals"
        bench.start("watcher")


def test_what_exceeds_the_quota_of_its_proposal_waits_in_sight_and_runs_afterwards(bench: Bench) -> None:
    bench.pause(paused=True)  # the first run waits for as long as is looked at the second
    first, second = (drop(bench.data / "incoming" / "Q-1" / name, seed=seed) for name, seed in (("q", 61), ("r", 62)))
    ledger = Ledger(bench.data / "ledger.db")
    wait(lambda: any(one.held for one in ledger.waiting()), "a data set that is held back")
    assert "waits for room: proposal Q-1: 1 of 1 runs" in bench.run_apertura("status").stdout
    bench.pause(paused=False)
    assert [bench.outcome(one) for one in (first, second)] == ["1 run: Completed, No crystals"] * 2
    earlier, later = sorted((bench.runs(one)[0] for one in (first, second)), key=lambda run: run["start_time"])
    assert later["start_time"] >= earlier["end_time"]
    assert "proposal:Q-1" in later["tags"]


def test_a_data_set_announced_again_has_no_second_run(bench: Bench, first: First) -> None:
    with bench.rough():
        assert bench.runs(first.source)
        before, known = len(bench.runs()), announced(bench.data / "ledger.db")
        bench.kill("watcher", comes_back=False)
        for path in bench.data.glob("ledger.db*"):
            path.unlink()
        bench.start("watcher")
        wait(lambda: announced(bench.data / "ledger.db") >= known >= 1, "all data sets to be announced again")
        assert len(bench.runs()) == before
        told = Ledger(bench.data / "ledger.db")
        wait(lambda: all(one.told for one in told.refused()), "all refusals to be shown again")


def announced(ledger: Path) -> int:
    if not ledger.is_file():
        return 0
    with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as connection:
        try:
            return int(connection.execute("select count(*) from datasets where state = 'announced'").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def test_status_names_the_last_outcome(bench: Bench, first: First) -> None:
    assert "No crystals" in first.outcome
    asked = bench.run_apertura("status", "--json", "--data", str(bench.data))
    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout)
    assert answer["states"]["No crystals"] >= 1
    assert all(one["seconds_ago"] is not None for one in answer["signs"] if one["service"] != "janitor")
    assert answer["disk_free_gib"] > 0


def test_what_goes_wrong_is_told_by_mail_and_to_a_webhook(bench: Bench, told: Told) -> None:
    run = bench.ended(bench.submit(bench.data / "incoming" / "<b>nowhere"))
    assert run["state_type"] == "FAILED"
    wait(lambda: told.of("run failed") == {"mail": 1, "hook": 1}, "word of the failed run")
    wait(lambda: told.of("disk is filling") == {"mail": 1, "hook": 0}, "word of the disk, which the janitor sees")
    parts = told.contents("run failed")
    assert "no such folder" in parts["text/plain"]
    assert f"/runs/flow-run/{run['id']}" in parts["text/plain"]
    assert "<b>" not in parts.get("text/html", "")


def test_the_janitor_runs_by_its_schedule(bench: Bench) -> None:
    def scheduled() -> list[str]:
        return [state(run) for run in bench.runs_of("janitor") if run["auto_scheduled"] and run["start_time"]]

    wait(lambda: "Completed" in scheduled(), "a scheduled janitor to end", limit_s=SCHEDULE_S)


def test_the_page_of_arrivals_shows_every_folder_that_was_seen(bench: Bench) -> None:
    def all_there() -> bool:
        page = arrivals(bench)
        return all(f"/incoming/{name}" in page for name in ("half", "a-link", "z-good"))

    wait(all_there, "all folders on the page of arrivals", limit_s=SCHEDULE_S)


def arrivals(bench: Bench) -> str:
    """Return what the page of arrivals shows now."""
    found = bench.post("/artifacts/latest/filter", artifacts={"key": {"any_": ["arrivals"]}})
    return str(found[0]["data"]).replace("\\", "") if found else ""


def test_maintenance_runs_through_its_pool(bench: Bench) -> None:
    with ThreadPoolExecutor() as both:
        assert [state(run) for run in both.map(bench.maintain, ("sweep", "prune"))] == ["Completed"] * 2


@pytest.mark.faults
def test_runs_that_a_worker_took_and_lost_end_right_though_they_fill_the_pool_of_maintenance(bench: Bench) -> None:
    """Prefect's worker gives a run up whose answer to Pending it did not get: nobody begins it, its slot is held."""

    def taken(deployment: str, **parameters: Any) -> str:
        found = bench.get(f"/deployments/name/{deployment}").json()["id"]
        path = f"/deployments/{found}/create_flow_run"
        return str(bench.post(path, parameters=parameters, state={"type": "PENDING"})["id"])

    bench.maintain("sweep")  # its worker has started, and looked at its pool
    source = drop_crystals(bench.data / "incoming" / ".taken", crystals=1, seed=12)
    run = taken("solve-series/interactive", source=str(source))
    lost = [taken("sweep/sweep") for _ in range(UPKEEP_AT_ONCE)]
    begin = time.monotonic()
    wait(lambda: state(bench.read(run)).startswith("Completed"), "the run that was lost to end right", limit_s=AGAIN_S)
    print(f"ended {time.monotonic() - begin:.0f} s after it was lost, load {os.getloadavg()[0]:.1f}")
    assert {bench.read(one)["state_type"] for one in lost} == {"CRASHED"}


@pytest.fixture(scope="module")
def killed(bench: Bench) -> tuple[str, Path]:
    """A run in the middle of which its worker and its process were killed, and its source."""
    with bench.rough():
        source = drop_crystals(bench.data / "incoming" / ".killed", crystals=1).rename(
            bench.data / "incoming" / "killed"
        )
        run = begun(bench, source)
        bench.kill("worker")
        bench.kill_flow(run)
    return run, source


def test_a_worker_that_was_killed_comes_back(bench: Bench, killed: tuple[str, Path]) -> None:
    assert bench.supervisor.states()["worker"] in {"RUNNING", "STARTING"}
    assert len(bench.runs(killed[1])) == 1


def test_a_facility_is_not_started_twice(bench: Bench) -> None:
    again = bench.run_apertura("facility", "up", "--data", str(bench.data), "--port", str(bench.port))
    assert again.returncode == 2
    assert "is running there" in again.stderr


def test_prometheus_is_told_what_became_of_arrivals(bench: Bench) -> None:
    url = f"{bench.facility.url}/apertura/metrics"
    assert httpx.get(url, timeout=60).status_code == 401
    told = httpx.get(url, timeout=60, auth=bench.login).raise_for_status().text
    assert 'apertura_heard_seconds{service="watcher"}' in told
    assert 'apertura_data_sets{state="announced"}' in told
    assert 'apertura_stage_seconds{stage="ingest"}' in told


def test_the_commands_say_that_a_password_is_missing(bench: Bench) -> None:
    without = {"PREFECT_API_URL": bench.api, "PREFECT_API_AUTH_STRING": "apertura:guessed"}
    asked = bench.run_apertura("status", env=without)
    assert asked.returncode == 4
    assert "wants a password" in asked.stderr
    assert "refuses PREFECT_API_AUTH_STRING" in bench.run_apertura("doctor", env=without).stdout


def test_nobody_can_send_a_command_or_an_environment_with_a_run(bench: Bench) -> None:
    found = bench.get("/deployments/name/solve-series/interactive").json()
    for variables in ({"command": "touch /tmp/x"}, {"env": {"PYTHONPATH": "/tmp"}}, {"working_dir": "/tmp"}):
        with bench.client as client:
            body = {"parameters": {"source": "/nowhere"}, "job_variables": variables}
            answer = client.post(f"/deployments/{found['id']}/create_flow_run", json=body)
        assert answer.status_code == 422, variables
        assert "not allowed" in answer.text


def test_a_run_whose_worker_and_process_were_killed_ends_right_untouched(
    bench: Bench, killed: tuple[str, Path]
) -> None:
    run, source = killed
    with bench.rough():
        wait(lambda: bench.read(run)["state_type"] == "COMPLETED", "the run to end right", limit_s=AGAIN_S)
        assert len(bench.runs(source)) == 1


def test_a_run_goes_on_after_the_supervisor_was_killed_and_the_facility_brought_up_again(bench: Bench) -> None:
    with bench.rough():
        source = drop_crystals(bench.data / "incoming" / ".reboot", crystals=1, seed=8).rename(
            bench.data / "incoming" / "reboot"
        )
        run = begun(bench, source)
        kill(int((bench.data / "supervisord.pid").read_text()))
        up_again(bench)
        assert len(list(with_variable(FOLDER_VARIABLE, str(bench.data), command="apertura watch"))) == 1
        wait(lambda: bench.read(run)["state_type"] == "COMPLETED", "the run to end right", limit_s=AGAIN_S)
        assert len(bench.runs(source)) == 1


def test_a_run_goes_on_after_down_and_up_and_down_leaves_nothing_and_harms_no_stranger(bench: Bench) -> None:
    with bench.rough():
        source = drop_crystals(bench.data / "incoming" / ".down", crystals=1, seed=9).rename(
            bench.data / "incoming" / "down"
        )
        run = begun(bench, source)
        written = json.loads((bench.data / "facility.json").read_text())
        stranger = psutil.Popen(["sleep", "600"])
        numbers = {name: stranger.pid for name in written if name.endswith("_pid")}
        (bench.data / "facility.json").write_text(json.dumps({**written, **numbers}))
        stopped = bench.run_apertura("facility", "down", "--data", str(bench.data))
        assert stopped.returncode == 0, stopped.stderr
        assert stranger.is_running()
        assert list(with_variable(FOLDER_VARIABLE, str(bench.data))) == []
        stranger.kill()
        stranger.wait()
        up_again(bench)
        wait(lambda: bench.read(run)["state_type"] == "COMPLETED", "the run to end right", limit_s=AGAIN_S)
        assert len(bench.runs(source)) == 1


def begun(bench: Bench, source: Path) -> str:
    """Wait until the run of a source is in the middle; return its id."""
    run = str(bench.run(source)["id"])
    wait(
        lambda: any((bench.data / "runs").glob(f"{source.name}-*/ingest/document.json")), "the first step", step_s=0.05
    )
    return run


def up_again(bench: Bench) -> None:
    """Bring the facility up again, its janitor with more passes: how soon it comes by itself was seen before."""
    quick = bench.data / "deployments"
    shutil.copytree(ROOT / "deployments", quick, dirs_exist_ok=True)
    text = (quick / "prefect.yaml").read_text()
    (quick / "prefect.yaml").write_text(text.replace("interval: 60,", f"interval: {QUICK_S},"))
    started = bench.run_apertura(
        "facility", "up", "--data", str(bench.data), "--port", str(bench.port), env={"APERTURA_DEPLOYMENTS": str(quick)}
    )
    assert started.returncode == 0, started.stderr


def test_the_process_of_a_deleted_run_is_ended(bench: Bench) -> None:
    with bench.rough():
        source = drop_crystals(bench.data / "incoming" / ".deleted", crystals=1, seed=10)
        run = bench.submit(source)
        wait(lambda: bench.flow_process(run) is not None, "its process")
        with bench.client as client:
            client.delete(f"/flow_runs/{run}").raise_for_status()
        wait(lambda: bench.flow_process(run) is None, "its process to end", limit_s=SCHEDULE_S)


def test_a_drained_pool_takes_nothing_up_until_it_is_opened_and_then_what_was_announced_and_nothing_else(
    bench: Bench,
) -> None:
    drained = bench.run_apertura("drain", "--data", str(bench.data))
    assert drained.returncode == 0, drained.stderr
    assert "closed until the next start" in drained.stderr
    source = drop(bench.data / "incoming" / "drained", seed=30)
    run = bench.run(source)["id"]
    time.sleep(4)  # the worker asks every second
    waiting = bench.read(run)
    assert (waiting["state_type"], waiting["name"]) == ("SCHEDULED", "drained")
    assert {"sample:drained", "instrument:4D Camera"} <= set(waiting["tags"])
    replaced = drop(bench.data / "incoming" / "replaced", seed=31)
    first = bench.run(replaced)["id"]
    shutil.rmtree(replaced)
    drop(replaced, seed=32)
    wait(lambda: len(bench.runs(replaced)) == 2, "the run of the new version")
    moved = source.rename(source.with_name("m" * 245))
    opened = bench.run_apertura("drain", "--data", str(bench.data), "--open")
    assert opened.returncode == 0, opened.stderr
    assert state(bench.ended(run)) == "Failed"
    assert "removed, renamed or moved" in bench.error_of(run)
    assert bench.outcome(moved) == "1 run: Completed, No crystals"
    assert state(bench.ended(first)) == "Failed"
    assert "scan_0.h5 is another" in bench.error_of(first).replace("\\", "")
    wait(lambda: {state(one) for one in bench.runs(replaced)} == {"Failed", "Completed, No crystals"}, "both versions")


@pytest.fixture(scope="module")
def flight_check(bench: Bench) -> str:
    """The run of a flight check that has been asked for."""
    found = bench.get("/deployments/name/flight-check/flight-check").json()
    return str(bench.post(f"/deployments/{found['id']}/create_flow_run", parameters={})["id"])


def test_a_flight_check_is_taken_up(bench: Bench, flight_check: str) -> None:
    wait(lambda: bench.read(flight_check)["state_type"] == "RUNNING", "the check to begin")


def test_who_does_not_know_the_password_gets_nothing(bench: Bench) -> None:
    for method, path in (("POST", "/flow_runs/filter"), ("GET", "/admin/settings"), ("POST", "/deployments/filter")):
        assert httpx.request(method, f"{bench.api}{path}", json={}, timeout=60).status_code == 401, path
    assert bench.post("/flow_runs/count") >= 0


def test_another_host_name_is_refused(bench: Bench) -> None:
    for path in ("/", "/api/health", "/api/flow_runs/count"):
        answer = httpx.get(f"{bench.facility.url}{path}", headers={"Host": "rebound.example"}, timeout=60)
        assert answer.status_code == 400, path


def test_the_served_runs_need_their_token_and_lead_nowhere_else(bench: Bench, first: First) -> None:
    folder = bench.folder_of(first.source)
    assert folder is not None
    (folder / "out").symlink_to("/etc/passwd")
    url = next(line for line in (bench.data / "site.yaml").read_text().splitlines() if "plots_url" in line).split()[1]
    report = httpx.get(f"{url}/{folder.name}/report.html", timeout=60)
    assert report.status_code == 200
    assert report.headers["content-security-policy"].startswith("sandbox")
    assert httpx.get(f"{url}/{folder.name}/out", timeout=60).status_code == 404
    guessed = url.rsplit("/", 1)[0] + "/" + "x" * 32
    assert httpx.get(f"{guessed}/{folder.name}/report.html", timeout=60).status_code == 404


FOREIGN_PAGE = Path(__file__).with_name("foreign_page.html")


@pytest.mark.needs_browser
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_page_of_another_origin_gets_nothing_and_starts_nothing(bench: Bench, tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    found = bench.get("/deployments/name/solve-series/interactive").json()
    before = len(bench.runs()), len(bench.runs_of("dispatch"))
    (tmp_path / "foreign.html").write_text(
        FOREIGN_PAGE.read_text().replace("@API", bench.api).replace("@ID", found["id"])
    )
    with sync_api.sync_playwright() as playwright, Origin(tmp_path) as origin:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context()
        signed_in = context.new_page()  # the operator's own tab, in the same browser
        bench.sign_in(signed_in)
        page = context.new_page()
        page.goto(f"{origin}/foreign.html")
        seen = page.evaluate("window.seen")
        browser.close()
    assert seen == {
        "read": "refused",
        "blind": "opaque",
        "stolen": "refused",
        "settings": "refused",
        "socket": "refused",
    }
    time.sleep(3)
    assert (len(bench.runs()), len(bench.runs_of("dispatch"))) == before


class Origin:
    """A web server of somebody else."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> str:
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(self._folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_the_flight_check_finds_the_known_answer_with_every_installed_engine(bench: Bench, flight_check: str) -> None:
    wait(lambda: bench.read(flight_check)["state_type"] in {"COMPLETED", "FAILED"}, "the check", limit_s=FLIGHT_CHECK_S)
    run = bench.read(flight_check)
    assert run["state_type"] == "COMPLETED", run["state"]["message"]
    chains = {row["engines"] for row in json.loads(bench.artifact(flight_check, "flight-check"))}
    assert "builtin + direct-methods + smtbx" in chains
    assert ("dials + charge-flipping + smtbx" in chains) == (shutil.which("dials.import") is not None)


def test_no_log_holds_a_traceback(bench: Bench) -> None:
    bench.no_tracebacks(allowed=AFTER_KILLS)
