"""The chart, rendered: valid for Kubernetes, and each container is what compose.yaml makes it, or stricter."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.synthetic.chart import CHART, lint, manifests, pods, render, selected

pytestmark = pytest.mark.needs_helm

FOLDER = CHART.parent
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
SITE = (FOLDER / "site.example.yaml").read_text()
SECRETS = "/run/secrets/apertura/"
BY_REFERENCE = {"postgres", "redis"}
COMPONENTS = {"proxy": "nginx"}
"""Whose name differs from that of the service of compose.yaml."""
OF_A_CLUSTER = {"PREFECT_SERVER_DATABASE_PORT"}
"""Of a database that is somebody else's."""


@pytest.fixture(scope="module")
def chart() -> list[dict[str, Any]]:
    values = {"site": SITE, "instruments": {"titan.tilt_series.json": "{}"}}
    return manifests(**values, live=True, secrets={"alarms": "apertura-alarms"}, host="lab.example.org")


def containers(objects: list[dict[str, Any]]) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Return each container with its pod, by the service of compose.yaml that it is."""
    found = [(one, pod["spec"]) for pod in pods(objects).values() for one in pod["spec"]["containers"]]
    return {COMPONENTS.get(one["name"], one["name"]): (one, pod) for one, pod in found}


def mounts(container: dict[str, Any], pod: dict[str, Any], objects: list[dict[str, Any]]) -> set[tuple[str, bool]]:
    """Return the places of files and folders in a container, and whether they can only be read."""
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    maps = {one["metadata"]["name"]: one["data"] for one in objects if one["kind"] == "ConfigMap"}
    found = set()
    for mount in container["volumeMounts"]:
        volume, place = volumes[mount["name"]], mount["mountPath"]
        names = [""]
        if "secret" in volume and "items" in volume["secret"]:
            names = [f"/{item['path']}" for item in volume["secret"]["items"]]
        if place == "/etc/nginx/conf.d":
            names = [f"/{name}" for name in maps[volume["configMap"]["name"]]]
        found |= {(place + name, mount.get("readOnly", False)) for name in names}
    return found


def as_composed(text: str) -> str:
    """Return a value of the chart as compose.yaml has it: other names of places, not other things."""
    return text.replace(SECRETS, "/run/secrets/").replace("apertura-server", "server").replace("lab.", "apertura.")


def test_every_object_is_one_that_kubernetes_takes(chart: list[dict[str, Any]]) -> None:
    from kubernetes_validate import latest_version, validate

    for found in chart:
        for version in ("1.27", latest_version()):  # strict: nothing that it does not know
            validate(found, version, strict=True)
    names = [(one["kind"], one["metadata"]["name"]) for one in chart]
    assert len(set(names)) == len(names)


def test_helm_finds_no_fault_and_takes_templates_as_readme_says(tmp_path: Path) -> None:
    (option,) = re.findall(r"--set-file '(instruments\.[^=]*)=", (FOLDER / "README.md").read_text())
    (tmp_path / "titan").write_text("{}")
    meant, found = lint(f"{option}={tmp_path / 'titan'}", site=SITE)
    assert meant == {"instruments": {"titan.tilt_series.json": "{}"}}
    assert [one["error"] for one in found] == ["icon is recommended"]


def test_the_chart_makes_the_services_of_compose(chart: list[dict[str, Any]]) -> None:
    assert set(containers(chart)) == set(COMPOSE) - BY_REFERENCE
    plain = manifests(site=SITE)
    assert set(containers(plain)) == set(COMPOSE) - BY_REFERENCE - {"live"}, "a profile there, a value here"


@pytest.mark.parametrize("name", sorted(set(COMPOSE) - BY_REFERENCE))
def test_a_container_does_what_its_service_of_compose_does(chart: list[dict[str, Any]], name: str) -> None:
    container, pod = containers(chart)[name]
    service = COMPOSE[name]
    assert container.get("command", []) == (["tini", "--", *service["entrypoint"]] if "entrypoint" in service else [])
    assert container.get("args") == service.get("command")
    assert container["image"] == service["image"]
    environment = {one["name"]: as_composed(one["value"]) for one in container.get("env", [])}
    assert {key: value for key, value in environment.items() if key not in OF_A_CLUSTER} == service.get(
        "environment", {}
    )
    lines = [line.split(":") for line in service.get("volumes", [])]
    expected = {(target, mode == ["ro"]) for _, target, *mode in lines}
    expected |= {(f"{SECRETS}{secret}", True) for secret in service.get("secrets", [])}
    expected |= {(line.partition(":")[0], False) for line in service["tmpfs"]}
    there = mounts(container, pod, chart)
    assert there - {("/etc/apertura/site.yaml", True)} == expected - {("/etc/apertura/site.yaml", True)}
    assert there >= expected
    assert pod.get("hostname", "upkeep") == service.get("hostname", pod.get("hostname", "upkeep"))


def test_no_container_is_root_or_may_become_it(chart: list[dict[str, Any]]) -> None:
    for name, (container, pod) in containers(chart).items():
        lock = container["securityContext"]
        assert lock["runAsUser"] == (101 if name == "nginx" else 1000), "the user of its image"
        assert lock["readOnlyRootFilesystem"], name
        assert not lock["allowPrivilegeEscalation"], name
        assert lock["capabilities"] == {"drop": ["ALL"]}
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod["automountServiceAccountToken"]
        assert not pod["enableServiceLinks"], "APERTURA_SERVER_PORT and PREFECT_... of other services are settings here"
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert container["resources"]["limits"]["memory"]


def test_secrets_are_files_and_data_is_never_written_to(chart: list[dict[str, Any]]) -> None:
    assert not any(one["kind"] == "Secret" for one in chart), "they are made beside the chart"
    for name, (container, pod) in containers(chart).items():
        assert not any("valueFrom" in one for one in container.get("env", [])), name
        for volume in pod["volumes"]:
            assert "hostPath" not in volume
            if volume["name"] == "incoming":  # a group for all its files is set where a claim may be written to
                assert volume["persistentVolumeClaim"]["readOnly"], name


def test_names_of_services_lead_to_the_pods_that_are_meant(chart: list[dict[str, Any]]) -> None:
    services = {one["metadata"]["name"]: one for one in chart if one["kind"] == "Service"}
    assert {name: selected(one, chart) for name, one in services.items()} == {
        "apertura-server": ["server"],
        "apertura-proxy": ["proxy"],
    }
    for one in chart:
        if one["kind"] == "Deployment":
            assert (
                one["spec"]["selector"]["matchLabels"].items() <= one["spec"]["template"]["metadata"]["labels"].items()
            )
            assert one["spec"]["strategy"] == {"type": "Recreate"}, "two of them at once would be one too many"
    server = containers(chart)["server"][0]
    (port,) = services["apertura-server"]["spec"]["ports"]
    assert port["targetPort"] == server["ports"][0]["containerPort"] == 4200
    hosts = next(one["value"] for one in server["env"] if one["name"] == "APERTURA_HOSTS").split(",")
    assert hosts == ["lab.example.org", "apertura-server"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = server[probe]["httpGet"]
        assert asked["httpHeaders"] == [{"name": "Host", "value": "127.0.0.1"}], "under another name it answers 400"
        assert asked["path"] in {"/api/ready", "/api/health"}, "what it answers without a password"


def test_a_worker_s_pool_is_opened_before_it_starts_and_drained_before_it_stops(chart: list[dict[str, Any]]) -> None:
    unit = (FOLDER / "systemd" / "apertura-worker.service").read_text()
    container, pod = containers(chart)["worker"]
    (first,) = pod["initContainers"]
    (pool,) = container["args"][-1:]
    assert first["args"] == ["apertura", "drain", "--pool", pool, "--open"]
    assert f"work-pool resume {pool}\n" in unit
    stop = container["lifecycle"]["preStop"]["exec"]["command"]
    assert stop[:-2] == ["python", "-m", "flows.with_secrets", "apertura", "drain", "--pool", pool]
    assert f"apertura drain --pool {pool}" in unit
    assert float(stop[-1]) < pod["terminationGracePeriodSeconds"], "what is still active then is begun again"
    assert {one: first[one] for one in ("env", "securityContext", "image")} == {
        one: container[one] for one in ("env", "securityContext", "image")
    }


def test_what_shares_the_ledger_runs_on_one_machine(chart: list[dict[str, Any]]) -> None:
    labels = pods(chart)["server"]["metadata"]["labels"]
    for name, pod in pods(chart).items():
        if name == "server" or not any(one["name"] == "ledger" for one in pod["spec"]["volumes"]):
            continue
        (term,) = pod["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["topologyKey"] == "kubernetes.io/hostname"
        assert term["labelSelector"]["matchLabels"].items() <= labels.items(), name


def test_nginx_is_given_the_file_of_this_folder_under_the_name_of_the_site(chart: list[dict[str, Any]]) -> None:
    (proxy,) = [one["data"] for one in chart if one["metadata"]["name"] == "apertura-proxy" and "data" in one]
    ours = (FOLDER / "nginx" / "apertura.conf").read_text()
    assert proxy["apertura.conf"] == ours.replace("apertura.example.org", "lab.example.org")
    composed = (FOLDER / "nginx" / "upstream.compose.conf").read_text()
    named = re.findall(r"upstream (\w+) \{ server (\S+); \}", as_composed(proxy["upstream.conf"]))
    assert named == re.findall(r"upstream (\w+) \{ server (\S+); \}", composed)


def test_a_changed_site_file_starts_the_pods_anew() -> None:
    annotations = [
        pods(manifests(site=site))["watcher"]["metadata"]["annotations"] for site in (SITE, SITE, SITE + "live: true\n")
    ]
    assert annotations[0] == annotations[1] != annotations[2]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "--set-file site=site.yaml"),
        ({"site": SITE, "runAtOnce": 2}, "runAtOnce"),
        ({"site": SITE, "host": "https://lab.example.org"}, "host"),
        ({"site": SITE, "secrets": {"password": "x"}}, "password"),
    ],
)
def test_values_that_mean_nothing_are_refused_by_name(values: dict[str, Any], said: str) -> None:
    done = render(**values)
    assert done.returncode != 0
    assert said in done.stderr


def test_the_image_has_what_the_chart_starts() -> None:
    text = (Path(FOLDER).parent / "Dockerfile").read_text()
    assert re.search(r"apt-get install .*\btini\b", text[text.rindex("\nFROM ") :])
