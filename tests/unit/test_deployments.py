"""What a facility copies: every file parses, entry points are flows, units and containers run our commands."""

import configparser
import importlib
import importlib.util
import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from fastapi import FastAPI
from prefect import Flow
from prefect.server.schemas.actions import WorkPoolCreate
from prefect.utilities.templating import apply_values
from prefect.workers.base import BaseJobConfiguration
from starlette.routing import Mount

from flows.arrivals import DEPLOYMENT
from flows.cli import app, facility
from flows.live_arrivals import LIVE_DEPLOYMENT
from flows.server import check_password
from flows.site import LIVE_POOL, POOL, UPKEEP_POOL
from flows.with_secrets import NAMES, SUFFIX
from tasks.model import SettingsError

FOLDER = Path(__file__).resolve().parents[2] / "deployments"
PREFECT: dict[str, Any] = yaml.safe_load((FOLDER / "prefect.yaml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
DEPLOYMENTS = {deployment["name"]: deployment for deployment in PREFECT["deployments"]}
UNITS = sorted((FOLDER / "systemd").glob("*.service"))
EXPOSURE = 4.0
REDIS = {"PREFECT_REDIS_MESSAGING_URL", "PREFECT_SERVER_DOCKET_URL"}
"""Addresses that hold a password only where Redis has one."""
READING = {
    *(f"/{kind}/filter" for kind in (
        "artifacts", "artifacts/latest", "automations", "block_schemas", "block_types", "concurrency_limits",
        "deployments", "events", "flow_runs", "flows", "logs", "saved_searches", "task_runs", "task_workers",
        "v2/concurrency_limits", "variables", "work_pools", "work_queues",
    )),
    *(f"/{kind}/count" for kind in (
        "artifacts", "artifacts/latest", "automations", "deployments", "flow_runs", "flows", "task_runs", "variables",
        "work_pools",
    )),
    *(f"/{kind}/paginate" for kind in ("deployments", "flow_runs", "flows", "task_runs")),
    *("/flow_runs/history", "/flow_runs/lateness", "/task_runs/history", "/flow_runs/{id}/input/filter"),
    *("/work_pools/{work_pool_name}/queues/filter", "/work_pools/{work_pool_name}/workers/filter"),
    *("/work_pools/{name}/concurrency_status", "/work_queues/{id}/concurrency_status", "/events/count-by/{countable}"),
    *("/ui/flow_runs/count-task-runs", "/ui/flow_runs/history", "/ui/flows/count-deployments", "/ui/flows/next-runs"),
    *("/ui/schemas/validate", "/ui/task_runs/count", "/ui/task_runs/dashboard/counts"),
}  # fmt: skip
"""What POST only reads, of Prefect 3.8.8: each was looked at. What an upgrade brings is not for viewers until it is."""
COMMANDS = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}


def flow_of(entrypoint: str) -> Flow[Any, Any]:
    module, _, name = entrypoint.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, Flow)
    return found


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_an_entry_point_is_a_flow_and_its_parameters_are_the_flow_s(name: str) -> None:
    deployment = DEPLOYMENTS[name]
    parameters = set(flow_of(deployment["entrypoint"]).parameters.properties)
    given = set(deployment.get("parameters", {}))
    for trigger in deployment.get("triggers", []):
        given |= set(trigger["parameters"])
    assert given <= parameters


@pytest.mark.parametrize("deployment", [DEPLOYMENT, LIVE_DEPLOYMENT])
def test_the_watcher_s_deployments_are_deployed(deployment: str) -> None:
    flow_name, _, name = deployment.partition("/")
    assert flow_of(DEPLOYMENTS[name]["entrypoint"]).name == flow_name


