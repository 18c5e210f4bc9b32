"""Docker Compose without Docker: what compose.yaml and the Dockerfile say, in rooms of this machine's programs.

Obeyed: image (ours by the Dockerfile's last stage; of others the few facts of `FOREIGN`), entrypoint, command,
environment, secrets, volumes and who owns fresh ones, tmpfs, read_only, cap_drop, security_opt, group_add, hostname,
network_mode, depends_on and healthcheck; names are resolved as on a network of Compose. Not obeyed: restart, ports, and
profiles: all services start.
"""

import json
import os
import re
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.system.rooms import (
    SYSTEM_PATH,
    Mount,
    Room,
    World,
    as_user,
    make_image,
    own_code,
    place_for,
    script,
    with_environment,
)

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {
    *("image", "restart", "init", "read_only", "tmpfs", "cap_drop", "security_opt", "entrypoint", "secrets", "command"),
    *("environment", "volumes", "healthcheck", "depends_on", "expose", "hostname", "network_mode", "ports"),
    *("profiles", "stop_grace_period", "group_add"),
}
"""Keys of a service that this file understands, or may leave aside."""
START_S = 900.0
"""Chosen, not measured: a hundred seconds on two quiet cores, for all of them."""
POSTGRES = """set -eu
bin=$(ls -d /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/data/inner
export POSTGRES_PASSWORD=$(cat $POSTGRES_PASSWORD_FILE)
cat > /tmp/start <<END
set -eu
printf '%s' "$POSTGRES_PASSWORD" > /tmp/password
$bin/initdb -D $data -U $POSTGRES_USER --pwfile=/tmp/password --auth-local=trust --auth-host=scram-sha-256 -N
echo 'host all all all scram-sha-256' >> $data/pg_hba.conf
$bin/pg_ctl -D $data -o "-c listen_addresses= -F" -w start
createdb -U $POSTGRES_USER $POSTGRES_DB
$bin/pg_ctl -D $data -w stop
exec $bin/postgres -F -c listen_addresses='*'  -D $data
END
chown postgres /var/lib/postgresql/data
exec setpriv --reuid=postgres --regid=postgres --clear-groups sh /tmp/start
"""
"""What the entry point of the image postgres does, by its documentation: as root it reads the secret, then gives up."""
REDIS = 'chown redis . && exec setpriv --reuid=redis --regid=redis --clear-groups "$@" --protected-mode no'
"""What the entry point of the image redis does; protected mode is off in what it compiles."""
NGINX = """worker_processes 1;
error_log stderr notice;
pid /tmp/nginx.pid;
events { worker_connections 1024; }
http {
    proxy_temp_path /tmp/proxy_temp;
    client_body_temp_path /tmp/client_temp;
    fastcgi_temp_path /tmp/fastcgi_temp;
    uwsgi_temp_path /tmp/uwsgi_temp;
    scgi_temp_path /tmp/scgi_temp;
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log off;
    sendfile on;
    keepalive_timeout 65;
    include /etc/nginx/conf.d/*.conf;
}
"""
"""The configuration of the image nginxinc/nginx-unprivileged, by its documentation."""


class Foreign(NamedTuple):
    """What is known of an image of others."""

    user: str
    entrypoint: list[str]
    command: list[str]
    tmpfs: tuple[str, ...] = ()
    workdir: str = "/"


FOREIGN = {
    "postgres": Foreign("", ["sh", "-c", POSTGRES], [], ("/run/postgresql", "/tmp")),
    "redis": Foreign("", ["sh", "-c", REDIS, "redis"], [], workdir="/data"),
    "nginxinc/nginx-unprivileged": Foreign(
        "--reuid=101 --regid=101 --clear-groups", [], ["nginx", "-e", "stderr", "-g", "daemon off;"]
    ),
}


class Dockerfile(NamedTuple):
    """The last stage of our image."""

    runs: list[str]
    environment: dict[str, str]
    user: str
    workdir: str
    entrypoint: list[str]
    command: list[str]


