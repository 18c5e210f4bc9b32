"""A facility on one machine, by one command: server on loopback with SQLite, two workers, watcher, studio.

For trying it and for a single microscope; deployments/README.md says how a facility is run for good. The services are
kept alive by supervisord, which alone starts and stops them: no process is ever ended by a number that was written
down. What a supervisord that was killed has left behind is known by a variable of its environment.
"""

import os
import secrets
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import yaml

from adapters.host.http import LOOPBACK, send, taken, wait_for
from adapters.host.processes import end, with_variable
from adapters.host.supervisor import Service, Supervisor
from flows.deploy import START_S, deploy, program
from flows.preflight import SAID, WRONG, check_room
from flows.proposals import check_groups
from flows.server import HOSTS_VARIABLE, PASSWORD_VARIABLE, TOKEN_VARIABLE
from flows.site import LIVE_POOL, POOL, SITE_VARIABLE, read_site
from flows.studio.service import PORT_VARIABLE as STUDIO_PORT_VARIABLE
from flows.studio.service import TOKEN_VARIABLE as STUDIO_TOKEN_VARIABLE
from tasks.model import Document, SettingsError

STATE = "facility.json"
SECRETS = "secrets.yaml"
SITE = "site.yaml"
ENVIRONMENT = "facility.env"
FOLDER_VARIABLE = "APERTURA_FACILITY"
"""In the environment of every process of a facility: its folder."""
USER = "apertura"
PAGES = ("plots_url", "studio_url")
LOCAL = f"http://{LOOPBACK}:"
PORTS_TRIED, PORT_MAX = 20, 65535
"""Beside that of the server, for the studio. Chosen, not measured: a machine has rarely more programs in a row."""


class Facility(Document):
    """A local facility as `up` left it. The numbers of processes are for people: services that die get new ones."""

    url: str
    server_pid: int
    worker_pid: int
    upkeep_pid: int
    watcher_pid: int
    studio_pid: int = 0
    """0: of a version that had no studio."""


class Secrets(Document):
    """What only the facility's user may read: made once, kept over `down` and `up`."""

    password: str
    runs_token: str
    studio_token: str

    @property
    def login(self) -> str:
        """User and password, as Prefect's settings and its UI take them."""
        return f"{USER}:{self.password}"


def up(data: Path, *, port: int, poll_s: float = 1.0, runs_at_once: int = 1) -> Facility:
    """Start all services below `data`; return when a data set may be dropped into ``data/incoming``.

    Raises
    ------
    SettingsError
        If one is running there already, or the port is taken.
    ProgramFailedError
        If the server does not come up.
    """
    folder = data.resolve()
    supervisor = Supervisor(folder)
    if (running := load(data)) is not None and supervisor.alive_or_stopping():
        raise SettingsError(f"--data {data}: a facility is running there: {running.url}", "`apertura facility down`")
    end(list(with_variable(FOLDER_VARIABLE, str(folder))))  # of a supervisord that was killed
    if taken(port):
        raise SettingsError(f"--port {port}: taken by another program", "name another port")
    check_room(folder)
    if (folder / SITE).exists():
        read_site(folder / SITE)
    for name in ("incoming", "runs", "logs", "prefect"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "prefect").chmod(0o700)  # the server's database
    locks = keep_secrets(folder)
    url = f"http://{LOOPBACK}:{port}"
    studio_port = free_after(port)
    studio = f"http://{LOOPBACK}:{studio_port}/?token={locks.studio_token}"
    site = write_site(folder, plots_url=f"{url}/runs/{locks.runs_token}", studio_url=studio)
    check_groups(read_site(site))
    environment = service_environment(folder, site, port) | {STUDIO_PORT_VARIABLE: str(studio_port)}
    write_environment(folder, environment)
    with ExitStack() as started:
        live = read_site(site).live
        supervisor.start(services(poll_s, live=live), environment)
        started.callback(supervisor.shut_down)
        server = supervisor.run("server")
        log = folder / "logs/server.log"
        wait_for(f"{url}/api/ready", limit_s=START_S, log=log, gave_up=lambda: why_it_ended(supervisor, log))
        deploy(environment, runs_at_once=runs_at_once, logs=folder / "logs" / "deploy")
        send("PATCH", f"{url}/api/work_pools/{POOL}", {"is_paused": False}, password=locks.login)  # closed by `drain`
        facility = Facility(
            url=url,
            server_pid=server,
            upkeep_pid=supervisor.run("upkeep"),
            worker_pid=supervisor.run("worker"),
            watcher_pid=supervisor.run("watcher"),
            studio_pid=supervisor.run("studio"),
        )
        if live:
            supervisor.run("live")
        (folder / STATE).write_text(facility.model_dump_json(indent=1), encoding="utf-8")
        started.pop_all()  # all are up: they stay
    return facility


def why_it_ended(supervisor: Supervisor, log: Path) -> str | None:
    """Return what the server said when it found its configuration wrong; None while it may still come up."""
    if supervisor.exit_code("server") != WRONG:
        return None
    said = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.startswith(SAID)]
    return said[-1].removeprefix(SAID) if said else "the server's configuration is wrong"


