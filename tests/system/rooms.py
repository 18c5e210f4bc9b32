"""Rooms for services: file systems, processes, names and networks of their own, made of this machine's programs.

A room is what a container, or a machine of its own, would be: a root folder of its own (a copy of /etc, the programs of
/usr to be read only), and in it nothing but what is mounted there. All rooms of a `World` end with it.
"""

import concurrent.futures
import ctypes
import functools
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import psutil

ROOT = Path(__file__).resolve().parents[2]
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
CLONE_NEWNET = 0x40000000
NETWORK = "10.88.0"
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
PEOPLE = range(1000, 60000)
"""Numbers of users that are people's, in Debian: a fresh system has none."""


class Mount(NamedTuple):
    """A folder or file of this machine (or a fresh tmpfs, if `source` is empty) at a place of a room."""

    source: str
    target: str
    read_only: bool = False
    options: str = ""


def own_code() -> list[Mount]:
    """Return the mounts by which `install` works: an interpreter, the packages of the tests, and these sources."""
    base = [] if sys.base_prefix == "/usr" else [Mount(sys.base_prefix, "/opt/python", read_only=True)]
    packages = Mount(sysconfig.get_path("purelib"), "/opt/site-packages", read_only=True)
    return [*base, packages, Mount(str(ROOT), "/opt/source", read_only=True)]


def install(image: Path) -> None:
    """Make /opt/apertura as pip would: a virtual environment with our package in it, by its own metadata."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    place = image / "opt/apertura"
    packages = place / "lib" / version / "site-packages"
    metadata = packages / f"apertura-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    (place / "bin").mkdir()
    home = "/usr/bin" if sys.base_prefix == "/usr" else "/opt/python/bin"
    (image / "etc/ld.so.conf.d/00-python.conf").write_text("/opt/python/lib\n")  # `ldconfig` comes before its first use
    (place / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
    (place / "bin" / "python").symlink_to(f"{home}/{version}")
    (packages / "installed.pth").write_text("/opt/source\n/opt/site-packages\n")
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: apertura\nVersion: {project['version']}\n")
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    lines = [
        row for group, named in groups.items() for row in (f"[{group}]", *(f"{k} = {v}" for k, v in named.items()))
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for name in (*project["scripts"], "prefect"):
        script = place / "bin" / name
        script.write_text(
            "#!/opt/apertura/bin/python\nimport sys\nfrom importlib.metadata import entry_points\n"
            f"(found,) = entry_points(group='console_scripts', name={name!r})\nsys.exit(found.load()())\n"
        )
        script.chmod(0o755)


def make_image(folder: Path) -> Path:
    """Make the root folder of a fresh system: without people among its users, and without secrets."""
    for name in ("proc", "sys", "dev", "run", "old", "root", "home", "opt", "srv", "data", "usr", "mnt", "media"):
        (folder / name).mkdir(parents=True)
    for name in ("tmp", "var/tmp"):
        (folder / name).mkdir(parents=True)
        (folder / name).chmod(0o1777)
    for name in ("lib", "log", "cache", "lib/nginx", "log/nginx", "lib/systemd"):
        (folder / "var" / name).mkdir(parents=True, exist_ok=True)
    (folder / "var/run").symlink_to("/run")
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if (link := Path("/", name)).is_symlink():
            (folder / name).symlink_to(link.readlink())
    shutil.copytree("/etc", folder / "etc", symlinks=True, ignore=shutil.ignore_patterns("apertura", "private"))
    people = {
        line.split(":")[0]
        for line in (folder / "etc/passwd").read_text().splitlines()
        if int(line.split(":")[2]) in PEOPLE
    }
    for name in ("passwd", "shadow", "group", "gshadow"):
        kept = [line for line in (folder / "etc" / name).read_text().splitlines() if line.split(":")[0] not in people]
        (folder / "etc" / name).write_text("\n".join(kept) + "\n")
    install(folder)
    for mount in own_code():
        place_for(folder, mount)
    return folder


def place_for(image: Path, mount: Mount) -> None:
    """Make the folder or file that a mount covers, as Docker does."""
    target = image / mount.target.lstrip("/")
    if mount.source and Path(mount.source).is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    else:
        target.mkdir(parents=True, exist_ok=True)


def script(image: Path, mounts: Iterable[Mount], command: str, *, name: str, read_only: bool) -> str:
    """Return the shell script that furnishes a room and runs a command in it; it has namespaces of its own already."""
    lines = [
        "set -eu",
        f"mount --rbind {image} {image}",
        f"cd {image}",
        "mount --rbind /usr usr",
        "mount -o remount,bind,ro usr",
        "mount -t proc proc proc",
        "mount -t sysfs -o ro sysfs sys",
        "mount -t tmpfs -o mode=0755 dev dev",
        "mkdir dev/pts dev/shm",
        *(f"touch dev/{device}; mount --bind /dev/{device} dev/{device}" for device in DEVICES),
        "ln -s /proc/self/fd dev/fd; ln -s pts/ptmx dev/ptmx; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr",
        "mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts",
        "mount -t tmpfs -o mode=1777 shm dev/shm",
    ]
    for mount in mounts:
        target = shlex.quote(mount.target.lstrip("/"))
        if mount.source:
            lines.append(f"mount --rbind {shlex.quote(mount.source)} {target}")
            lines += [f"mount -o remount,bind,ro {target}"] if mount.read_only else []
        else:
            lines.append(f"mount -t tmpfs -o {mount.options or 'mode=1777'} tmpfs {target}")
    lines += [f"hostname {name}", f"cd {image}"]
    lines += [f"mount -o remount,bind,ro {image}"] if read_only else []
    return "\n".join([*lines, "pivot_root . old", "cd /", "umount -l /old", command, ""])


def as_user(identity: str) -> str:
    """Return the command that gives up root for a user, a number or USER:GROUP, and every way back."""
    return f"setpriv {identity} --no-new-privs --bounding-set=-all --inh-caps=-all"


def with_environment(environment: Mapping[str, str], argv: Sequence[str]) -> str:
    """Return the command that runs a program with exactly these variables."""
    return shlex.join(["env", "-i", *(f"{name}={value}" for name, value in environment.items()), *argv])


@dataclass
class Room:
    """A started room: its first process, as this machine sees it, and its output."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def first(self) -> psutil.Process:
        """Return the process that is number 1 inside."""
        own = depth(self.process.pid)
        for _ in range(200):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                numbers = namespaced(child.pid)
                if len(numbers) > own and numbers[-1] == 1:
                    return child
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"{self.name} did not start: {self.said()}")

    def said(self) -> str:
        """Return the end of its output."""
        return self.log.read_text(errors="replace")[-4000:]

    def run(self, argv: Sequence[str], timeout_s: float = 300) -> "subprocess.CompletedProcess[str]":
        """Run a program inside, as root."""
        command = ["nsenter", "-t", str(self.first.pid), "-m", "-u", "-i", "-n", "-p", "-r", "-w", *argv]
        return subprocess.run(
            command, env={"PATH": SYSTEM_PATH}, capture_output=True, text=True, timeout=timeout_s, check=False
        )


