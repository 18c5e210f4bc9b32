"""What a facility copies: every file parses, entry points are flows, units and containers run our commands."""

import configparser
import importlib
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow

from flows.arrivals import DEPLOYMENT
from flows.cli import app, facility
from flows.server import check_password
from flows.site import POOL, UPKEEP_POOL
from tasks.model import SettingsError

FOLDER = Path(__file__).resolve().parents[2] / "deployments"
PREFECT: dict[str, Any] = yaml.safe_load((FOLDER / "prefect.yaml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
DEPLOYMENTS = {deployment["name"]: deployment for deployment in PREFECT["deployments"]}
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


def test_the_watcher_s_deployment_is_deployed() -> None:
    flow_name, _, name = DEPLOYMENT.partition("/")
    assert flow_of(DEPLOYMENTS[name]["entrypoint"]).name == flow_name


def test_maintenance_has_a_pool_of_its_own_that_no_run_can_fill() -> None:
    pools = {name: deployment["work_pool"]["name"] for name, deployment in DEPLOYMENTS.items()}
    assert {name for name, pool in pools.items() if pool == UPKEEP_POOL} == {"janitor", "sweep", "dispatch", "scicat"}
    assert set(pools.values()) == {POOL, UPKEEP_POOL}
    for name in ("janitor", "sweep", "scicat"):
        assert "concurrency_limit" not in DEPLOYMENTS[name], "a dead run would hold it"
        assert "scheduled-maintenance" in DEPLOYMENTS[name]["tags"]


def test_how_a_run_is_started_cannot_be_sent_with_it() -> None:
    template = json.loads((FOLDER / "process-job.json").read_text())
    assert template["variables"] == {"type": "object", "properties": {}, "additionalProperties": False}
    assert template["job_configuration"]["command"] == "python -m flows.engine"
    assert "{{" not in json.dumps(template)
    assert not any("job_variables" in deployment["work_pool"] for deployment in DEPLOYMENTS.values())


def test_the_example_s_password_is_no_password() -> None:
    example = dict(re.findall(r"(?m)^(\w+)=(.*)$", (FOLDER / "env.example").read_text()))
    assert example["PREFECT_SERVER_API_AUTH_STRING"] == example["PREFECT_API_AUTH_STRING"]
    for wrong in (
        example["PREFECT_SERVER_API_AUTH_STRING"],
        "",
        "apertura:",
        "apertura:short",
        ":long-enough-password",
    ):
        with pytest.raises(SettingsError, match="must be USER:PASSWORD"):
            check_password(wrong)
    check_password("apertura:" + "x" * 24)
    assert "*" not in example["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"]


def test_a_flow_does_not_depend_on_the_folder_that_was_deployed_from() -> None:
    assert PREFECT["pull"] == [], "null becomes set_working_directory"


def test_pruning_is_a_dry_run_unless_asked() -> None:
    assert DEPLOYMENTS["prune"]["parameters"] == {"dry_run": True}
    (nightly,) = DEPLOYMENTS["prune"]["schedules"]
    assert nightly["parameters"] == {"dry_run": False, "by_schedule": True}, "and then the site file decides"


@pytest.mark.parametrize("path", sorted((FOLDER / "systemd").glob("*.service")), ids=lambda path: path.name)
def test_a_unit_starts_a_program_of_ours_and_drains_a_worker(path: Path) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(path)
    service = unit["Service"]
    program, *arguments = service["ExecStart"].split()
    assert Path(program).name in {"apertura", "prefect", "python"}
    if Path(program).name == "python":
        assert arguments[0] == "-m"
        assert importlib.util.find_spec(arguments[1]) is not None
    if Path(program).name == "apertura":
        assert arguments[0] in COMMANDS
    if "worker" in arguments:
        assert f"Environment=PATH={Path(program).parent}:" in path.read_text(), "flows would run with another python"
        assert "--limit" not in arguments
        assert service["ExecStop"].split()[1:] == ["drain", "--pool", POOL, "--no-resume"]
        assert service["ExecStart"].split()[-1] == "%H-1", "the janitor knows a worker's machine by its name"
        assert service["TimeoutStopSec"] == "infinity"


def test_containers_refer_to_services_and_volumes_that_are_there() -> None:
    services, volumes = COMPOSE["services"], set(COMPOSE["volumes"])
    for service in services.values():
        assert set(service.get("depends_on", [])) <= set(services)
        named = {mount.split(":")[0] for mount in service.get("volumes", []) if not mount.startswith((".", "/"))}
        assert named <= volumes
        assert "privileged" not in service
    assert services["watcher"]["command"][0] in COMMANDS
    assert not any("ports" in service for name, service in services.items() if name != "nginx"), "nginx alone is open"


def test_no_file_holds_a_password() -> None:
    for path in FOLDER.rglob("*"):
        if path.is_file():
            found = re.findall(r"(?i)(?:password|secret|key)\s*[:=]\s*(\S+)", path.read_text())
            assert all(
                value.startswith(("CHANGE-ME", "${", "?set", "/", "{", "apertura-", "auth-string")) for value in found
            ), path


@pytest.mark.parametrize("path", sorted((FOLDER / "helm").glob("*.yaml")), ids=lambda path: path.name)
def test_values_of_charts_are_mappings(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_nginx_lets_viewers_read_and_nothing_else() -> None:
    text = (FOLDER / "nginx" / "apertura.conf").read_text()
    rules = re.findall(r'"~(\S+)" 0;', text)
    allowed = [re.compile(rule) for rule in rules]

    def may(request: str) -> bool:
        return any(rule.search(request) for rule in allowed)

    assert may("viewer:GET:/api/flow_runs/1")
    assert may("viewer:POST:/api/flow_runs/filter")
    assert not may("viewer:POST:/api/deployments/1/create_flow_run")
    assert not may("viewer:DELETE:/api/flow_runs/1")
    assert not may("viewer:PATCH:/api/flow_runs/1")
    assert may("operator:POST:/api/deployments/1/create_flow_run")


def test_a_local_facility_can_be_started_and_stopped() -> None:
    assert {command.name for command in facility.registered_commands} == {"up", "down"}