def test_maintenance_has_a_pool_of_its_own_that_no_run_can_fill() -> None:
    pools = {name: deployment["work_pool"]["name"] for name, deployment in DEPLOYMENTS.items()}
    assert {name for name, pool in pools.items() if pool == UPKEEP_POOL} == {"janitor", "sweep", "dispatch", "scicat"}
    assert set(pools.values()) == {POOL, UPKEEP_POOL, LIVE_POOL}
    assert [name for name, pool in pools.items() if pool == LIVE_POOL] == ["on-begin"]
    for name in ("janitor", "sweep", "scicat"):
        assert "concurrency_limit" not in DEPLOYMENTS[name], "a dead run would hold it"
        assert "scheduled-maintenance" in DEPLOYMENTS[name]["tags"]


def test_how_a_run_is_started_cannot_be_sent_with_it() -> None:
    template = json.loads((FOLDER / "process-job.json").read_text())
    assert template["variables"] == {"type": "object", "properties": {}, "additionalProperties": False}
    assert template["job_configuration"]["command"] == "python -m flows.engine"
    assert "{{" not in json.dumps(template)
    assert not any("job_variables" in deployment["work_pool"] for deployment in DEPLOYMENTS.values())


def test_a_server_without_a_password_of_its_own_does_not_start() -> None:
    for wrong in ("apertura:CHANGE-ME", "", "apertura:", "apertura:short", ":long-enough-password"):
        with pytest.raises(SettingsError, match="must be USER:PASSWORD"):
            check_password(wrong)
    check_password("apertura:" + "x" * 24)


def test_the_example_holds_no_secret_and_opens_no_origin() -> None:
    example = dict(re.findall(r"(?m)^(\w+)=(.*)$", (FOLDER / "env.example").read_text()))
    assert not set(example) & {*NAMES, *(name + SUFFIX for name in NAMES)} - REDIS
    assert "*" not in example["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"]


def test_a_flow_does_not_depend_on_the_folder_that_was_deployed_from() -> None:
    assert PREFECT["pull"] == [], "null becomes set_working_directory"


def test_pruning_is_a_dry_run_unless_asked() -> None:
    assert DEPLOYMENTS["prune"]["parameters"] == {"dry_run": True}
    (nightly,) = DEPLOYMENTS["prune"]["schedules"]
    assert nightly["parameters"] == {"dry_run": False, "by_schedule": True}, "and then the site file decides"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_a_program_of_ours_and_drains_a_worker(path: Path) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(path)
    service = unit["Service"]
    launcher, _, command = service["ExecStart"].partition(" -m flows.with_secrets ")
    program, *arguments = command.split()
    assert launcher == "/opt/apertura/bin/python"
    assert Path(program).name in {"apertura", "prefect", "python"}
    if Path(program).name == "python":
        assert arguments[0] == "-m"
        assert importlib.util.find_spec(arguments[1]) is not None
    if Path(program).name == "apertura":
        assert arguments[0] in COMMANDS
    if "worker" in arguments:
        assert f"Environment=PATH={Path(program).parent}:" in path.read_text(), "flows would run with another python"
        assert "--limit" not in arguments
        assert service["ExecStart"].split()[-1] == "%H-1", "the janitor knows a worker's machine by its name"
        if LIVE_POOL not in arguments:  # what follows a series is begun again, and goes on
            assert service["ExecStop"].split()[-4:] == ["drain", "--pool", POOL, "--no-resume"]
            assert service["TimeoutStopSec"] == "infinity"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_is_given_its_secrets_as_credentials(path: Path) -> None:
    text = path.read_text()
    given = dict(re.findall(r"(?m)^LoadCredential=([\w-]+):/etc/apertura/secrets/([\w-]+)$", text))
    asked = dict(re.findall(rf"(?m)^Environment=(\w+){SUFFIX}=(?:%d|%t/apertura-worker)/([\w-]+)$", text))
    assert set(given) == set(given.values()) == set(asked.values())
    assert set(asked) <= set(NAMES)


