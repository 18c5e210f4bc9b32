"""Services that are kept alive by supervisord (http://supervisord.org): started again when they die, logs rotated."""

import contextlib
import hashlib
import os
import sys
import tempfile
import time
import xmlrpc.client  # nosec B411 it speaks to our own supervisord by a socket that only its user can open
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters.host.runner import start_service
from tasks.model import ProgramFailedError

SOCKET_LENGTH_MAX = 100
"""Bytes of the path of a Unix socket: Linux takes 107 (unix(7)), and supervisord appends a number while it binds."""
STOP_S = 60
"""Given to a service to end by itself: a worker ends its flows first."""
START_S = 60.0
"""For supervisord itself, which is there in less than 1 s on an idle machine."""
LOG_BYTES = "20MB"
LOG_FILES = 5
"""Old ones kept of each service: 120 MB with the one that is written. Chosen, not measured: less may lose the start of
a fault by the time someone looks, more fills the disk."""


class Service:
    """One program that is to run for as long as its facility."""

    def __init__(self, name: str, argv: Sequence[str], *, restarts: bool = True) -> None:
        self.name = name
        self.argv = tuple(argv)
        self.restarts = restarts


class Supervisor:
    """The supervisord of one folder, talked to by a Unix socket that only its user can open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = socket_path(folder)

    def start(self, services: Sequence[Service], environment: Mapping[str, str]) -> int:
        """Start supervisord with all services stopped; return its process number.

        Raises
        ------
        ProgramFailedError
            If it does not answer.
        """
        config = self._folder / "supervisord.conf"
        config.write_text(configuration(self._folder, self._socket, services), encoding="utf-8")
        argv = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(config)]
        pid = start_service(argv, environment=environment, log=self._folder / "logs" / "supervisord.out")
        end = time.monotonic() + START_S
        while not self.alive():
            if time.monotonic() > end:
                raise ProgramFailedError("supervisord does not answer", f"see {self._folder / 'logs'}")
            time.sleep(0.1)
        return pid

    def alive(self) -> bool:
        """Tell whether the supervisord of this folder answers."""
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except (OSError, xmlrpc.client.Error):
            return False

    def run(self, name: str) -> int:
        """Start one service; return its process number."""
        with contextlib.suppress(xmlrpc.client.Fault):  # it runs already
            self._call("startProcess", name, False)
        return self.pid(name)

    def stop(self, name: str) -> None:
        """Stop one service until it is run again."""
        with contextlib.suppress(xmlrpc.client.Fault):  # it does not run
            self._call("stopProcess", name, False)  # it would spin while it waits
        end = time.monotonic() + 2 * STOP_S
        while self.states()[name] == "STOPPING" and time.monotonic() < end:
            time.sleep(0.1)

    def pid(self, name: str) -> int:
        """Return the process number of one service; 0 if it does not run."""
        return int(self._call("getProcessInfo", name)["pid"])

    def exit_code(self, name: str) -> int | None:
        """Return with which code one service ended; None if it runs or never did."""
        found = self._call("getProcessInfo", name)
        return int(found["exitstatus"]) if not found["pid"] and found["stop"] else None

    def states(self) -> dict[str, str]:
        """Return the state of every service in supervisord's words: RUNNING, STARTING, BACKOFF, STOPPED, FATAL ..."""
        return {str(row["name"]): str(row["statename"]) for row in self._call("getAllProcessInfo")}

    def shut_down(self) -> None:
        """Stop all services, the last that was started first, and supervisord itself."""
        with contextlib.suppress(OSError, xmlrpc.client.Error):
            self._call("shutdown")
        end = time.monotonic() + 6 * STOP_S
        while self.alive_or_stopping() and time.monotonic() < end:
            time.sleep(0.2)

    def alive_or_stopping(self) -> bool:
        """Tell whether supervisord answers in any state."""
        try:
            self._call("getState")
        except (OSError, xmlrpc.client.Error):
            return False
        return True

    def _call(self, name: str, *values: object) -> Any:
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, serverurl=f"unix://{self._socket}")
        proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
        try:
            return getattr(proxy.supervisor, name)(*values)
        finally:
            transport.close()


def socket_path(folder: Path) -> Path:
    """Return the path of the socket: in the folder, or where that is too long, in a private folder of the system's."""
    inside = folder / "supervisor.sock"
    if len(os.fsencode(inside)) <= SOCKET_LENGTH_MAX:
        return inside
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    private = Path(tempfile.gettempdir()) / f"apertura-{os.getuid()}-{digest}"
    private.mkdir(mode=0o700, exist_ok=True)
    if private.stat().st_uid != os.getuid() or private.is_symlink():
        raise ProgramFailedError(f"{private} belongs to somebody else", "remove it, or use a shorter path for --data")
    return private / "supervisor.sock"


def configuration(folder: Path, socket: Path, services: Sequence[Service]) -> str:
    """Return the text of supervisord.conf."""
    logs = folder / "logs"
    parts = [
        f"[unix_http_server]\nfile={_plain(socket)}\nchmod=0700",
        f"[supervisord]\nlogfile={_plain(logs / 'supervisord.log')}\nlogfile_maxbytes={LOG_BYTES}\nsilent=true",
        f"pidfile={_plain(folder / 'supervisord.pid')}\nnodaemon=true\nnocleanup=true",
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for rank, service in enumerate(services, 1):
        command = " ".join(f'"{_plain(word)}"' for word in service.argv)
        parts.append(
            f"[program:{service.name}]\ncommand={command}\npriority={rank}\nautostart=false\n"
            f"autorestart={'true' if service.restarts else 'false'}\nstartsecs=2\nstartretries=1000000\n"
            f"stopsignal=TERM\nstopwaitsecs={STOP_S}\nkillasgroup=true\nredirect_stderr=true\n"
            f"stdout_logfile={_plain(logs / f'{service.name}.log')}\n"
            f"stdout_logfile_maxbytes={LOG_BYTES}\nstdout_logfile_backups={LOG_FILES}"
        )
    return "\n".join(parts) + "\n"


def _plain(value: Path | str) -> str:
    """Return a path or an argument as supervisord reads it: % starts its own substitutions."""
    text = str(value)
    if any(character in text for character in '"\n\r;'):
        raise ProgramFailedError(f"{text!r} cannot stand in supervisord.conf", "use a folder with a plainer name")
    return text.replace("%", "%%")
