"""A machine with systemd of its own, in a room: the units as they are, under the real service manager."""

import re
import shutil
from pathlib import Path
from typing import Any

from tests.system.deployed_bench import DEPLOYMENTS, write_alarms, write_proxy_files, write_secrets
from tests.system.rooms import SYSTEM_PATH, Mount, Room, World, make_image, own_code, place_for, script

BOOT = """mkdir -p /sys/fs/cgroup
mount -t tmpfs -o mode=0755 groups /sys/fs/cgroup 2>/dev/null || true
if grep -q name=systemd /proc/self/cgroup; then
    mkdir /sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
else
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
mount --make-rshared /
exec env -i container=room PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=facility.target
"""
POSTGRES = """#!/bin/sh
set -eu
bin=$(ls -d /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/room
$bin/initdb -D $data -U prefect --pwfile=/var/lib/postgresql/password --auth-local=trust --auth-host=scram-sha-256 -N
$bin/pg_ctl -D $data -o "-c listen_addresses= -F" -w start
createdb -h /var/run/postgresql -U prefect prefect
$bin/pg_ctl -D $data -w stop
exec $bin/postgres -F -D $data -c listen_addresses=127.0.0.1
"""
UNITS = {
    "postgresql.service": "[Service]\nUser=postgres\nRuntimeDirectory=postgresql\nExecStart=/srv/start-postgres\n",
    "facility.target": "[Unit]\nWants=postgresql.service nginx.service apertura-server.service\nAfter=basic.target\n",
}


def read_unit(path: Path) -> list[tuple[str, str]]:
    """Return the settings of a unit, in order; names come more than once."""
    pairs = re.findall(r"(?m)^(\w+)=(.*)$", path.read_text())
    return [(name, value) for name, value in pairs]


def machine(world: World) -> Path:
    """Make a machine's root folder as README.md of deployments/ says; return it."""
    image = make_image(world.folder / "machine")
    for old in (image / "etc/systemd/system").iterdir():
        old.unlink() if old.is_symlink() or old.is_file() else shutil.rmtree(old)
    (image / "etc/systemd/system/systemd-networkd-wait-online.service").symlink_to("/dev/null")  # only loopback is here
    shutil.rmtree(image / "etc/postgresql", ignore_errors=True)  # Debian starts a database for each folder in it
    (image / "etc/machine-id").unlink(missing_ok=True)
    (image / "etc/hosts").write_text("127.0.0.1 localhost apertura.example.org\n")
    setup = [
        "ldconfig",
        "useradd --system --home-dir /srv/apertura --create-home apertura",
        "install -d -o apertura -g apertura /data/apertura /data/runs",
        "install -d /data/incoming",
        "install -d -o postgres -g postgres /var/lib/postgresql",
    ]
    room = world.open("setup", script(image, own_code(), " && ".join(setup), name="setup", read_only=False))
    assert room.process.wait(60) == 0, room.said()
    etc = image / "etc/apertura"
    etc.mkdir()
    made = write_secrets(etc / "secrets", owner=0)
    write_proxy_files(etc, made, group=33)  # www-data, in Debian
    write_alarms(etc / "alarms")
    shutil.copy(DEPLOYMENTS / "site.example.yaml", etc / "site.yaml")
    lines = (DEPLOYMENTS / "env.example").read_text().splitlines()
    without_redis = [line for line in lines if "redis" not in line.lower()]
    assert len(lines) - len(without_redis) == 7, "six lines, and the one that says so"
    (etc / "prefect.env").write_text("\n".join(without_redis) + "\n")
    for unit in (DEPLOYMENTS / "systemd").glob("*.service"):
        shutil.copy(unit, image / "etc/systemd/system")
    conf = image / "etc/nginx"
    for name in ("apertura.conf", "upstream.conf"):
        shutil.copy(DEPLOYMENTS / "nginx" / name, conf / "conf.d" / name)
    (conf / "sites-enabled/default").unlink(missing_ok=True)
    for name, text in UNITS.items():
        (image / "etc/systemd/system" / name).write_text(text)
    (image / "srv/start-postgres").write_text(POSTGRES)
    (image / "srv/start-postgres").chmod(0o755)
    password = image / "var/lib/postgresql/password"
    password.write_text(made["database-password"])
    password.chmod(0o644)
    return image


def boot(world: World, image: Path, before: list[str]) -> Room:
    """Start systemd as the first process of a room on the world's network."""
    mounts: list[Mount] = own_code()
    for mount in mounts:
        place_for(image, mount)
    return world.open("machine", script(image, mounts, BOOT, name="microscope", read_only=False), before=before)


def systemctl(room: Room, *argv: str, timeout_s: float = 600) -> str:
    """Run systemctl inside; return what it says."""
    done = room.run(["systemctl", "--no-pager", *argv], timeout_s)
    assert done.returncode == 0, f"{argv}: {done.stderr}{journal(room)}"
    return done.stdout


def journal(room: Room) -> str:
    return room.run(["journalctl", "--no-pager", "-o", "short", "-n", "80"]).stdout


def deploy(room: Room) -> None:
    """Make pools and deployments with the commands of README.md, as root."""
    text = (DEPLOYMENTS / "README.md").read_text()
    (commands,) = re.findall(r"```bash\n(set -a;.*?)```", text, flags=re.DOTALL)
    done = room.run(["env", "-i", f"PATH={SYSTEM_PATH}", "HOME=/root", "sh", "-ec", f"cd /root\n{commands}"], 900)
    assert done.returncode == 0, done.stdout + done.stderr


def states(room: Room, units: list[str]) -> dict[str, dict[str, str]]:
    """Return what systemd says of units."""
    wanted = "ActiveState,SubState,NRestarts,MainPID,ExecMainStatus,Result"
    found: dict[str, dict[str, Any]] = {}
    for unit in units:
        rows = systemctl(room, "show", "-p", wanted, unit).splitlines()
        found[unit] = dict(row.split("=", 1) for row in rows)
    return found