def down(data: Path) -> None:
    """Stop watcher, workers and server, in this order. Runs that it interrupts go on after the next `up`."""
    if load(data) is None:
        raise SettingsError(f"--data {data}: no facility was started there", "`apertura facility up --data DIR`")
    folder = data.resolve()
    Supervisor(folder).shut_down()
    end(list(with_variable(FOLDER_VARIABLE, str(folder))))  # flows, and what a killed supervisord left
    (data / STATE).unlink()


def load(data: Path) -> Facility | None:
    """Return the facility that was started with this folder, running or not.

    Raises
    ------
    SettingsError
        If its file was written by another version or damaged.
    """
    path = data / STATE
    if not path.is_file():
        return None
    try:
        return Facility.model_validate_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SettingsError(
            f"{path}: not of this version of apertura", "stop its processes, remove the file, and start again"
        ) from error


def free_after(port: int) -> int:
    """Return a free port for the studio, near that of the server.

    Raises
    ------
    SettingsError
        If none of the next is free.
    """
    for near in range(port + 1, port + 1 + PORTS_TRIED):
        if near <= PORT_MAX and not taken(near):
            return near
    raise SettingsError(f"--port {port}: none of the {PORTS_TRIED} ports after it is free", "name another port")


def services(poll_s: float, *, live: bool = False) -> tuple[Service, ...]:
    """Return the services in the order in which they start; `live` adds the worker that follows series."""
    worker = [sys.executable, "-m", "flows.worker"]
    name = f"{socket.gethostname()}-1"  # the janitor knows by it that the worker is on this machine
    following = (Service("live", [*worker, "--pool", LIVE_POOL, "--name", name]),) if live else ()
    return (
        Service("server", [sys.executable, "-m", "flows.server"]),
        Service("upkeep", [sys.executable, "-m", "flows.upkeep"]),
        Service("worker", [*worker, "--pool", POOL, "--name", name]),
        *following,
        Service("studio", [sys.executable, "-m", "flows.studio.service"]),
        Service("watcher", [program("apertura"), "watch", "--poll-s", str(poll_s)]),
    )


def keep_secrets(folder: Path) -> Secrets:
    """Return the secrets of a facility; make those that are not there, readable by the user alone."""
    path = folder / SECRETS
    there = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    kept = Secrets.model_validate({name: secrets.token_urlsafe(24) for name in Secrets.model_fields} | there)
    if kept.model_dump() != there:
        write_private(path, yaml.safe_dump(kept.model_dump()))
    return kept


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, and never could anybody else."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)


def write_site(folder: Path, *, plots_url: str, studio_url: str) -> Path:
    """Write the site file of a local facility; of one that is there, change nothing but where its pages are served."""
    site = folder / SITE
    values = {
        "name": "local facility",
        "incoming": [str(folder / "incoming")],
        "runs": str(folder / "runs"),
        "ledger": str(folder / "ledger.db"),
        "plots_url": plots_url,
        "studio_url": studio_url,
    }
    if site.exists():
        values = yaml.safe_load(site.read_text(encoding="utf-8"))
    local = [name for name in PAGES if str(values.get(name, LOCAL)).startswith(LOCAL)]
    if local:
        values |= {name: url for name, url in zip(PAGES, (plots_url, studio_url), strict=True) if name in local}
        write_private(site, yaml.safe_dump(values, sort_keys=False))
    return site


def service_environment(folder: Path, site: Path, port: int) -> dict[str, str]:
    """Return the environment of the services."""
    batches = {
        "TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
        "TASK_RUN_RECORDER_BATCH_SIZE": "50",
        "TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        "TRIGGERS_READ_BATCH_SIZE": "50",
        "EVENT_PERSISTER_READ_BATCH_SIZE": "50",
        "EVENT_PERSISTER_BATCH_SIZE": "200",
    }
    locks = keep_secrets(folder)
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        FOLDER_VARIABLE: str(folder),
        SITE_VARIABLE: str(site),
        TOKEN_VARIABLE: locks.runs_token,
        STUDIO_TOKEN_VARIABLE: locks.studio_token,
        HOSTS_VARIABLE: "",
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"http://{LOOPBACK}:{port}/api",
        "PREFECT_API_AUTH_STRING": locks.login,
        PASSWORD_VARIABLE: locks.login,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://{LOOPBACK}:{port}",
        "PREFECT_SERVER_API_HOST": LOOPBACK,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        # a server that had no processor for 15 s gave up every connection to PostgreSQL that it opened (5 s), as 500
        "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
        # SQLite lets a writer wait for up to 60 s: whoever asks waits longer, and asks again for some minutes
        "PREFECT_API_REQUEST_TIMEOUT": "120",
        "PREFECT_CLIENT_MAX_RETRIES": "7",
        **{f"PREFECT_SERVER_SERVICES_{name}": value for name, value in batches.items()},
    }


def write_environment(folder: Path, environment: dict[str, str]) -> None:
    """Write what a shell needs to talk to the server: ``set -a; . DIR/facility.env; set +a``."""
    wanted = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", SITE_VARIABLE)
    write_private(folder / ENVIRONMENT, "".join(f"{name}='{environment[name]}'\n" for name in wanted))


def take_environment(data: Path) -> None:
    """Let this process talk to the server of a local facility.

    Raises
    ------
    SettingsError
        If no facility was started in this folder.
    """
    path = data / ENVIRONMENT
    if not path.is_file():
        raise SettingsError(f"--data {data}: no facility was started there", "`apertura facility up --data DIR`")
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        os.environ[name] = value.strip("'")
