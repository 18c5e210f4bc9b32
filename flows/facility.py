"""A facility on one machine, by one command: server on loopback with SQLite, worker, watcher.

For trying it and for a single microscope; deployments/README.md says how a facility is run for good.
"""

import os
import shutil
import signal
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import yaml

from adapters.programs.runner import run_program, start_service
from tasks.model import Document, ProgramFailedError, SettingsError

STATE = "facility.json"
START_S = 180.0
STOP_S = 60.0
POOL = "apertura"
PORTS = 100
LOOPBACK = "http://127.0.0.1:"
CONFLICT, BUSY, BUSY_TRIES = 409, 503, 60
QUEUES = (("urgent", 1), ("default", 2), ("reprocess", 3))


class Facility(Document):
    """The running processes of a local facility."""

    url: str
    server_pid: int
    worker_pid: int
    watcher_pid: int
    plots_pid: int | None = None


def up(data: Path, *, port: int, poll_s: float = 1.0, runs_at_once: int = 1) -> Facility:
    """Start server, worker and watcher below `data`; return when a data set may be dropped into ``data/incoming``.

    Raises
    ------
    SettingsError
        If one is running there already, or the port is taken.
    ProgramFailedError
        If the server does not come up within three minutes.
    """
    if (running := load(data)) is not None and alive(running.server_pid):
        raise SettingsError(f"--data {data}: a facility is running there: {running.url}", "`apertura facility down`")
    if taken(port):
        raise SettingsError(f"--port {port}: taken by another program", "name another port")
    folder = data.resolve()
    for name in ("incoming", "runs", "logs", "prefect"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    plots_port = next(number for number in range(port + 1, port + PORTS) if not taken(number))
    site = write_site(folder, plots_port)
    environment = service_environment(folder, site, port)
    with ExitStack() as started:

        def start(name: str, *argv: str) -> int:
            pid = start_service([program(argv[0]), *argv[1:]], environment=environment, log=folder / f"logs/{name}.log")
            started.callback(stop, pid)
            return pid

        # reports and pictures: a browser follows no file:// link on the server's pages
        where = ["--bind", "127.0.0.1", "--directory", str(folder / "runs")]
        plots = start("plots", sys.executable, "-m", "http.server", str(plots_port), *where)
        server = start("server", "prefect", "server", "start")
        wait_for(f"http://127.0.0.1:{port}/api/health", folder / "logs/server.log")
        deploy(folder, environment, runs_at_once)
        worker = start("worker", "prefect", "worker", "start", "--pool", POOL)
        watcher = start("watcher", "apertura", "watch", "--poll-s", str(poll_s))
        started.pop_all()  # all three are up: they stay
    facility = Facility(
        url=f"http://127.0.0.1:{port}",
        server_pid=server,
        worker_pid=worker,
        watcher_pid=watcher,
        plots_pid=plots,
    )
    (folder / STATE).write_text(facility.model_dump_json(indent=1), encoding="utf-8")
    return facility


def down(data: Path) -> None:
    """Stop watcher, worker and server, in this order; running flows are given the time to finish their step."""
    facility = load(data)
    if facility is None:
        raise SettingsError(f"--data {data}: no facility was started there", "`apertura facility up --data DIR`")
    for pid in (facility.watcher_pid, facility.worker_pid, facility.server_pid, facility.plots_pid):
        if pid is not None:
            stop(pid)
    (data / STATE).unlink()


def load(data: Path) -> Facility | None:
    """Return the facility that was started with this folder, running or not."""
    path = data / STATE
    return Facility.model_validate_json(path.read_text(encoding="utf-8")) if path.is_file() else None


def write_site(folder: Path, plots_port: int) -> Path:
    """Write the site file of a local facility; of one that is there, change nothing but the port of the plots."""
    site = folder / "site.yaml"
    values = {
        "name": "local facility",
        "incoming": [str(folder / "incoming")],
        "runs": str(folder / "runs"),
        "ledger": str(folder / "ledger.db"),
        "plots_url": LOOPBACK,
    }
    if site.exists():
        values = yaml.safe_load(site.read_text(encoding="utf-8"))
    if str(values.get("plots_url", "")).startswith(LOOPBACK):
        values["plots_url"] = f"{LOOPBACK}{plots_port}"
        site.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return site


def service_environment(folder: Path, site: Path, port: int) -> dict[str, str]:
    """Return the environment of the three services."""
    batches = {
        "TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
        "TASK_RUN_RECORDER_BATCH_SIZE": "50",
        "TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        "TRIGGERS_READ_BATCH_SIZE": "50",
        "EVENT_PERSISTER_READ_BATCH_SIZE": "50",
        "EVENT_PERSISTER_BATCH_SIZE": "200",
    }
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "APERTURA_SITE": str(site),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "apertura",
        **{f"PREFECT_SERVER_SERVICES_{name}": value for name, value in batches.items()},
    }


