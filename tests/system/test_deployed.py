"""The files that a facility copies, run as they are, to a finished run in the browser."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.synthetic.chart import manifests
from tests.system.chart_bench import Cluster
from tests.system.compose_bench import Composed
from tests.system.deployed_bench import DEPLOYMENTS, Facility, write_alarms, write_proxy_files, write_secrets
from tests.system.facility_bench import drop, wait
from tests.system.rooms import Groups, World
from tests.system.systemd_bench import boot, deploy, journal, machine, states, systemctl

pytestmark = [
    pytest.mark.needs_server,
    pytest.mark.needs_postgresql,
    pytest.mark.needs_nginx,
    pytest.mark.needs_browser,
    pytest.mark.needs_namespaces,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.timeout(3600),
]
PICTURES = os.environ.get("APERTURA_SCREENSHOTS")
STARTED_LATER = [f"apertura-{name}.service" for name in ("upkeep", "worker", "watcher", "studio")]
SERVICES = ["apertura-server.service", *STARTED_LATER]


@pytest.fixture
def world() -> Iterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="apertura-world-"))
    folder.chmod(0o755)
    with World(folder) as made:
        yield made
    shutil.rmtree(folder, ignore_errors=True)


def looks_right(facility: Facility, name: str) -> None:
    """Look at the facility as its users do: pages for who logs in, nothing for others."""
    (run,) = facility.finished()
    assert run["state_name"] == "No crystals"
    assert facility.ask("GET", "/api/health", user=None).json() is True
    assert facility.ask("GET", "/runs/", user=None).status_code == 401
    folders = re.findall(r'href="(first-[^"]+)/"', facility.ask("GET", "/runs/", user="viewer").text)
    assert len(folders) == 1
    picture = Path(PICTURES) / f"{name}.png" if PICTURES else None
    seen = facility.seen(run["id"], folders[0], "viewer", picture)
    assert "first: No crystals" in seen["run"]
    assert "No crystals" in seen["report"] or "no crystals" in seen["report"]
    assert folders[0] in seen["studio"]


@pytest.mark.deployed
@pytest.mark.needs_redis
def test_the_containers_take_a_data_set_to_a_page_in_the_browser(world: World) -> None:
    compose, host = world.folder / "compose", world.folder / "host"
    shutil.copytree(DEPLOYMENTS, compose)
    made = write_secrets(compose / "secrets", owner=1000)
    write_proxy_files(compose / "nginx" / "etc", made, group=101)
    write_alarms(compose / "alarms")
    shutil.copy(compose / "site.example.yaml", compose / "site.yaml")
    (compose / "instruments").mkdir()
    for name in ("incoming", "runs"):
        (host / "data" / name).mkdir(parents=True)
    shutil.chown(host / "data/runs", 1000, 1000)
    composed = Composed(world, compose, host)
    composed.up()
    drop(host / "data/incoming/first", seed=1)
    try:
        looks_right(Facility(world, world.addresses["nginx"]), "containers")
    except BaseException:
        print(*(f"== {room.name}\n{room.said()}" for room in composed.rooms.values()), sep="\n")
        raise
    assert composed.ended() == {"deploy": 0}


@pytest.mark.deployed
@pytest.mark.needs_redis
@pytest.mark.needs_helm
def test_the_containers_of_the_chart_take_a_data_set_to_a_page_in_the_browser(world: World) -> None:
    compose, host = world.folder / "compose", world.folder / "host"
    compose.mkdir()
    made = write_secrets(compose / "secrets", owner=1000)
    shutil.copytree(compose / "secrets", compose / "secret" / "apertura-secrets")
    write_proxy_files(compose / "secret" / "apertura-proxy", made, group=0)
    tls = compose / "secret" / "apertura-tls"
    (compose / "secret" / "apertura-proxy" / "tls").rename(tls)
    for name in ("cert", "key"):
        (tls / f"{name}.pem").rename(tls / f"tls.{name.replace('cert', 'crt')}")
    write_alarms(compose / "secret" / "apertura-alarms")
    for name in ("incoming", "runs"):
        (host / "data" / name).mkdir(parents=True)
    shutil.chown(host / "data/runs", 1000, 1000)
    site = (DEPLOYMENTS / "site.example.yaml").read_text()
    Cluster(manifests(site=site, secrets={"alarms": "apertura-alarms"}), compose).write(
        yaml.safe_load((DEPLOYMENTS / "compose.yaml").read_text())
    )
    composed = Composed(world, compose, host)
    composed.up()
    drop(host / "data/incoming/first", seed=1)
    try:
        looks_right(Facility(world, world.addresses["apertura-proxy"]), "chart")
    except BaseException:
        print(*(f"== {room.name}\n{room.said()}" for room in composed.rooms.values()), sep="\n")
        raise
    assert composed.ended() == {"deploy": 0, "open": 0}


@pytest.mark.needs_systemd
def test_the_units_under_systemd_take_a_data_set_to_a_page_in_the_browser(world: World) -> None:
    with Groups() as before:
        image = machine(world)
        room = boot(world, image, before)
        facility = Facility(world, "127.0.0.1")
        try:
            wait(lambda: facility.ask("GET", "/api/health", user=None).status_code == 200, "the server")
            deploy(room)
            systemctl(room, "start", *STARTED_LATER)
            drop(image / "data/incoming/first", seed=1)
            looks_right(facility, "units")
            found = states(room, SERVICES)
            assert {unit: (one["SubState"], one["NRestarts"]) for unit, one in found.items()} == dict.fromkeys(
                SERVICES, ("running", "0")
            )
            for one in found.values():
                status = room.run(["cat", f"/proc/{one['MainPID']}/status"]).stdout
                assert re.search(r"(?m)^CapBnd:\s0+$", status)
                assert re.search(r"(?m)^NoNewPrivs:\s1$", status)
                assert re.search(r"(?m)^Seccomp:\s2$", status)
                assert not re.search(r"(?m)^Uid:\s0\b", status)
            systemctl(room, "stop", "apertura-worker.service")
            assert states(room, ["apertura-worker.service"])["apertura-worker.service"]["Result"] == "success"
            assert facility.ask("GET", "/api/work_pools/apertura").json()["is_paused"], "it was drained"
        except BaseException:
            print(journal(room))
            raise
        finally:
            world.close()