def namespaced(pid: int) -> list[int]:
    """Return the numbers of a process in each of its namespaces, this machine's first; none of one that has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return []
    return next(([int(one) for one in row.split()[1:]] for row in text.splitlines() if row.startswith("NSpid")), [])


def depth(pid: int) -> int:
    """Return in how many namespaces of processes a process is."""
    return len(namespaced(pid))


@dataclass
class World:
    """Namespaces that end together: a network with a switch, on which rooms have addresses, and all their processes."""

    folder: Path
    holder: "subprocess.Popen[bytes]" = field(init=False)
    pid: int = field(init=False)
    addresses: dict[str, str] = field(default_factory=dict)
    rooms: list[Room] = field(default_factory=list)

    def __enter__(self) -> Self:
        world = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sleep", "infinity"]
        # with the process of the tests all of it ends
        self.holder = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *world])
        own = depth(self.holder.pid)
        for _ in range(200):
            inner = [child.pid for child in psutil.Process(self.holder.pid).children() if depth(child.pid) > own]
            if inner:
                break
            time.sleep(0.05)
        (self.pid,) = inner
        for command in (
            ["ip", "link", "set", "lo", "up"],
            ["mkdir", "-p", "/run/netns"],
            ["mount", "-t", "tmpfs", "netns", "/run/netns"],
            ["ip", "link", "add", "switch", "type", "bridge"],
            ["ip", "address", "add", f"{NETWORK}.1/24", "dev", "switch"],
            ["ip", "link", "set", "switch", "up"],
        ):
            self.run(command)
        self._asker = concurrent.futures.ThreadPoolExecutor(1, initializer=functools.partial(enter_network, self.pid))
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all that was started."""
        if self.holder.poll() is None:
            self._asker.shutdown()
            psutil.Process(self.pid).kill()
            self.holder.wait(60)
        for room in self.rooms:
            room.process.wait(60)

    def enter(self, *kinds: str) -> list[str]:
        return ["nsenter", "-t", str(self.pid), *kinds]

    def run(self, argv: Sequence[str]) -> str:
        """Run a program of this machine on the world's network."""
        done = subprocess.run(
            [*self.enter("-m", "-n", "-p"), *argv], capture_output=True, text=True, check=False, timeout=60
        )  # fmt: skip
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout

    def plug(self, name: str) -> str:
        """Give a new network of that name an address on the switch; return it."""
        number = len(self.addresses) + 10
        self.addresses[name] = f"{NETWORK}.{number}"
        for command in (
            f"ip netns add {name}",
            f"ip link add port{number} type veth peer name eth0 netns {name}",
            f"ip link set port{number} master switch up",
            f"ip -n {name} link set lo up",
            f"ip -n {name} link set eth0 up",
            f"ip -n {name} address add {NETWORK}.{number}/24 dev eth0",
        ):
            self.run(command.split())
        low_ports = "echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start"  # as Docker does
        self.run(["nsenter", f"--net=/run/netns/{name}", "sh", "-c", low_ports])
        return self.addresses[name]

    def open(self, name: str, text: str, *, network: str | None = None, before: Sequence[str] = ()) -> Room:
        """Start a room by its script: on a network that was plugged in, or (None) on the world's own."""
        path = self.folder / f"{name}.sh"
        path.write_text(text)
        log = self.folder / f"{name}.log"
        joined = ["nsenter", f"--net=/run/netns/{network}"] if network else []
        own = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
        with log.open("wb") as out:
            command = [*self.enter("-m", "-n", "-p"), *joined, *before, *own, "sh", str(path)]
            process = subprocess.Popen(
                command, env={"PATH": SYSTEM_PATH}, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
        self.rooms.append(Room(name, process, log))
        return self.rooms[-1]

    def ask(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call a function in a thread that stands on the world's network."""
        return self._asker.submit(function, *arguments, **named).result(600)

    def browser(self) -> Path:
        """Return a Chromium that stands on the world's network."""
        path = self.folder / "chromium"
        path.write_text(f'#!/bin/sh\nexec nsenter -t {self.pid} -n -- {shutil.which("chromium")} "$@"\n')
        path.chmod(0o755)
        return path


def enter_network(pid: int) -> None:
    """Move the calling thread to the network of a process."""
    with Path(f"/proc/{pid}/ns/net").open("rb") as network:
        if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def refused() -> str | None:
    """Return why no room can be made here; None where one can."""
    if os.geteuid() != 0:
        return "rooms need root"
    for program in ("unshare", "nsenter", "ip", "pivot_root", "setpriv"):
        if shutil.which(program, path=SYSTEM_PATH) is None:
            return f"{program} is not installed"
    trial = "mount -t tmpfs room /mnt && ip link add trial type bridge && mount -t proc proc /proc"
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--uts", "--ipc", "sh", "-c", trial]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return None if done.returncode == 0 else f"no namespaces here: {done.stderr.strip()[:200]}"


class Groups:
    """Control groups of this process' own, which a systemd that is started in them takes for the whole machine's."""

    def __init__(self) -> None:
        self.made: list[Path] = []

    def __enter__(self) -> list[str]:
        """Make them; return the command that puts what it starts into them, as the root of all it sees."""
        base = Path("/sys/fs/cgroup")
        for row in Path("/proc/self/cgroup").read_text().splitlines():
            number, names, own = row.split(":", 2)
            unified = base if (base / "cgroup.controllers").is_file() else base / "unified"
            place = unified if number == "0" else base / names.removeprefix("name=")
            group = place / own.lstrip("/") / f"apertura-{os.getpid()}"
            if not place.is_dir():
                continue
            group.mkdir()
            self.made.append(group)
            for name in ("cpuset.cpus", "cpuset.mems"):
                if number != "0" and (group / name).is_file():
                    (group / name).write_text((group.parent / name).read_text())
        enter = " && ".join(f"echo $$ > {group}/cgroup.procs" for group in self.made)
        return ["sh", "-c", f'{enter} && exec unshare --cgroup "$@"', "sh"]

    def __exit__(self, *_: object) -> None:
        for group in self.made:
            for folder in sorted(group.rglob("*"), reverse=True):
                if folder.is_dir():
                    wait_and_remove(folder)
            wait_and_remove(group)


def wait_and_remove(group: Path) -> None:
    """Remove a control group when its last process has ended."""
    for _ in range(100):
        try:
            group.rmdir()
        except OSError:
            time.sleep(0.1)
        else:
            return
