"""A facility under attack: its processes by number, its runs by source, and the table of what was seen."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tifffile

from adapters.formats.simulated_series import write_simulated_series
from adapters.formats.stempy_writer import write_scan
from adapters.host.http import taken
from adapters.host.processes import end, with_variable
from adapters.host.supervisor import Supervisor
from flows.deploy import program
from flows.engine import LOGS
from flows.facility import FOLDER_VARIABLE, Facility, keep_secrets, load, service_environment
from flows.site import POOL
from tasks.simulate.demo_structure import uio66
from tasks.simulate.models import ClusterPlan, Instrument, SimulationSettings, TiltPlan

ROOT = Path(__file__).resolve().parents[2]
ENDED = {"COMPLETED", "FAILED", "CANCELLED"}
"""Crashed is not among them: the janitor tries again."""
WAIT_S = float(os.environ.get("APERTURA_FAULT_WAIT_S", "600"))
PAGE_MS = 180_000
"""For a page of 64 scripts, beside much other work. Chosen, not measured: it fails late, and only where it must."""
OBEYS_PERMISSIONS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
"""Root without the right to pass over file permissions: what a service user is."""
ERROR = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Cancelled|NotFound|Exit|Interrupt|Disconnect|Disconnected)\b")
"""The line that ends a traceback."""
CHAINED = re.compile(
    r"\n(?:The above exception was the direct cause of the following|During handling of the above) exception.*\n\n"
    r"Traceback \(most recent call last\):\n"
)
"""What joins the tracebacks of one chain of errors."""
AFTER_KILLS = ("ObjectNotFound", "ConnectionRefusedError", "CancelledError")
"""What may still come of it after a test has deleted a run or killed a server: the services go on."""
BUSY_SQLITE = (
    "database is locked",
    "'503 Service Unavailable'",
    "ReadTimeout",
    "NOT NULL constraint failed: events.occurred",
)
FAKE_XDS = """#!/bin/sh
# stands in for XDS; the file `mode` beside it says how it goes wrong
case "$(cat "$(dirname "$0")/mode")" in
  hang) exec sleep 600 ;;
  crash) kill -SEGV $$ ;;
esac
"""


class Patient(httpx.HTTPTransport):
    """Asks again while the server says that its database is busy: nothing was done then."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(60):
            answer = super().handle_request(request)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(0.5)
        return answer


@dataclass(frozen=True)
class Row:
    """One injected fault."""

    fault: str
    expected: str
    observed: str
    ok: bool