@pytest.mark.needs_systemd
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_exposes_little(path: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    (level,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert float(level) <= EXPOSURE, done.stdout + done.stderr


def test_the_server_may_write_where_it_unpacks_its_pages() -> None:
    """Prefect unpacks them beside its package, which belongs to root, if nobody says where, and has no pages then."""
    example = dict(re.findall(r"(?m)^(\w+)=(.*)$", (FOLDER / "env.example").read_text()))
    (writable,) = re.findall(r"(?m)^ReadWritePaths=(.*)$", (FOLDER / "systemd/apertura-server.service").read_text())
    place = Path(example["PREFECT_SERVER_UI_STATIC_DIRECTORY"])
    assert any(place.is_relative_to(folder) for folder in writable.split())
    server = COMPOSE["services"]["server"]
    place = Path(server["environment"]["PREFECT_SERVER_UI_STATIC_DIRECTORY"])
    assert any(place.is_relative_to(line.partition(":")[0]) for line in server["tmpfs"])


def test_containers_refer_to_services_volumes_and_secrets_that_are_there() -> None:
    services, volumes, secrets = COMPOSE["services"], set(COMPOSE["volumes"]), set(COMPOSE["secrets"])
    for name, service in services.items():
        assert set(service.get("depends_on", [])) <= set(services)
        named = {mount.split(":")[0] for mount in service.get("volumes", []) if not mount.startswith((".", "/"))}
        assert named <= volumes
        assert set(service.get("secrets", [])) <= secrets
        assert "privileged" not in service
        asked = {path for key, path in service.get("environment", {}).items() if key.endswith(SUFFIX)}
        assert asked == {f"/run/secrets/{secret}" for secret in service.get("secrets", [])}, name
        assert not set(service.get("environment", {})) & set(NAMES) - REDIS, name
    assert services["watcher"]["command"][:2] == ["apertura", "watch"]
    assert not any("ports" in service for name, service in services.items() if name != "nginx"), "nginx alone is open"


def test_no_container_of_ours_can_become_root() -> None:
    for name, service in COMPOSE["services"].items():
        if name in {"postgres", "redis"}:
            continue
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    assert re.findall(r"(?m)^USER (\w+)$", (FOLDER.parent / "Dockerfile").read_text()) == ["apertura"]


def test_no_file_holds_a_password() -> None:
    for path in FOLDER.rglob("*"):
        if path.is_file():
            found = re.findall(r"(?i)(?:password|secret|key)[ \t]*[:=][ \t]*(\S+)", path.read_text())
            assert all(
                value.startswith(("/", "{", "apertura-", "auth-string", "tls.", "kubernetes.io/")) for value in found
            ), path


def nginx_map(name: str) -> list[tuple[str, str]]:
    text = (FOLDER / "nginx" / "apertura.conf").read_text()
    block = text.partition(f" ${name} {{")[2].partition("\n}")[0]
    return re.findall(r'"~(\S+)" ([01]);', block)


def may(role: str, method: str, path: str) -> bool:
    """Decide as nginx does: the first expression that matches."""
    request = f"{role}:{method}:{path}"
    return next((value for rule, value in nginx_map("apertura_deny") if re.search(rule, request)), "1") == "0"


def routes() -> list[tuple[str, str]]:
    """Return method and path of all that Prefect's server answers."""
    from prefect.server.api.server import create_app

    (api,) = [route.app for route in create_app().routes if isinstance(route, Mount) and route.path == "/api"]
    assert isinstance(api, FastAPI)
    return sorted((method.upper(), path) for path, methods in api.openapi()["paths"].items() for method in methods)


def test_a_viewer_may_ask_for_what_reads_and_an_operator_for_all() -> None:
    """Names in a path are what a viewer chooses, if that lets him through."""
    found = routes()
    assert len(found) > 150
    for method, path in found:
        assert may("operator", method, f"/api{path}")
        filled = {f"/api{re.sub('{[^}]*}', word, path)}" for word in ("day", "filter", "count", "history", "input")}
        allowed = {may("viewer", method, one) for one in filled}
        secret = "block_documents" in path or path.startswith("/admin")
        reads = not secret if method == "GET" else method == "POST" and path in READING
        assert allowed == {reads}, (method, path)


def test_a_viewer_gets_no_secret_and_cannot_pose_as_a_worker() -> None:
    for method, path in (
        ("GET", "/api/block_documents/1"),
        ("POST", "/api/block_documents/filter"),
        ("GET", "/api/block_types/slug/x/block_documents/name/y"),
        ("GET", "/api/admin/settings"),
        ("POST", "/api/work_pools/apertura/get_scheduled_flow_runs"),
        ("POST", "/api/deployments/get_scheduled_flow_runs"),
    ):
        assert not may("viewer", method, path), path
        assert may("operator", method, path), path


def test_a_local_facility_can_be_started_and_stopped() -> None:
    assert {command.name for command in facility.registered_commands} == {"up", "down"}


POOLS = {"process": FOLDER / "slurm" / "pool.json", "kubernetes": FOLDER / "kubernetes" / "pool.json"}
"""Of work pools whose flow runs are jobs of a cluster, by their type."""


@pytest.mark.parametrize("kind", sorted(POOLS))
def test_a_pool_of_a_cluster_is_one_that_prefect_takes_and_no_request_can_change(kind: str) -> None:
    template = json.loads(POOLS[kind].read_text())
    pool = WorkPoolCreate(name="apertura-cluster", type=kind, base_job_template=template)
    jsonschema.Draft202012Validator.check_schema(pool.base_job_template["variables"])
    with pytest.raises(jsonschema.ValidationError, match="command"):
        jsonschema.validate({"command": "true"}, pool.base_job_template["variables"])
    filled = apply_values(template["job_configuration"], {})
    job = BaseJobConfiguration.model_validate({name: filled[name] for name in ("command", "env", "labels", "name")})
    own = json.loads((FOLDER / "process-job.json").read_text())["job_configuration"]["env"]
    assert own.items() <= job.env.items()
    if kind == "kubernetes":
        pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["args"] == job.command.split()
        assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
        assert Path(job.env["APERTURA_SITE"]).parent.as_posix() in {
            one["mountPath"] for one in container["volumeMounts"]
        }
        assert pod["restartPolicy"] == "Never"


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """An environment in which `sbatch` runs what it is given, as its own child, and `scancel` ends that."""
    programs = {
        "sbatch": 'echo "$@" > "$STUBS/options"; echo "71;here"\n'
        'bash "${@: -1}" & echo $! > "$STUBS/71"; trap "" TERM; wait $(cat "$STUBS/71"); exit $?',
        "scancel": 'echo "$1" > "$STUBS/cancelled"; kill -KILL "$(cat "$STUBS/$1")"',
        "python": '[ "$*" = "-m flows.engine" ] || exit 9; [ -z "$SLOW" ] || exec sleep 60; exit "$CODE"',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "site").write_text("# of this site\n--partition=short\n")
    return {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "STUBS": str(tmp_path),
        "APERTURA_BIN": str(tmp_path),
        "APERTURA_SBATCH": str(tmp_path / "site"),
        "PREFECT__FLOW_RUN_ID": "0b7c1d52-aaaa-bbbb-cccc-123456789012",
        "CODE": "0",
        "SLOW": "",
    }


@pytest.mark.parametrize("code", [0, 3])
def test_a_run_that_is_a_job_of_slurm_ends_as_the_job_does(slurm: dict[str, str], code: int) -> None:
    submitted = subprocess.run(["bash", FOLDER / "slurm" / "submit.sh"], env=slurm | {"CODE": str(code)}, check=False)
    assert submitted.returncode == code
    options = Path(slurm["STUBS"], "options").read_text()
    assert "--partition=short" in options
    assert "--job-name=apertura-0b7c1d52" in options
    assert "# of this site" not in options


def test_a_cancelled_run_cancels_its_job_of_slurm(slurm: dict[str, str]) -> None:
    submitted = subprocess.Popen(["bash", FOLDER / "slurm" / "submit.sh"], env=slurm | {"SLOW": "yes"})
    begun = Path(slurm["STUBS"], "71")
    while not (begun.is_file() and begun.read_text()):
        time.sleep(0.02)
    submitted.terminate()
    assert submitted.wait(60) != 0
    assert Path(slurm["STUBS"], "cancelled").read_text() == "71\n"