def deploy(folder: Path, environment: dict[str, str], runs_at_once: int) -> None:
    """Make the work pool with its queues, and all deployments of prefect.yaml."""
    logs = folder / "logs" / "deploy"
    shutil.rmtree(logs, ignore_errors=True)
    commands = (
        ("work-pool", "create", POOL, "--type", "process", "--overwrite"),
        ("--no-prompt", "deploy", "--all", "--prefect-file", str(deployments_file())),
    )
    for number, arguments in enumerate(commands):
        workdir = logs / f"{number}"
        workdir.mkdir(parents=True)
        run = run_program([program("prefect"), *arguments], workdir=workdir, timeout_s=START_S, env=environment)
        if run.returncode != 0:
            raise ProgramFailedError(f"prefect {' '.join(arguments[:2])} ended with {run.returncode}", run.tail())
        if number == 0:
            limit_pool(environment["PREFECT_API_URL"], runs_at_once)


def limit_pool(api: str, runs_at_once: int) -> None:
    """Set the limit of the work pool and make its queues; those that are there stay."""
    pool = f"{api}/work_pools/{POOL}"
    ask("PATCH", pool, {"concurrency_limit": runs_at_once})
    for name, rank in QUEUES:
        if ask("POST", f"{pool}/queues", {"name": name, "priority": rank}) == CONFLICT:
            ask("PATCH", f"{pool}/queues/{name}", {"priority": rank})


def ask(method: str, url: str, body: dict[str, object]) -> int:
    """Send one request to the server, again while its database is busy; return the status, 409 included."""
    import httpx

    for _ in range(BUSY_TRIES):
        answer = httpx.request(method, url, json=body, timeout=60)
        if answer.status_code != BUSY:
            break
        time.sleep(1.0)
    if answer.is_error and answer.status_code != CONFLICT:
        raise ProgramFailedError(f"the server refused {method} {url}: {answer.status_code}", answer.text[:300])
    return answer.status_code


def deployments_file() -> Path:
    """Return prefect.yaml: of the source tree, of the installed package, or as the environment names it."""
    named = os.environ.get("APERTURA_DEPLOYMENTS")
    places = [Path(named)] if named else []
    places += [
        Path(__file__).resolve().parent.parent / "deployments",
        Path(sys.prefix) / "share" / "apertura" / "deployments",
    ]
    for place in places:
        if (place / "prefect.yaml").is_file():
            return place / "prefect.yaml"
    raise SettingsError("deployments/prefect.yaml not found", "name its folder in APERTURA_DEPLOYMENTS")


def program(name: str) -> str:
    """Return the path of a console script of this environment."""
    here = Path(sys.executable).parent / name
    return str(here) if here.is_file() else name


def taken(port: int) -> bool:
    """Tell whether something listens on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(url: str, log: Path) -> None:
    """Return when the server answers."""
    import httpx

    limit = time.monotonic() + START_S
    while time.monotonic() < limit:
        try:
            if httpx.get(url, timeout=2).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise ProgramFailedError("the Prefect server did not come up", f"see {log}")


def alive(pid: int) -> bool:
    """Tell whether a process of this number is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def stop(pid: int) -> None:
    """End one process: SIGTERM, then SIGKILL after a minute."""
    limit = time.monotonic() + STOP_S
    if not alive(pid):
        return
    os.kill(pid, signal.SIGTERM)
    while alive(pid) and time.monotonic() < limit:
        _reap(pid)
        time.sleep(0.2)
    if alive(pid):
        os.kill(pid, signal.SIGKILL)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