@dataclass
class Bench:
    """A running facility and what was done to it."""

    data: Path
    facility: Facility
    rows: list[Row] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    forgiven: dict[Path, int] = field(default_factory=dict)
    """How far each log was looked at, or written while a test killed things."""
    database: Any = None
    """The PostgreSQL server, if that is what the Prefect server uses."""

    @property
    def api(self) -> str:
        return f"{self.facility.url}/api"

    @property
    def port(self) -> int:
        return int(self.facility.url.rsplit(":", 1)[1])

    @property
    def environment(self) -> dict[str, str]:
        return {
            **service_environment(self.data, self.data / "site.yaml", self.port),
            "PYTHONPATH": str(ROOT),
            "PATH": f"{self.data / 'fakes'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def record(self, fault: str, expected: str, observed: str, *, ok: bool | None = None) -> None:
        """Add a row; without `ok` the observation must be the expectation."""
        print(f"{time.strftime('%H:%M:%S')} {fault}: {observed}", flush=True)
        self.rows.append(Row(fault, expected, observed, observed == expected if ok is None else ok))

    # processes

    @property
    def supervisor(self) -> Supervisor:
        return Supervisor(self.data)

    def kill(self, name: str, *, comes_back: bool = True) -> None:
        """Kill one service; the supervisor starts it again, or keeps it stopped until `start`."""
        pid = self.supervisor.pid(name)
        kill(pid)
        if comes_back:
            wait(lambda: self.supervisor.pid(name) not in {0, pid}, f"another {name}")
        else:
            wait(lambda: self._stopped(name), f"{name} to stay stopped")

    def _stopped(self, name: str) -> bool:
        self.supervisor.stop(name)  # refused while the supervisor starts it again
        return self.supervisor.states()[name] == "STOPPED"

    def start(self, name: str) -> None:
        """Start a service that was kept stopped."""
        self.supervisor.run(name)
        if name == "server":
            wait(lambda: self.get("/ready").is_success, "the server")

    def kill_server(self) -> None:
        self.kill("server", comes_back=False)
        wait(lambda: not taken(self.port), "the port to be free")

    def second_watcher(self) -> "subprocess.Popen[bytes]":
        """Start a watcher beside the facility's own."""
        argv = [*permissions(), program("apertura"), "watch", "--poll-s", "0.5"]
        with (self.data / "logs/second-watcher.log").open("ab") as log:
            process = subprocess.Popen(argv, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def close(self) -> None:
        """Stop everything, and what a test has killed or left behind."""
        self.supervisor.shut_down()
        end(list(with_variable(FOLDER_VARIABLE, str(self.data))))
        for process in self.processes:
            process.wait()

    def logs(self) -> list[Path]:
        """Return all logs of the facility."""
        return sorted([*(self.data / "logs").glob("*.log*"), *(self.data / "runs").glob(f"{LOGS}/*.log")])

    @contextlib.contextmanager
    def rough(self) -> Iterator[None]:
        """While a test kills things: what is logged then is no fault; what was logged before is looked at first."""
        try:
            self.no_tracebacks(allowed=AFTER_KILLS)
            yield
        finally:
            self.forgiven = {path: path.stat().st_size for path in self.logs()}

    def no_tracebacks(self, *, allowed: tuple[str, ...] = ()) -> None:
        """Fail with the tracebacks that are in the logs, if there are any."""
        if found := self.tracebacks(allowed=allowed):
            pytest.fail("\n".join(["tracebacks in the logs of the facility:", *found]))

    def tracebacks(self, *, allowed: tuple[str, ...] = ()) -> list[str]:
        """Return the end of every traceback in a log of the facility, of chained ones the last.

        Left out are the typed errors that fail a run (Prefect logs them so), and one of SQLite's, with all that comes
        of it: written to by several at once it may refuse one of them without waiting, which Prefect logs and tries
        again. A client that waits for that answer may leave, be told 503 too often, or send its events again: Prefect
        3.8.8 inserts an empty row where it has all of a batch already. PostgreSQL has none of this.
        """
        busy = () if self.database else BUSY_SQLITE
        known = ("tasks.model.errors.", *allowed)
        found = []
        for path in self.logs():
            late = path.read_bytes()[self.forgiven.get(path, 0) :].decode(errors="replace")
            text = re.sub(CHAINED, "", late)
            chains = text.split("Traceback (most recent call last):")[1:]
            parts = [chain for chain in chains if not any(name in chain for name in busy)]
            ends = [next((row for row in reversed(part.splitlines()) if ERROR.match(row)), part) for part in parts]
            found += [f"{path.name}: {row[:200]}" for row in ends if not any(name in row for name in known)]
        return found

    def run_apertura(self, *argv: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "flows.cli", *argv, env=env)

    def python(self, *argv: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *argv],
            env={**self.environment, **(env or {})},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )

    def plain_run(self, source: Path, out: Path) -> float:
        """Run the pipeline without any server; return the seconds it took."""
        environment = {name: value for name, value in self.environment.items() if not name.startswith("PREFECT")}
        argv = [sys.executable, "-m", "flows.cli", "run", str(source), "--out", str(out)]
        begin = time.monotonic()
        done = subprocess.run(argv, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode in {0, 1}, done.stderr
        return time.monotonic() - begin

    def announce_by_event(self, source: Path) -> None:
        """Post the event of a site without a watcher."""
        event = {
            "id": str(uuid.uuid4()),
            "event": "apertura.dataset.announced",
            "occurred": datetime.now(UTC).isoformat(),
            "resource": {"prefect.resource.id": f"apertura.announced.{source.name}"},
            "payload": {"path": str(source)},
        }
        with self.client as client:
            client.post("/events", json=[event]).raise_for_status()

    def maintain(self, name: str, **parameters: Any) -> dict[str, Any]:
        """Let one run of a deployment go through its pool, beside the scheduled ones; return it when it has ended.

        One that a busy machine keeps waiting is deleted by the next scheduled pass of the janitor: then again.
        """
        found = self.get(f"/deployments/name/{name}/{name}").json()
        while True:
            made = self.post(f"/deployments/{found['id']}/create_flow_run", parameters=parameters)["id"]
            wait(lambda made=made: self._gone(made) or self.read(made)["state_type"] in ENDED, f"the end of {name}")
            if not self._gone(made):
                return self.read(made)

    def _gone(self, run_id: str) -> bool:
        return self.get(f"/flow_runs/{run_id}").status_code == httpx.codes.NOT_FOUND

    def flow_process(self, run_id: str) -> int | None:
        """Return the process that executes a run."""
        wanted = f"PREFECT__FLOW_RUN_ID={run_id}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    return int(folder.name)
            except OSError:
                continue
        return None

    def kill_flow(self, run_id: str) -> None:
        wait(lambda: self.flow_process(run_id) is not None, "the flow's process")
        while (pid := self.flow_process(run_id)) is not None and not zombie(pid):
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    # server

    @property
    def login(self) -> tuple[str, str]:
        user, _, password = keep_secrets(self.data).login.partition(":")
        return user, password

    @property
    def client(self) -> httpx.Client:
        """Return a client that knows the password."""
        return httpx.Client(base_url=self.api, auth=self.login, timeout=WAIT_S, transport=Patient())

    def get(self, path: str) -> httpx.Response:
        with self.client as client:
            return client.get(path)

    def sign_in(self, page: Any) -> None:
        """Give the user interface in a browser its password, as a person does once."""
        page.set_default_timeout(PAGE_MS)
        page.goto(f"{self.facility.url}/v2/login")
        page.locator("input").first.fill(":".join(self.login))
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "login" not in url)

    def post(self, path: str, **body: Any) -> Any:
        with self.client as client:
            answer = client.post(path, json=body).raise_for_status()
        return answer.json() if answer.content else None

    def pause(self, *, paused: bool) -> None:
        with self.client as client:
            client.patch(f"/work_pools/{POOL}", json={"is_paused": paused}).raise_for_status()

    def runs_of(self, flow: str) -> list[dict[str, Any]]:
        """Return the runs of one flow."""
        return list(self.post("/flow_runs/filter", flows={"name": {"any_": [flow]}}, limit=200))

    def runs(self, source: Path | None = None) -> list[dict[str, Any]]:
        """Return the runs of the pipeline, or those of one source."""
        found = self.runs_of("solve-series")
        return [run for run in found if source is None or run["parameters"].get("source") == str(source)]

    def run(self, source: Path) -> dict[str, Any]:
        """Return the only run of a source; wait for it to be there."""
        wait(lambda: len(self.runs(source)) >= 1, f"a run of {source.name}")
        return self.runs(source)[0]

    def submit(
        self,
        source: Path,
        *,
        out: Path | None = None,
        settings: dict[str, Any] | None = None,
        approval: dict[str, Any] | None = None,
    ) -> str:
        """Start a run from the form; return its id."""
        found = self.get("/deployments/name/solve-series/interactive").json()
        parameters = {"source": str(source), "out": str(out) if out else None, "settings": settings or {}}
        if approval is not None:
            parameters["approval"] = approval
        made = self.post(f"/deployments/{found['id']}/create_flow_run", parameters=parameters)
        return str(made["id"])

    def read(self, run_id: str) -> dict[str, Any]:
        return dict(self.get(f"/flow_runs/{run_id}").raise_for_status().json())

    def ended(self, run_id: str) -> dict[str, Any]:
        wait(lambda: self.read(run_id)["state_type"] in ENDED, f"the end of run {run_id}")
        return self.read(run_id)

    def outcome(self, source: Path) -> str:
        """Wait for all runs of a source to end; say how many there are and how they ended."""
        self.ended(self.run(source)["id"])
        found = self.runs(source)
        return f"{len(found)} run: {', '.join(state(run) for run in found)}"

    def folder_of(self, source: Path) -> Path | None:
        return next(iter((self.data / "runs").glob(f"{source.name}-*")), None)

    def artifact(self, run_id: str, key: str) -> str:
        """Return the text of an artifact of a run."""
        found = self.post("/artifacts/filter", artifacts={"flow_run_id": {"any_": [run_id]}, "key": {"any_": [key]}})
        return str(found[0]["data"]) if found else "no artifact"

    def error_of(self, run_id: str) -> str:
        """Return the text of the artifact that says what went wrong."""
        return self.artifact(run_id, "what-went-wrong")


def state(run: dict[str, Any]) -> str:
    """Return type and name of the state of a run, as a person reads them."""
    kind, name = run["state_type"].capitalize(), run["state_name"]
    return kind if kind == name else f"{kind}, {name}"


def permissions() -> tuple[str, ...]:
    return OBEYS_PERMISSIONS if os.geteuid() == 0 and shutil.which("setpriv") else ()


def wait(condition: Callable[[], bool], what: str, limit_s: float = WAIT_S, step_s: float = 0.2) -> None:
    """Return when a condition holds; a server that is away counts as not yet."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            if condition():
                return
        except httpx.HTTPError:
            pass
        time.sleep(step_s)
    raise TimeoutError(f"waited {limit_s:g} s for {what}")


def zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Kill one process and wait for its end."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    wait(lambda: zombie(pid), f"the end of process {pid}", step_s=0.05)


def bring_up(data: Path, *, alarms: dict[str, Any] | None = None, catalogue: dict[str, Any] | None = None) -> Bench:
    """Start the facility of `apertura facility up`, its processes without the rights of root over files."""
    if alarms is not None:
        own = {"incoming": [str(data / "incoming")], "runs": str(data / "runs"), "ledger": str(data / "ledger.db")}
        quota = {"proposals": {"pattern": "/(?P<proposal>Q-1)/"}, "rules": [{"proposal": "Q-1", "runs_at_once": 1}]}
        (data / "site.yaml").write_text(
            json.dumps({"name": "test", **own, **quota, "alarms": alarms, "catalogue": catalogue})
        )
    fakes = data / "fakes"
    fakes.mkdir()
    (fakes / "mode").write_text("crash")
    (fakes / "xds").write_text(FAKE_XDS)
    (fakes / "xds").chmod(0o755)
    command = [*permissions(), sys.executable, "-m", "flows.cli", "facility", "up", "--data", str(data)]
    done = subprocess.run(
        [*command, "--port", str(free_port())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{fakes}{os.pathsep}{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stderr
    facility = load(data)
    assert facility is not None
    return Bench(data.resolve(), facility)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def drop(folder: Path, *, seed: int, complete: bool = True) -> Path:
    """Write a data set without any crystal: the run ends honestly, and soon."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    scans = []
    for number in range(6):
        per_position = rng.poisson(20, size=20)  # 4 rows of 4 positions and one of flyback
        offsets = np.concatenate([[0], np.cumsum(per_position)]).astype(np.uint64)
        pixels = np.clip(rng.normal(31.5, 4, size=(int(offsets[-1]), 2)).round(), 0, 63).astype(np.uint32)
        path = folder / f"scan_{number}.h5"
        events = (pixels[:, 0] * 64 + pixels[:, 1]).astype(np.uint32)
        write_scan(path, offsets, events, scan_shape_with_flyback=(4, 5), frame_shape=(64, 64))
        scans.append({"file": path.name, "tilt_deg": float(number), "bytes": path.stat().st_size})
    if not complete:
        (folder / "scan_5.h5").write_bytes(b"")
    manifest = {
        "format": "4D-STEM tilt series",
        "version": 1,
        "sample": folder.name,
        "composition": "C6 H6",
        "beam": {"energy_kev": 300.0},
        "detector": {
            "name": "4D Camera",
            "shape_px": [64, 64],
            "pixel_size_mm": 0.09,
            "camera_length_mm": 110.0,
            "direct_beam_px": [31.5, 31.5],
        },
        "scan": {"shape": [4, 4], "step_nm": 10.0, "flyback_columns": 1, "rotation_deg": 0.0},
        "tilt_axis": [1.0, 0.0, 0.0],
        "scans": scans,
        "notes": {},
    }
    partial = folder / ".manifest"
    partial.write_text(json.dumps(manifest))
    partial.replace(folder / "tilt_series.json")
    return folder


def drop_crystals(folder: Path, *, crystals: int, seed: int = 7) -> Path:
    """Write a small simulated series: its crystals are found, and their few tilts are soon worked through."""
    settings = SimulationSettings(
        seed=seed,
        tilts=TiltPlan(start_deg=-8, stop_deg=8, step_deg=2),
        cluster=ClusterPlan(crystals=crystals, bad_fraction=0.0, size_nm=80.0),
        instrument=Instrument(scan_shape=(20, 20), shape_px=(288, 288), pixel_size_mm=0.02),
    )
    write_simulated_series(uio66(), settings, folder)
    shutil.rmtree(folder / "truth")
    return folder


def drop_rotation(folder: Path) -> Path:
    """Write eight frames with a direct beam: enough to reach the integration."""
    folder.mkdir(parents=True)
    rows, columns = np.indices((48, 52))
    mean = 1.0 + 800.0 * np.exp(-((rows - 23.3) ** 2 + (columns - 26.8) ** 2) / 4.5)
    for number in range(8):
        pixels = np.random.default_rng(number).poisson(mean).astype(np.uint16)
        tifffile.imwrite(folder / f"f_{number:04d}.tif", pixels)
    manifest = {
        "format": "rotation series",
        "version": 1,
        "sample": folder.name,
        "composition": None,
        "beam": {"energy_kev": 200.0},
        "detector": {
            "name": "d",
            "shape_px": [48, 52],
            "pixel_size_mm": 0.055,
            "camera_length_mm": 436.1,
            "direct_beam_px": [24.0, 26.0],
            "gain": 1.0,
            "pedestal": 0.0,
            "saturation": 65535.0,
        },
        "rotation_axis": [0.6, 0.8, 0.0],
        "oscillation": {"start_deg": -10.0, "width_deg": 1.0},
        "files": "f_*.tif",
    }
    (folder / "rotation_series.json").write_text(json.dumps(manifest))
    return folder


def differences(one: Path, other: Path) -> list[str]:
    """Return the names of files that two run folders of the same source and settings do not share byte for byte.

    Left out: what says when, or how long it took, the pictures that only a flow draws, and the folder's own path.
    """
    skipped = {".lock", "report.html", "results.json"}

    def files(folder: Path) -> dict[str, bytes]:
        found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
        return {
            str(name): (folder / name).read_bytes().replace(str(folder).encode(), b"RUN")
            for name in found
            if name.name not in skipped and not name.name.startswith("run.log") and name.parts[0] != "pictures"
        }

    def figures(folder: Path) -> dict[str, Any]:
        content = json.loads((folder / "results.json").read_text())
        return {name: value for name, value in content.items() if name != "timings_s"}

    mine, others = files(one), files(other)
    unequal = [name for name in sorted({*mine, *others}) if mine.get(name) != others.get(name)]
    return unequal + (["results.json"] if figures(one) != figures(other) else [])


def table(rows: list[Row], minutes: float) -> str:
    """Return the rows of one run of the test as Markdown."""
    lines = ["| fault | expected | observed |", "|---|---|---|"]
    lines += [f"| {row.fault} | {row.expected} | {'' if row.ok else '**WRONG** '}{row.observed} |" for row in rows]
    held = sum(row.ok for row in rows)
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores at its end"
    said = f"{held} of {len(rows)} faults ended as expected, in one run of {minutes:.0f} minutes ({load})."
    return "\n".join([*lines, "", said])


def write_table(rows: list[Row], document: Path, minutes: float) -> None:
    """Put the table between the markers of a document."""
    begin, end = "<!-- faults: begin -->", "<!-- faults: end -->"
    text = document.read_text(encoding="utf-8")
    before, rest = text.split(begin)
    document.write_text(f"{before}{begin}\n{table(rows, minutes)}\n{end}{rest.split(end)[1]}", encoding="utf-8")
