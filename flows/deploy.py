"""The pools, queues, deployments and alarms of a facility, made on its server: ``python -m flows.deploy``.

What is there already is set to what the files say: it is run again after each change of the site file and after each
upgrade. PREFECT_API_URL and PREFECT_API_AUTH_STRING name the server, APERTURA_SITE the site file.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import httpx

from adapters.host.http import CONFLICT, ask, send
from adapters.host.runner import run_program
from flows.site import ALARM_PREFIX, LIVE_POOL, POOL, SITE_VARIABLE, UPKEEP_POOL, read_site
from tasks.model import ApertureError, ProgramFailedError, SettingsError

START_S = 300.0
"""A fresh database takes 37 s on two idle cores, and four times as long beside other work."""
UPKEEP_AT_ONCE = 2
"""The janitor beside one other: each holds 150 MB for seconds."""
LIVE_AT_ONCE = 2
"""Series followed at once: as many as a small centre has instruments that measure one. Chosen, not measured."""
QUEUES = (("urgent", 1), ("default", 2), ("reprocess", 3))
"""Priorities, the lowest number first: a person at the form, arriving data, campaigns over old data."""


def deploy(environment: dict[str, str], *, runs_at_once: int, logs: Path) -> None:
    """Make the work pools, the queues of the first, all deployments of prefect.yaml, the alarms of the site.

    Raises
    ------
    ProgramFailedError
        If the server refuses something.
    SettingsError
        If the site file is wrong.
    """
    shutil.rmtree(logs, ignore_errors=True)
    make_pool(environment, POOL, runs_at_once)
    make_pool(environment, UPKEEP_POOL, UPKEEP_AT_ONCE)
    make_pool(environment, LIVE_POOL, LIVE_AT_ONCE)
    file = deployments_folder() / "prefect.yaml"
    commands = {"deployments": [program("prefect"), "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]}
    named = environment.get(SITE_VARIABLE)
    if (named and read_site(Path(named)).alarms.to) or has_alarms(environment):
        commands["alarms"] = [sys.executable, "-m", "flows.alarms"]
    for name, command in commands.items():
        (logs / name).mkdir(parents=True)
        run = run_program(command, workdir=logs / name, timeout_s=START_S, env=environment)
        if run.returncode != 0:
            raise ProgramFailedError(f"the {name} of the facility could not be made", run.tail())


def make_pool(environment: dict[str, str], pool: str, at_once: int) -> None:
    """Make a work pool with its template and limit, and the queues of the first; of those that are there, set both."""
    password = environment["PREFECT_API_AUTH_STRING"]
    url = f"{environment['PREFECT_API_URL']}/work_pools/"
    template = json.loads((deployments_folder() / "process-job.json").read_text(encoding="utf-8"))
    wanted = {"base_job_template": template, "concurrency_limit": at_once}
    if send("POST", url, {"name": pool, "type": "process", **wanted}, password=password) == CONFLICT:
        send("PATCH", f"{url}{pool}", wanted, password=password)
    for name, rank in QUEUES if pool == POOL else ():
        if send("POST", f"{url}{pool}/queues", {"name": name, "priority": rank}, password=password) == CONFLICT:
            send("PATCH", f"{url}{pool}/queues/{name}", {"priority": rank}, password=password)


def has_alarms(environment: dict[str, str]) -> bool:
    """Tell whether the server has alarms of ours: those that the site file no longer asks for are to be removed."""
    url = f"{environment['PREFECT_API_URL']}/automations/filter"
    there = ask(url, {"limit": 200}, password=environment["PREFECT_API_AUTH_STRING"])
    return any(str(one["name"]).startswith(ALARM_PREFIX) for one in there)


def deployments_folder() -> Path:
    """Return the folder of prefect.yaml: of the source tree, of the installed package, or as the environment says."""
    named = os.environ.get("APERTURA_DEPLOYMENTS")
    places = [Path(named)] if named else []
    places += [
        Path(__file__).resolve().parent.parent / "deployments",
        Path(sys.prefix) / "share" / "apertura" / "deployments",
    ]
    for place in places:
        if (place / "prefect.yaml").is_file():
            return place
    raise SettingsError("deployments/prefect.yaml not found", "name its folder in APERTURA_DEPLOYMENTS")


def program(name: str) -> str:
    """Return the path of a console script of this environment."""
    here = Path(sys.executable).parent / name
    return str(here) if here.is_file() else name


def main() -> None:
    """Make all of it on the server that the environment names."""
    parser = argparse.ArgumentParser(prog="python -m flows.deploy", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--runs-at-once", type=int, default=1, help="memory of the machine over that of one run (2 GiB); by default 1"
    )
    arguments = parser.parse_args()
    try:
        for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
            if not os.environ.get(name):
                raise SettingsError(f"{name}: not set", "see deployments/env.example")
        with tempfile.TemporaryDirectory() as logs:
            deploy(dict(os.environ), runs_at_once=arguments.runs_at_once, logs=Path(logs))
    except ApertureError as error:
        sys.exit(f"apertura: {error.message}\n  {error.advice}")
    except httpx.HTTPError as error:
        sys.exit(f"apertura: the server does not answer: {error}\n  see PREFECT_API_URL")


if __name__ == "__main__":
    main()