def read_dockerfile() -> Dockerfile:
    """Read the instructions of the last stage; commands of apt are left out: their programs are this machine's."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text[text.rindex("\nFROM ") :].splitlines() if re.match(r"[A-Z]+ ", line)]
    found = Dockerfile([], {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, "", "/", [], [])
    for line in lines:
        word, _, rest = line.partition(" ")
        match word:
            case "RUN" if "apt-get" not in rest:
                found.runs.append(rest)
            case "ENV":
                for pair in shlex.split(rest):
                    name, _, value = pair.partition("=")
                    found.environment[name] = value.replace("$PATH", found.environment["PATH"])
            case "USER":
                found = found._replace(user=rest.strip())
            case "WORKDIR":
                found = found._replace(workdir=rest.strip())
            case "ENTRYPOINT":
                found.entrypoint[:] = json.loads(rest)
            case "CMD":
                found.command[:] = json.loads(rest)
    return found


class Composed:
    """The services of compose.yaml, in a folder that holds what README.md says lies beside it."""

    def __init__(self, world: World, compose: Path, host: Path) -> None:
        self.world, self.folder, self.host = world, compose, host
        self.services: dict[str, dict[str, Any]] = {}
        content = yaml.safe_load((compose / "compose.yaml").read_text())
        for name, service in content["services"].items():
            assert set(service) <= KNOWN, f"{name}: {set(service) - KNOWN}"
            self.services[name] = service
        self.secrets = content["secrets"]
        self.named = {name: world.folder / "volumes" / name for name in content["volumes"]}
        self.ours = read_dockerfile()
        self.rooms: dict[str, Room] = {}
        self.image = make_image(world.folder / "image")
        (self.image / "etc/nginx/nginx.conf").write_text(NGINX)
        (self.image / "etc/nginx/conf.d").mkdir(exist_ok=True)
        for folder in (self.image / "etc/nginx/conf.d").iterdir():
            folder.unlink()
        self._build()

    def _build(self) -> None:
        """Run the commands of the Dockerfile in the image."""
        text = script(self.image, own_code(), "\n".join(["ldconfig", *self.ours.runs]), name="build", read_only=False)
        room = self.world.open("build", text, network=None)
        assert room.process.wait(60) == 0, room.said()
        people = [line.split(":") for line in (self.image / "etc/passwd").read_text().splitlines()]
        self.uid, self.gid, self.home = next(
            (int(row[2]), int(row[3]), row[5]) for row in people if row[0] == self.ours.user
        )

    def up(self) -> None:
        """Start all services, each when those that it depends on are as it asks."""
        for name, service in self.services.items():
            if not service.get("network_mode", "").startswith("service:"):
                self.world.plug(name)
        hosts = "127.0.0.1 localhost\n" + "".join(f"{ip} {name}\n" for name, ip in self.world.addresses.items())
        (self.world.folder / "hosts").write_text(hosts)
        waiting = dict(self.services)
        while waiting:
            name = next(
                one for one, service in waiting.items() if set(service.get("depends_on", {})) <= set(self.rooms)
            )
            for needed, how in waiting[name].get("depends_on", {}).items():
                self._wait(needed, how["condition"])
            self._start(name, waiting.pop(name))

    def ended(self) -> dict[str, int]:
        """Return the services that have ended, with their exit codes."""
        return {name: code for name, room in self.rooms.items() if (code := room.process.poll()) is not None}

    def _wait(self, name: str, condition: str) -> None:
        room, service = self.rooms[name], self.services[name]
        limit = time.monotonic() + START_S
        while time.monotonic() < limit:
            match condition:
                case "service_started":
                    return
                case "service_completed_successfully":
                    assert room.process.wait(START_S) == 0, room.said()
                    return
                case "service_healthy":
                    assert room.process.poll() is None, room.said()
                    kind, *test = service["healthcheck"]["test"]
                    argv = ["sh", "-c", test[0]] if kind == "CMD-SHELL" else test
                    environment = {"PATH": self.ours.environment["PATH"]}
                    if room.run(["env", "-i", *(f"{k}={v}" for k, v in environment.items()), *argv]).returncode == 0:
                        return
            time.sleep(2)
        raise TimeoutError(f"{name} is not {condition}: {room.said()}")

    def _start(self, name: str, service: Mapping[str, Any]) -> None:
        ours = service["image"].startswith("apertura:")
        foreign = FOREIGN.get(service["image"].partition(":")[0], Foreign("", [], []))
        mounts = [*(own_code() if ours else []), *self._mounts(name, service), *map(memory, foreign.tmpfs)]
        mounts.append(Mount(str(self.world.folder / "hosts"), "/etc/hosts", read_only=True))
        for mount in mounts:
            place_for(self.image, mount)
        environment = {"PATH": SYSTEM_PATH, "HOSTNAME": name}
        user = foreign.user
        workdir = foreign.workdir
        argv = [*foreign.entrypoint, *service.get("command", foreign.command)]
        if ours:
            workdir = self.ours.workdir
            environment |= self.ours.environment | {"HOME": self.home}
            user = f"--reuid={self.uid} --regid={self.gid} --clear-groups"
            argv = [
                *service.get("entrypoint", self.ours.entrypoint),
                *(service.get("command", []) if "entrypoint" in service else service.get("command", self.ours.command)),
            ]
        if added := service.get("group_add"):
            user = user.replace("--clear-groups", f"--groups={','.join(added)}")
        environment |= {key: interpolated(value) for key, value in service.get("environment", {}).items()}
        command = with_environment(environment, argv)
        if user:
            command = f"{as_user(user)} {command}"
        start = f"cd {workdir}\n" + (f"{command} &\nwait $!" if service.get("init") else f"exec {command}")
        text = script(
            self.image, mounts, start, name=service.get("hostname", name), read_only=service.get("read_only", False)
        )
        network = service.get("network_mode", f"service:{name}").removeprefix("service:")
        self.rooms[name] = self.world.open(name, text, network=network)

    def _mounts(self, name: str, service: Mapping[str, Any]) -> list[Mount]:
        """Return what a service's file mounts: volumes, secrets, memory."""
        found = []
        for line in service.get("volumes", []):
            source, target, *options = line.split(":")
            if source in self.named:
                place = self._volume(source, target)
            elif source.startswith("."):
                place = self.folder / source
            else:
                place = self.host / source.lstrip("/")
            assert place.exists(), f"{name}: {line}: Docker would make an empty folder of it"
            found.append(Mount(str(place), target, read_only=options == ["ro"]))
        for secret in service.get("secrets", []):
            place = self.folder / self.secrets[secret]["file"]
            found += [Mount(str(place), f"/run/secrets/{secret}", read_only=True)]
        found += map(memory, service.get("tmpfs", []))
        return found

    def _volume(self, name: str, target: str) -> Path:
        """Return the folder of a named volume; a fresh one has the owner of the folder of the image that it covers."""
        place = self.named[name]
        if not place.exists():
            place.mkdir(parents=True)
            covered = self.image / target.lstrip("/")
            if covered.is_dir():
                os.chown(place, covered.stat().st_uid, covered.stat().st_gid)
        return place


def memory(line: str) -> Mount:
    """Return the mount of a line under `tmpfs`."""
    target, _, options = line.partition(":")
    return Mount("", target, options=options)


def interpolated(value: Any) -> str:
    """Return a value of an environment; compose.yaml needs no variable of ours."""
    assert "$" not in str(value), value
    return str(value)
